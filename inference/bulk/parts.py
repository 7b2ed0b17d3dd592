"""Writing of one chunk's rows with their answers, in the format of the output."""

from __future__ import annotations

import base64
import datetime
import json
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow
import pyarrow.parquet as parquet

from ...common.errors import UserError
from ...common.files import replace_file
from ...common.inert_text import in_spreadsheet
from ...common.tables import names_in_cell
from ...data.files.arrow_rows import python_values
from .predictions import Answers, Columns
from .rows import Chunk, JsonRows, Problem, TableRows

if TYPE_CHECKING:
    import pandas


FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")
_QUOTED = re.compile('[",\r\n]')
_NOT_IN_TSV = re.compile("[\t\r\n]")


def part_suffix(schema: pyarrow.Schema | None, target: str) -> str:
    """The format of the parts: that of the output, but JSONL while there is no schema."""
    return ".jsonl" if schema is None else target


def write_part(
    path: Path, suffix: str, chunk: Chunk, answers: Answers, columns: Columns, own_keys: bool,
    spreadsheet_safe: bool = False,
) -> list[Problem]:  # fmt: skip
    """Write a chunk with its answers, without header.

    With `own_keys` a JSONL record that has a key of the answers' own keeps it. With
    `spreadsheet_safe` no cell of CSV or TSV is a formula.

    Returns:
        What the format could not hold as it was.
    """
    rows, changed = chunk.rows, list[Problem]()
    if isinstance(rows, JsonRows):
        write_lines(path, _spliced(rows, answers, columns, own_keys))
    elif suffix == ".parquet":
        parquet.write_table(_with_answers(rows, answers, columns), path)
    elif suffix == ".jsonl":
        named = {name: python_values(rows.table.column(name)) for name in rows.table.column_names}
        records = [dict(zip(named, row, strict=True)) for row in zip(*named.values(), strict=True)]
        heads = JsonRows([json_line(record) for record in records], records)
        write_lines(path, _spliced(heads, answers, columns, own_keys))
    else:
        cells: list[Sequence[Any]] = [python_values(column) for column in rows.table.columns]
        cells.append(_joined(answers.labels))
        cells += zip(*_score_texts(answers.scores, ""), strict=True) if len(rows) else []
        cells += [_joined(answers.encoders)] if columns.encoders else []
        cells += [answers.abstained] if columns.abstained else []
        names = [*rows.table.column_names, *columns.all]
        lines = delimited_lines(
            zip(*cells, strict=True), suffix, names, changed, chunk.first_row + 1, spreadsheet_safe
        )
        write_lines(path, lines)
    return changed


def _joined(lists: Sequence[list[str] | None]) -> list[str | None]:
    return [None if names is None else names_in_cell(names) for names in lists]


def _with_answers(rows: TableRows, answers: Answers, columns: Columns) -> pyarrow.Table:
    table = rows.table
    for field, values in zip(columns.fields, answers.arrays(columns), strict=True):
        table = table.append_column(field, values)
    return table


def _spliced(rows: JsonRows, answers: Answers, columns: Columns, own_keys: bool) -> Iterable[str]:
    """Each line unchanged, with the answers put before its closing brace."""
    keys = {name: json.dumps(name, ensure_ascii=False) for name in columns.all}
    texts = _score_texts(answers.scores, "null")
    more: list[Sequence[Any]] = [answers.encoders] if columns.encoders else []
    more += [answers.abstained] if columns.abstained else []
    further = [list(map(json.dumps, row)) for row in zip(*more, strict=True)]
    for line, record, labels, scores, last in zip(
        rows.lines, rows.records, answers.labels, texts, further or [[]] * len(rows), strict=True
    ):
        labeled = json.dumps(labels, ensure_ascii=False)
        values = dict(zip(keys, [labeled, *scores, *last], strict=True))
        if own := values.keys() & record.keys():
            if own_keys:
                values = {name: value for name, value in values.items() if name not in own}
            else:
                line = json_line({key: record[key] for key in record if key not in own})
        new = ", ".join(f"{keys[name]}: {value}" for name, value in values.items())
        head = line[:-1].rstrip()
        yield f"{head}{', ' if new and head != '{' else ''}{new}}}"


