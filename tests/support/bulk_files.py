"""Files of rows for the tests of bulk prediction."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet as parquet


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Rows of the same keys as a file, its format by its suffix."""
    if path.suffix == ".jsonl":
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        path.write_text("".join(lines), encoding="utf-8")
    elif path.suffix == ".parquet":
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif path.suffix == ".tsv":
        lines = ("\t".join(map(str, row)) + "\n" for row in (rows[0], *(r.values() for r in rows)))
        path.write_text("".join(lines), encoding="utf-8")
    else:
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return path


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of an output, read by other code than the one that wrote it."""
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_bytes().decode().split("\n")[:-1]]
    if path.suffix == ".parquet":
        return parquet.read_table(path).to_pylist()
    if path.suffix == ".tsv":
        header, *lines = path.read_bytes().decode().split("\n")[:-1]
        names = header.split("\t")
        return [dict(zip(names, line.split("\t"), strict=True)) for line in lines]
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def read_problems(output: Path) -> list[dict[str, Any]]:
    """The side file's entries; none if it is not there."""
    path = output.with_name(f"{output.name}.problems.jsonl")
    return read_rows(path) if path.exists() else []
