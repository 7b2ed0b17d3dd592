"""Every format in and out: columns kept, scores exact, rows in order."""

from __future__ import annotations

import datetime
import json
import shutil
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest
from bulk_files import read_problems, read_rows, write_rows
from tiny_models import LABELS

from stacked_emotion.common.errors import UserError
from stacked_emotion.inference import StackedEmotionPredictor, predict_file

FORMATS = [".csv", ".tsv", ".jsonl", ".parquet"]


@pytest.fixture(scope="module")
def predictor(tiny_stack_folder: Path) -> StackedEmotionPredictor:
    return StackedEmotionPredictor.from_pretrained(str(tiny_stack_folder), dtype="float32")


def run(model: Path, source: Path, target: Path, **options: Any) -> Any:
    return predict_file(
        str(model), source, target, **{"dtype": "float32", "part_rows": 10} | options
    )


PAIRS = [(source, target) for source in FORMATS for target in FORMATS]
QUICK = {(".csv", ".csv"), (".tsv", ".tsv"), (".csv", ".parquet"), (".jsonl", ".csv"),
         (".jsonl", ".parquet"), (".parquet", ".jsonl"), (".parquet", ".tsv")}  # fmt: skip


@pytest.mark.parametrize(
    ("source", "target"),
    [
        pytest.param(*pair, marks=[] if pair in QUICK else pytest.mark.slow, id="".join(pair))
        for pair in PAIRS
    ],
)
def test_every_format(
    source: str, target: str, tmp_path: Path, tiny_stack_folder: Path,
    predictor: StackedEmotionPredictor, sample_texts: list[str],
) -> None:  # fmt: skip
    texts = [text.replace("\t", " ") for text in sample_texts[:25]]
    texts[3:6] = ['"quoted" text, with a comma', '" one mark', "NA"]
    rows = [{"id": f"00{number}", "text": text} for number, text in enumerate(texts)]
    rows[7]["text"] = "  "
    given = write_rows(tmp_path / f"in{source}", rows)
    output = tmp_path / f"out{target}"
    report = run(tiny_stack_folder, given, output)
    assert (report.rows, report.predicted, report.without_answer, report.unreadable) == (
        25,
        24,
        1,
        0,
    )
    found = read_rows(output)
    names = ["labels", *(f"score_{label}" for label in LABELS)]
    assert list(found[0]) == ["id", "text", *names]
    assert [{"id": row["id"], "text": row["text"]} for row in found] == rows
    expected = predictor.predict_proba([row["text"] for row in rows])
    answers = predictor.predict([row["text"] for row in rows])
    for number, row in enumerate(found):
        if number == 7:
            assert not any(row[name] for name in names)
            continue
        labels = row["labels"].split(",") if isinstance(row["labels"], str) else row["labels"]
        assert [label for label in labels if label] == answers[number].labels
        scores = [float(row[f"score_{label}"]) for label in LABELS]
        np.testing.assert_allclose(scores, expected[number], atol=1e-6)
        assert all(float(np.float32(score)) == pytest.approx(score, rel=1e-7) for score in scores)
    (problem,) = read_problems(output)
    assert problem["row"] == 8
    assert problem["column"] == "text"
    assert ("line" in problem) == (source != ".parquet")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [given.name, output.name, f"{output.name}.problems.jsonl"]
    )


def test_no_side_file_without_problems(tmp_path: Path, tiny_stack_folder: Path) -> None:
    given = write_rows(tmp_path / "in.csv", [{"text": "فرحان"}])
    report = run(tiny_stack_folder, given, tmp_path / "out.csv")
    assert report.problems is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv"]


def test_parquet_columns_keep_their_types(tmp_path: Path, tiny_stack_folder: Path) -> None:
    table = pyarrow.table(
        {
            "id": pyarrow.array([1, None, 3], pyarrow.int16()),
            "text": pyarrow.array(["فرحان", "خائف", None]).dictionary_encode(),
            "when": pyarrow.array(
                [datetime.datetime(2020, 1, 2)] * 3, pyarrow.timestamp("ms", "UTC")
            ),
            "price": pyarrow.array([Decimal("1.10")] * 3, pyarrow.decimal128(5, 2)),
            "tags": pyarrow.array([["a"], [], None], pyarrow.list_(pyarrow.string())),
            "raw": pyarrow.array([b"\xff"] * 3, pyarrow.binary()),
            "ratio": pyarrow.array([float("nan"), 0.5, None]),
            "nothing": pyarrow.nulls(3),
        }
    ).replace_schema_metadata({"note": "kept"})
    parquet.write_table(table, tmp_path / "in.parquet")
    run(tiny_stack_folder, tmp_path / "in.parquet", tmp_path / "out.parquet", part_rows=1)
    found = parquet.read_table(tmp_path / "out.parquet")
    original = parquet.read_table(tmp_path / "in.parquet")
    assert found.select(original.column_names).schema.equals(original.schema, check_metadata=True)
    assert (
        found.select(original.column_names).to_pydict().__repr__()
        == original.to_pydict().__repr__()
    )
    assert found.schema.field("labels").type == pyarrow.list_(pyarrow.string())
    assert found.schema.field("score_joy").type == pyarrow.float32()
    assert found["labels"].null_count == found["score_joy"].null_count == 1
    run(tiny_stack_folder, tmp_path / "in.parquet", tmp_path / "out.jsonl")
    first = read_rows(tmp_path / "out.jsonl")[0]
    assert (first["when"][:10], first["price"], first["tags"]) == ("2020-01-02", "1.10", ["a"])
    assert first["ratio"] is None
    assert first["raw"] == "/w=="
    run(tiny_stack_folder, tmp_path / "in.parquet", tmp_path / "out.csv")
    row = read_rows(tmp_path / "out.csv")[0]
    assert (row["id"], row["tags"], row["ratio"]) == ("1", '["a"]', "nan")


