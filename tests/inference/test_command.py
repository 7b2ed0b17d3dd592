"""`predict`: foreign text stays inert in every format, and it says what was not read."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from bulk_files import read_rows, write_rows

from stacked_emotion.cli import main
from stacked_emotion.inference.decisions import Decision
from stacked_emotion.inference.score_bars import bars

LONG = "كلمة " * 400
HOSTILE = "a\x1b[2Jb\x9b31m \u202eevil\u2066 \x07 <script>"
LABEL = "joy\x1b[31m\u202e"
UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066\u2067\u2069\u200e\u200f]")
# explanations put words between a first-strong isolate and its end
UNSAFE_BESIDE_ISOLATES = re.compile(UNSAFE.pattern.replace("\u2069", ""))


@pytest.fixture
def hostile_folder(tiny_stack_folder: Path, tmp_path: Path) -> Path:
    """A stack with a label that holds control characters."""
    folder = Path(shutil.copytree(tiny_stack_folder, tmp_path / "stack"))
    config = json.loads((folder / "config.json").read_text())
    config["id2label"]["0"] = LABEL
    config["label2id"] = {name: int(index) for index, name in config["id2label"].items()}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    "options",
    [
        ["--format", "bars"], ["--format", "jsonl"], ["--explain"],
        ["--explain", "--format", "jsonl"], ["--explain", "--format", "html"],
        ["--explain", "--explain_by", "gradient"],
    ],
)  # fmt: skip
def test_foreign_text_is_inert(
    hostile_folder: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", "--model", str(hostile_folder), *options, HOSTILE]) == 0
    shown = capsys.readouterr().out
    page = "html" in options
    isolates = "--explain" in options and "jsonl" not in options
    found = (UNSAFE_BESIDE_ISOLATES if isolates else UNSAFE).findall(shown)
    assert not (set(found) - set("\u202e\u2066") if page else found)
    if page:
        assert "<script>" not in shown
    elif "jsonl" in options:
        row = json.loads(shown)
        assert row["text"] == HOSTILE
        assert LABEL in row.get("scores", {row.get("label"): 0, LABEL: 0})
    else:
        assert "\\x1b" in shown


def test_bars_keep_their_columns() -> None:
    decision = Decision([LABEL, "b"], [0.5, 0.5])
    lines = bars({LABEL: 0.5, "b": 0.25}, [LABEL], decision, width=4).splitlines()
    assert lines == ["  * joy\\x1b[31m\\u202e 0.50 ██", "    b                 0.25 █"]


def test_bars_come_in_the_order_of_the_decision_with_one_cut() -> None:
    decision = Decision(["sad", "rare", "joy"], [0.76, 0.3, 0.5], "expected_jaccard")
    found = bars({"sad": 0.5, "rare": 0.25, "joy": 0.9}, ["joy", "rare"], decision).splitlines()
    names = [
        name for line in found for name in ("joy", "rare", "sad", "cut") if name in line.split()
    ]
    assert names == ["joy", "rare", "cut", "sad"]
    assert found[-1] == (
        "    (given below 0.50: rare; not given above 0.50: sad. "
        "The labels are chosen as a set, and rarer ones need less.)"
    )
    assert "(" not in "".join(found[:-1])
    lengths = [line.count("█") for line in found if "cut" not in line]
    assert lengths == sorted(lengths, reverse=True)


def test_bars_say_why_briefly_and_only_where_it_is_needed() -> None:
    one = Decision(["joy", "sad"], [0.3, 0.5])
    assert bars({"joy": 0.4, "sad": 0.2}, ["joy"], one, width=2).splitlines() == [
        "  * joy 0.40 █  (threshold 0.30)", "    sad 0.20 ",
    ]  # fmt: skip
    best = Decision(["joy", "sad"], [0.5, 0.5], "expected_jaccard")
    assert "below" not in bars({"joy": 0.9, "sad": 0.1}, ["joy"], best)
    assert bars({"joy": 0.4, "sad": 0.1}, ["joy"], best).endswith(
        "(given below 0.50: joy. Every text gets a label, and this one fits best.)"
    )


def test_what_was_not_read_is_told(
    tiny_stack_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["predict", "--model", str(tiny_stack_folder), LONG, "", "كلمة"]
    assert main(command) == 0
    said = capsys.readouterr()
    rows = [json.loads(line) for line in said.out.splitlines()]
    assert [row.get("truncated", False) for row in rows] == [True, False, False]
    assert [row.get("has_words", True) for row in rows] == [True, False, True]
    assert rows[1]["labels"] == []
    assert "Texts that were too long and were truncated: 1." in said.err
    assert main([*command, "--long_texts", "window"]) == 0
    said = capsys.readouterr()
    whole = [json.loads(line) for line in said.out.splitlines()]
    assert "truncated" not in said.err
    assert whole[1:] == rows[1:]
    assert whole[0]["scores"] != rows[0]["scores"]
    assert main([*command, "--format", "bars"]) == 0
    assert "(no words: no label)" in capsys.readouterr().out
    assert main([*command, "--explain", "--long_texts", "window"]) == 2
    assert "--long_texts" in capsys.readouterr().err


def test_errors_are_inert(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "a\x1b[2J\x9b\u202eb"
    table = tmp_path / f"{hostile}.csv"
    table.write_text(f"text{hostile}\n1\n", encoding="utf-8")
    for command in (
        ["predict", "--model", f"./{hostile}", "a"],
        ["predict", "--model", "x/y", "--input", str(table), "--output", f"{hostile}.csv"],
        ["predict", "--model", "x/y", "--format", hostile, "a"],
        ["train", "--config", hostile, "--output_dir", str(tmp_path)],
        ["inspect", str(table)],
        [hostile],
    ):
        with suppress(SystemExit):  # argparse
            assert main(command) != 0
        said = capsys.readouterr()
        assert said.err + said.out
        assert not UNSAFE.findall(said.err + said.out), command


@pytest.mark.parametrize("given", [".jsonl", ".csv"])
@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_no_cell_is_a_formula(
    tiny_stack_folder: Path, tmp_path: Path, given: str, suffix: str
) -> None:
    rows = [{"text": "=HYPERLINK(1)", "-x": "@a"}, {"text": "نص", "-x": "-1.5"}]
    source = write_rows(tmp_path / f"in{given}", rows)
    output = tmp_path / f"out{suffix}"
    command = ["predict", "--model", str(tiny_stack_folder), "--input", str(source)]
    assert main([*command, "--output", str(output), "--spreadsheet_safe"]) == 0
    first, second = read_rows(output)
    assert (first["text"], first["'-x"]) == ("'=HYPERLINK(1)", "'@a")
    assert (second["text"], second["'-x"]) == ("نص", "-1.5")
    assert main([*command, "--output", str(output), "--overwrite"]) == 0
    assert read_rows(output)[0]["text"] == "=HYPERLINK(1)", "as it was, unless asked"


def test_spreadsheet_safe_is_for_tables(
    tiny_stack_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_rows(tmp_path / "in.jsonl", [{"text": "a"}])
    output = str(tmp_path / "out.jsonl")
    command = ["predict", "--model", str(tiny_stack_folder), "--input", str(source)]
    assert main([*command, "--output", output, "--spreadsheet_safe"]) == 2
    assert "--spreadsheet_safe is for .csv and .tsv, not for out.jsonl." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--text_column", "text"], "--text_column is for files and data sets"),
        (["--encoding", "cp1256"], "--encoding is for files and data sets"),
        (["--prefix", "p_"], "--prefix is for files and data sets"),
        (["--dataset_split", "test"], "--dataset_split is for files and data sets"),
        (["--explain", "--backend", "onnx"], "leave out --backend onnx"),
    ],
)
def test_options_without_an_effect_are_refused(
    tiny_stack_folder: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", "--model", str(tiny_stack_folder), "a text", *words]) == 2
    assert message in capsys.readouterr().err


def test_the_input_is_never_the_output(
    tiny_stack_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("HOME", str(tmp_path))
    source = write_rows(tmp_path / "in.csv", [{"text": "a"}])
    linked = tmp_path / "linked.csv"
    linked.hardlink_to(source)
    before = source.read_bytes()
    for output in (linked, "~/in.csv"):
        words = ["--input", "~/in.csv", "--output", str(output), "--overwrite"]
        assert main(["predict", "--model", str(tiny_stack_folder), *words]) == 2
        assert "another file than --input" in capsys.readouterr().err
    assert source.read_bytes() == before


def test_a_folder_in_the_place_of_the_output_is_one_sentence(
    tiny_stack_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_rows(tmp_path / "in.csv", [{"text": "a"}])
    (tmp_path / "out.csv").mkdir()
    (tmp_path / "other.csv.parts").write_text("mine")
    words = ["predict", "--model", str(tiny_stack_folder), "--input", str(source), "--overwrite"]
    assert main([*words, "--output", str(tmp_path / "out.csv")]) == 2
    assert "is a folder: give --output a file" in capsys.readouterr().err
    assert main([*words, "--output", str(tmp_path / "other.csv")]) == 2
    said = capsys.readouterr().err
    assert str(tmp_path / "other.csv.parts") in said
    assert "bug" not in said
    assert (tmp_path / "other.csv.parts").read_text() == "mine"