def _score_texts(scores: np.ndarray, missing: str) -> Iterable[list[str]]:
    """Scores with as many digits as float32 needs to come back the same."""
    for row in scores:
        yield [missing] * len(row) if np.isnan(row[0]) else [str(score) for score in row]


def json_line(record: dict[str, Any]) -> str:
    """A record as one JSON line; NaN, which JSON has not, as null."""
    try:
        return json.dumps(record, ensure_ascii=False, allow_nan=False, default=_json_value)
    except ValueError:
        return json.dumps(_without_nan(record), ensure_ascii=False, default=_json_value)


def _json_value(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    return str(value)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def cell(value: Any) -> str:
    """A value as the text of a CSV or TSV field: null is empty, nested values are JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | Decimal):
        return str(value)
    if isinstance(value, list | dict | tuple):
        return json_line(value)  # type: ignore[arg-type]
    return str(_json_value(value))


def delimited_lines(
    rows: Iterable[Sequence[Any]],
    suffix: str,
    names: Sequence[str],
    changed: list[Problem],
    first: int = 1,
    spreadsheet_safe: bool = False,
) -> Iterable[str]:
    """Rows as lines of CSV (quoted where it must be) or TSV (never quoted).

    A tab or line break in TSV becomes a space and is noted in `changed`, by the number of its row
    from `first` on. With `spreadsheet_safe` a cell that a spreadsheet would run as a formula gets
    an apostrophe.
    """
    for number, row in enumerate(rows, first):
        cells = [cell(value) for value in row]
        if spreadsheet_safe:
            cells = [in_spreadsheet(text) for text in cells]
        if suffix == ".csv":
            yield ",".join(
                '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text
                for text in cells
            )
            continue
        if _NOT_IN_TSV.search("".join(cells)):
            for place, text in enumerate(cells):
                if _NOT_IN_TSV.search(text):
                    cells[place] = _NOT_IN_TSV.sub(" ", text)
                    message = "changed: a tab or line break became a space"
                    changed.append(Problem(message, row=number, column=names[place]))
        yield "\t".join(cells)


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines in UTF-8; an unpaired surrogate, which has no UTF-8, as its JSON escape."""
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
        for line in lines:
            stream.write(line)
            stream.write("\n")


def check_table_path(path: Path) -> None:
    """Check that `write_table` can write there, before the work begins.

    Raises:
        UserError: another format than `FORMATS`, or a folder that does not exist.
    """
    if path.suffix not in FORMATS:
        raise UserError(f"{path}: the format must be one of {', '.join(FORMATS)}.")
    if not path.absolute().parent.is_dir():
        raise UserError(f"{path}: {path.parent} is not a folder.")


def write_table(path: Path, frame: pandas.DataFrame, spreadsheet_safe: bool = False) -> None:
    """Write a DataFrame in the format of its name, one of `FORMATS`, in one step.

    In CSV and TSV the items of a list are separated by commas; see `names_in_cell`.
    """
    names = list(frame.columns)

    def write(partial: Path) -> None:
        if path.suffix == ".parquet":
            frame.to_parquet(partial, index=False)
        elif path.suffix == ".jsonl":
            write_lines(partial, map(json_line, frame.to_dict("records")))
        else:
            rows = (
                [
                    names_in_cell(list(map(str, cell))) if isinstance(cell, list) else cell
                    for cell in row
                ]
                for row in frame.itertuples(index=False)
            )
            lines = chain([names], rows)
            safe = delimited_lines(lines, path.suffix, names, [], 0, spreadsheet_safe)
            write_lines(partial, safe)

    replace_file(path, write)