def test_json_lines_stand_as_they_were(tmp_path: Path, tiny_stack_folder: Path) -> None:
    lines = [
        '{"text":"فرحان", "n" : 1.0e2,"big":123456789012345678901234567890, "x": NaN }',
        '{"n": 1E400, "text": "\\ud83d lone", "u": "\\u0645"}',
        '{"deep": {"a": [1, {}]}, "text": "خائف"}',
    ]
    (tmp_path / "in.jsonl").write_text("\n\n".join(lines), encoding="utf-8")
    run(tiny_stack_folder, tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    found = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(found) == 3
    for line, row in zip(lines, found, strict=True):
        assert row.startswith(line[:-1].rstrip())
        assert list(json.loads(row))[-4:] == ["labels", "score_joy", "score_anger", "score_fear"]


def test_json_records_of_all_sorts_as_a_table(tmp_path: Path, tiny_stack_folder: Path) -> None:
    rows: list[dict[str, Any]] = [{"text": "فرحان", "n": 1, "mixed": 1, "empty": {}, "big": 1}]
    rows += [{"text": "خائف", "n": 0.5, "mixed": "a", "later": [1], "big": 10**30}]
    rows += [{"text": "\ud83d lone\ttab", "n": None, "nulls": None}]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "in.jsonl").write_text(lines, encoding="utf-8")
    run(tiny_stack_folder, tmp_path / "in.jsonl", tmp_path / "out.parquet", part_rows=1)
    table = parquet.read_table(tmp_path / "out.parquet")
    assert table.column_names[:7] == ["text", "n", "mixed", "empty", "big", "later", "nulls"]
    assert table["n"].to_pylist() == [1.0, 0.5, None]
    assert table["mixed"].to_pylist() == ["1", '"a"', None]  # no common type: JSON text
    assert table["empty"].to_pylist() == ["{}", None, None]
    assert table["big"].to_pylist() == ["1", str(10**30), None]
    assert table["later"].to_pylist() == [None, [1], None]
    assert table["text"].to_pylist()[2] == "\ufffd lone\ttab"
    assert table["labels"].null_count == 0
    run(tiny_stack_folder, tmp_path / "in.jsonl", tmp_path / "out.tsv", part_rows=1)
    found = read_rows(tmp_path / "out.tsv")
    assert [row["n"] for row in found] == ["1", "0.5", ""]
    assert found[1]["later"] == "[1]"
    assert found[2]["text"] == "\\ud83d lone tab"
    (problem,) = read_problems(tmp_path / "out.tsv")
    assert problem["row"] == 3
    assert "tab" in problem["problem"]


def test_line_breaks_and_quotes_in_csv(tmp_path: Path, tiny_stack_folder: Path) -> None:
    texts = [
        'a "b", c',
        "two\nlines",
        "two\r\nlines",
        "old\rmac",
        " spaces ",
        "x" * 1000,
        "\x00nul",
    ]
    given = write_rows(tmp_path / "in.csv", [{"text": text, "id": "1"} for text in texts])
    run(tiny_stack_folder, given, tmp_path / "out.csv", part_rows=2)
    assert [row["text"] for row in read_rows(tmp_path / "out.csv")] == texts
    assert run(tiny_stack_folder, tmp_path / "out.csv", tmp_path / "2.csv", prefix="p_").rows == 7
    assert [row["text"] for row in read_rows(tmp_path / "2.csv")] == texts


@pytest.mark.parametrize(("source", "target"), [(".csv", ".csv"), (".jsonl", ".tsv")])
def test_labels_with_a_comma_can_be_told_apart(
    source: str, target: str, tmp_path: Path, tiny_stack_folder: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny_stack_folder, model)
    config = json.loads((model / "config.json").read_text())
    names = [f"{name}, {name[::-1]}" for name in config["id2label"].values()]
    config |= {
        "id2label": dict(enumerate(names)),
        "label2id": {name: place for place, name in enumerate(names)},
        "thresholds": [0.0] * len(names),
        "decision": "threshold",
    }
    (model / "config.json").write_text(json.dumps(config))
    texts = ["يوم جميل", "\u200b\u200f", "b"]
    given = write_rows(tmp_path / f"in{source}", [{"text": text} for text in texts])
    output = tmp_path / f"out{target}"
    assert run(model, given, output).without_answer == 1
    cells = [row["labels"] for row in read_rows(output)]
    assert [sorted(json.loads(cell)) if cell else [] for cell in cells] == [
        sorted(names), [], sorted(names)
    ]  # fmt: skip


