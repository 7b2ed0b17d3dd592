"""Rows on their way from a source to an output, and what is wrong with them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Protocol

import pyarrow

from ...common.errors import UserError, did_you_mean, quoted
from ...common.files import fingerprint
from ...data.files.arrow_rows import python_values
from ...data.names import is_blank, text_columns


@dataclass(frozen=True)
class Problem:
    """One line of the side file.

    Attributes:
        problem: what is wrong, in words.
        row: 1-based row of the output; None if the row could not be read and is not there.
        line: 1-based line of a text file at which the row begins.
        column: the column that is meant.
        raw: the line itself, if it could not be read; bytes that are not UTF-8 as `\\xff`.
    """

    problem: str
    row: int | None = None
    line: int | None = None
    column: str | None = None
    raw: str | None = None

    @classmethod
    def is_one(cls, value: Any) -> bool:
        """Whether a JSON value is what `to_json` writes."""
        known = {one.name for one in fields(cls)}
        return isinstance(value, dict) and "problem" in value and value.keys() <= known

    def to_json(self) -> str:
        """A JSON object without what is None."""
        return json.dumps({key: value for key, value in asdict(self).items() if value is not None})


@dataclass(frozen=True)
class TableRows:
    """Rows of a source with fixed columns."""

    table: pyarrow.Table

    def __len__(self) -> int:
        return self.table.num_rows

    def digest(self) -> str:
        """SHA-256 of columns, types and values, as hex."""
        # A slice and a table of its own differ in their buffers; copies of both do not.
        copied = self.table.take(pyarrow.array(range(len(self)), pyarrow.int64())).combine_chunks()
        sink = pyarrow.BufferOutputStream()
        with pyarrow.ipc.new_stream(sink, copied.schema) as stream:
            stream.write_table(copied)
        return hashlib.sha256(sink.getvalue()).hexdigest()

    def values(self, column: str) -> list[Any]:
        """A column as Python values; a string that is not UTF-8 is bytes."""
        return python_values(self.table.column(column))


@dataclass(frozen=True)
class JsonRows:
    """Rows of a JSONL file: each line itself, and what it says."""

    lines: list[str]
    records: list[dict[str, Any]]

    def __len__(self) -> int:
        return len(self.lines)

    def digest(self) -> str:
        """SHA-256 of the lines, as hex."""
        return fingerprint(self.lines)

    def values(self, column: str) -> list[Any]:
        """A column; None where a record lacks it."""
        return [record.get(column) for record in self.records]


@dataclass(frozen=True)
class Chunk:
    """Consecutive rows of a source; the unit of work, and of resuming.

    Attributes:
        number: 0-based number of the chunk.
        first_row: number of rows before it.
        rows: the rows.
        unreadable: lines between them that are not rows.
        lines: line of each row, for a text file.
    """

    number: int
    first_row: int
    rows: TableRows | JsonRows
    unreadable: list[Problem] = field(default_factory=list)
    lines: Sequence[int] | None = None

    def digest(self) -> str:
        """SHA-256 of all that is in it, as hex."""
        told = [self.number, self.first_row, [problem.to_json() for problem in self.unreadable]]
        lines = None if self.lines is None else list(self.lines)
        return fingerprint(told, lines, self.rows.digest())


class Source(Protocol):
    """Where rows come from.

    Attributes:
        name: path or description, for messages.
        columns: the names of the columns; for JSONL, those of its first record.
        schema: types of the columns; None for JSONL, whose records may differ.
        facts: JSON values that are equal if and only if the rows are.
        total: number of rows, if that is known before reading.
    """

    name: str
    columns: list[str]
    schema: pyarrow.Schema | None
    facts: dict[str, Any]
    total: int | None

    def chunks(self, part_rows: int) -> Iterator[Chunk]:
        """All rows, at most `part_rows` at a time, always cut at the same places."""
        ...


def text_problem(value: Any) -> str | None:
    """Why a value cannot be predicted, or None for a text."""
    if isinstance(value, str):
        return "an empty text" if is_blank(value) else None
    if value is None:
        return "no text (null)"
    if isinstance(value, bytes):
        return "not UTF-8"
    if isinstance(value, float) and math.isnan(value):
        return "no text (NaN)"
    return f"not a text ({type(value).__name__})"


def choose_text_column(source: Source, asked: str | None, option: str = "--text_column") -> str:
    """The column of texts: as `asked`, which the option named, or the only one with a usual name.

    Raises:
        UserError: there is no such column, it cannot hold texts, or one has to be named.
    """
    known = source.columns or source.schema is not None
    if asked is not None and known and asked not in source.columns:
        raise UserError(
            f"{source.name} has no column {asked!r}{did_you_mean(asked, source.columns)}; it has "
            f"{quoted(source.columns)}. Set {option}."
        )
    if source.schema is None and not source.columns:  # JSONL without a row
        return asked or "text"
    found = text_columns(source.columns)
    column = asked or (found[0] if len(found) == 1 else None)
    if column is None:
        header = " If the file has no header, name its columns by --column_names."
        raise UserError(
            f"{source.name}: which column holds the texts? Set {option} to one of "
            f"{quoted(found or source.columns)}.{header if option == '--text_column' else ''}"
        )
    if source.schema is not None and not _holds_texts(source.schema.field(column).type):
        raise UserError(
            f"{source.name}: the column {column!r} holds {source.schema.field(column).type}, not "
            f"texts. Set {option} to another of {quoted(source.columns)}."
        )
    return column


def _holds_texts(kind: pyarrow.DataType) -> bool:
    types = pyarrow.types
    if types.is_dictionary(kind):
        kind = kind.value_type
    return (
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_string_view(kind)
        or types.is_null(kind)
    )
