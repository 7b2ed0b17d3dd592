"""Bad rows: each is told, none is dropped in silence, none stops the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet as parquet
import pytest
from bulk_files import read_problems, read_rows

from stacked_emotion.inference import predict_file


@pytest.fixture
def run(tiny_stack_folder: Path, tmp_path: Path) -> Any:
    def run(
        name: str, content: bytes, target: str = "out.jsonl", part_rows: int = 3
    ) -> tuple[Any, list[Any], list[Any]]:
        (tmp_path / name).write_bytes(content)
        report = predict_file(
            str(tiny_stack_folder),
            tmp_path / name,
            tmp_path / target,
            part_rows=part_rows,
            overwrite=True,
        )
        assert report is not None
        return report, read_rows(tmp_path / target), read_problems(tmp_path / target)

    return run


def test_csv(run: Any) -> None:
    content = (
        b'id,text\n1,good\n2,too,many\n3\n4,\n5,bad \xff byte\n6,"open quote\n7,good\n8,"a"b\n'
        b'9,"two\nlines"\n\n10,NaN\n11,good\n'
    )
    report, rows, problems = run("in.csv", content)
    assert [row["id"] for row in rows] == ["1", "4", "7", "9", "10", "11"]
    assert [row["text"] for row in rows] == ["good", "", "good", "two\nlines", "NaN", "good"]
    assert [row["labels"] is None for row in rows] == [False, True, False, False, False, False]
    told = {problem["line"]: problem for problem in problems}
    assert list(told) == [3, 4, 5, 6, 7, 9]
    assert told[3]["raw"] == "2,too,many"
    assert told[4]["raw"] == "3"
    assert told[5] == {"problem": "an empty text", "row": 2, "line": 5, "column": "text"}
    assert (told[6]["raw"], told[6]["problem"]) == ("5,bad \\xff byte", "not UTF-8")
    assert told[7]["raw"] == '6,"open quote'
    assert told[9]["raw"] == '8,"a"b'
    assert (report.rows, report.predicted, report.without_answer, report.unreadable) == (6, 5, 1, 5)
    assert "6 rows, 5 predicted, 1 without a text; 5 lines of the input are not rows" in str(report)


def test_an_open_quote_does_not_swallow_the_rest(run: Any) -> None:
    lines = [b"id,text"] + [b'%d,"good"' % number for number in range(400)]
    lines[10] = b'9,"open ' + b"x" * 100
    lines[400] = b'399,"open at the end'
    report, rows, problems = run("in.csv", b"\n".join(lines), "out.csv", 128)
    assert [problem["line"] for problem in problems] == [11, 401]
    assert [int(row["id"]) for row in rows] == [n for n in range(400) if n not in (9, 399)]
    assert report.unreadable == 2


def test_one_column_of_texts(run: Any) -> None:
    _, rows, problems = run("in.csv", b"text\ngood\n\nbad\n", "out.csv")
    assert [row["text"] for row in rows] == ["good", "", "bad"]
    assert [problem["row"] for problem in problems] == [2]


def test_tsv(run: Any) -> None:
    content = b'id\ttext\n1\t"good\n2\ttoo\tmany\n3\t\xff\n4\t \r\n5\tgood'
    _, rows, problems = run("in.tsv", content, "out.tsv")
    assert [(row["id"], row["text"]) for row in rows] == [("1", '"good'), ("4", " "), ("5", "good")]
    assert [problem["line"] for problem in problems] == [3, 4, 5]
    assert [problem.get("row") for problem in problems] == [None, None, 2]


@pytest.mark.parametrize("target", ["out.jsonl", "out.parquet"])
def test_json_lines(run: Any, target: str) -> None:
    lines = [
        b'{"text": "good", "id": 1}', b'{"text": "", "id": 2}', b'{"text": null, "id": 3}',
        b'{"text": NaN, "id": 4}', b'{"text": 5, "id": 5}', b'{"text": ["a"], "id": 6}',
        b'{"id": 7}', b'{"text": "cut off', b"[1]", b'{"text": "\xff"}', b"",
        b'{"text": "a", "text": "b"}', b'{"text": "own", "id": 8, "labels": "mine"}',
        b'{"text": "good", "id": 9}', b"[" * 100_000,
    ]  # fmt: skip
    report, rows, problems = run("in.jsonl", b"\n".join(lines), target)
    assert [row["id"] for row in rows] == list(range(1, 10))
    answered = [row.get("score_joy") is not None for row in rows]
    assert answered == [True, *[False] * 7, True]
    told = {problem["line"]: problem for problem in problems}
    assert list(told) == [2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 15]
    assert [told[line].get("row") for line in (2, 3, 4, 5, 6, 7, 13)] == [2, 3, 4, 5, 6, 7, 8]
    assert "null" in told[3]["problem"]
    assert "int" in told[5]["problem"]
    assert "list" in told[6]["problem"]
    assert told[10]["raw"] == '{"text": "\\xff"}'
    assert "twice" in told[12]["problem"]
    assert "--prefix" in told[13]["problem"]
    assert json.loads(told[13]["raw"])["labels"] == "mine"
    assert rows[7]["labels"] == ("mine" if target == "out.jsonl" else None)
    assert told[15]["raw"] == "[" * 100_000
    assert (report.rows, report.without_answer, report.unreadable) == (9, 7, 5)


@pytest.mark.parametrize("target", ["out.jsonl", "out.csv", "out.parquet"])
def test_parquet(tmp_path: Path, tiny_stack_folder: Path, target: str) -> None:
    raw = pyarrow.array([b"good", b"", None, b"\xff\xfe", b"good"], pyarrow.binary())
    texts = pyarrow.Array.from_buffers(pyarrow.string(), 5, raw.buffers())
    ids = pyarrow.array([1, 2, 3, 4, 5])
    parquet.write_table(pyarrow.table({"id": ids, "text": texts}), tmp_path / "in.parquet")
    predict_file(str(tiny_stack_folder), tmp_path / "in.parquet", tmp_path / target, part_rows=2)
    problems = read_problems(tmp_path / target)
    assert [(problem["row"], problem["problem"]) for problem in problems] == [
        (2, "an empty text"), (3, "no text (null)"), (4, "not UTF-8"),
    ]  # fmt: skip
    if target == "out.parquet":
        column = parquet.read_table(tmp_path / target)["text"]
        assert column.cast(pyarrow.binary()).to_pylist() == raw.to_pylist()
        scores = parquet.read_table(tmp_path / target)["score_joy"].to_pylist()
    else:
        rows = read_rows(tmp_path / target)
        assert [int(row["id"]) for row in rows] == [1, 2, 3, 4, 5]
        scores = [row["score_joy"] or None for row in rows]
    assert [score is None for score in scores] == [False, True, True, True, False]


def test_nothing_but_bad_rows(run: Any) -> None:
    report, rows, problems = run("in.csv", b"id,text\n" + b"1\n" * 10 + b"2,\n", "out.parquet")
    assert (report.rows, report.predicted, report.unreadable) == (1, 0, 10)
    assert rows[0]["labels"] is None
    assert len(problems) == 11