def test_delimiter_and_quoting(tmp_path: Path, tiny_stack_folder: Path) -> None:
    (tmp_path / "in.csv").write_text('id;text\n1;"a;b"\n', encoding="utf-8")
    run(tiny_stack_folder, tmp_path / "in.csv", tmp_path / "out.jsonl",
        source_options={"delimiter": ";"})  # fmt: skip
    assert read_rows(tmp_path / "out.jsonl")[0]["text"] == "a;b"
    (tmp_path / "in.tsv").write_text('id\ttext\n1\t"a ""b"""\n', encoding="utf-8")
    run(tiny_stack_folder, tmp_path / "in.tsv", tmp_path / "csv.jsonl",
        source_options={"quoting": "csv"})  # fmt: skip
    assert read_rows(tmp_path / "csv.jsonl")[0]["text"] == 'a "b"'


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("in.doc", "text\na\n", {}, "format"),
        ("in.parquet", "text\na\n", {}, "cannot be read as Parquet"),
        ("in.csv", None, {}, "no such file"),
        ("in.csv", "", {}, "is empty"),
        ("in.csv", "يوم جميل,1,0\nتعبت,0,1\n", {}, "column_names="),
        ("in.csv", "body\na\n", {}, "text_column="),
        ("in.csv", "text\na\n", {"text_column": "tetx"}, "did you mean 'text'"),
        ("in.csv", "text,text\na,b\n", {}, "more than once"),
        ("in.csv", "text,labels\na,b\n", {}, "prefix="),
        ("in.csv", "text\na\n", {"part_rows": 0}, "part_rows="),
        ("in.jsonl", "[1]\n", {}, "no line"),
        ("in.jsonl", '{"text": "a", "score_joy": 1}\n', {}, "score_joy"),
        ("in.csv", "text\nab".encode("utf-16")[:-1], {}, "not UTF-16"),
    ],
)
def test_mistakes_are_told(
    name: str, content: str | bytes | None, options: dict[str, Any], message: str,
    tmp_path: Path, tiny_stack_folder: Path,
) -> None:  # fmt: skip
    if content is not None:
        raw = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(raw)
    with pytest.raises(UserError, match=message):
        run(tiny_stack_folder, tmp_path / name, tmp_path / "out.csv", **options)
    assert not (tmp_path / "out.csv").exists()
    assert not (tmp_path / "out.csv.parts").exists()


def test_a_column_that_holds_no_texts(tmp_path: Path, tiny_stack_folder: Path) -> None:
    given = write_rows(tmp_path / "in.parquet", [{"text": 1, "body": "فرحان"}])
    with pytest.raises(UserError, match="int64"):
        run(tiny_stack_folder, given, tmp_path / "out.csv")
    assert run(tiny_stack_folder, given, tmp_path / "out.csv", text_column="body").predicted == 1


def test_the_folder_of_a_run(tmp_path: Path, tiny_stack_folder: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_stack_folder, run / "model")
    (tmp_path / "in.csv").write_text("text\ngood\nbad day\n", encoding="utf-8")
    for model, output in ((run, "of_the_run.csv"), (run / "model", "of_the_model.csv")):
        assert predict_file(str(model), tmp_path / "in.csv", tmp_path / output) is not None
    of_the_run, of_the_model = (
        (tmp_path / name).read_text() for name in ("of_the_run.csv", "of_the_model.csv")
    )
    assert of_the_run == of_the_model
    assert of_the_run.startswith("text,labels,score_")


def test_the_bar_has_a_total_and_says_what_computes(
    tiny_stack_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    source = tmp_path / "texts.csv"
    source.write_text("text\n" + "فرحان جدا\n" * 40, encoding="utf-8")
    options = {"dtype": "float32", "backend": "torch", "part_rows": 10}
    predict_file(str(tiny_stack_folder), source, tmp_path / "out.csv", **options)
    said = capsys.readouterr().err
    assert "texts.csv" in said
    assert "40.0/40.0" in said
    assert "torch float32 on cpu" in said


def test_a_file_in_another_encoding_is_refused_as_a_whole(
    tiny_stack_folder: Path, tmp_path: Path
) -> None:
    source = tmp_path / "in.csv"
    source.write_bytes("text\nيوم جميل\nتعبت\n".encode("cp1256"))
    with pytest.raises(UserError, match="WINDOWS-1256"):
        predict_file(str(tiny_stack_folder), source, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
    options = {"source_options": {"encoding": "cp1256"}}
    report = predict_file(str(tiny_stack_folder), source, tmp_path / "out.csv", **options)
    assert report is not None
    assert report.predicted == 2
