"""Small files of labeled texts, and what the package says about them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from stacked_emotion.common.errors import DataError
from stacked_emotion.data.arguments import DataArguments
from stacked_emotion.data.inspection import Inspection, inspect_table
from stacked_emotion.data.labeled_texts import load_labeled_texts

LABELS = ["joy", "anger", "fear"]
ROWS = [
    ("a1", "يا سلام على الجو 😍", (1, 0, 0)),
    ("a2", "NA", (0, 1, 1)),
    ("a3", "null", (0, 0, 0)),
    ("a4", "1.0", (1, 1, 0)),
    ("a5", '"quoted" at the start, and a comma', (0, 0, 1)),
    ("a6", "  spaces kept\u2028and a line separator  ", (1, 0, 1)),
]


def write_csv(path: Path, rows: list, delimiter: str = ",") -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path


def write_lines(path: Path, *lines: str, newline: str = "\n") -> Path:
    path.write_bytes(newline.join([*lines, ""]).encode())
    return path


def write_bytes(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def write_json_lines(path: Path, *records: object) -> Path:
    return write_lines(path, *[json.dumps(record) for record in records])


def load(path: Path, split: str = "train", known_labels: list[str] | None = None, **options):
    arguments = DataArguments(**{f"{split}_file": str(path)}, **options)
    return load_labeled_texts(arguments, split, known_labels)


def message(path: Path, split: str = "train", known_labels: list[str] | None = None, **options):
    with pytest.raises(DataError) as caught:
        load(path, split, known_labels, **options)
    return str(caught.value)


def assert_in(found: str, *parts: object) -> None:
    missing = [str(part) for part in parts if str(part) not in found]
    assert not missing, f"{missing} not in:\n{found}"


def table_rows() -> list[list]:
    return [["id", "text", *LABELS], *[[i, text, *labels] for i, text, labels in ROWS]]


def records() -> list[dict]:
    return [dict(zip(table_rows()[0], row, strict=True)) for row in table_rows()[1:]]


def look(given: Any, **options: Any) -> Inspection:
    return inspect_table(str(given) if isinstance(given, Path) else given, DataArguments(**options))


def labels(given: Any, **options: Any) -> list[list[str]]:
    found = look(given, **options)
    assert not found.problems
    return [row["labels"] for row in found.rows(50)]


def refusal(given: Any, **options: Any) -> str:
    found = look(given, **options)
    assert found.texts is None
    assert len(found.problems) == 1
    return found.problems[0]
