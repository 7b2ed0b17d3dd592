"""CSV, TSV and JSONL, read a row at a time; a line that cannot be read stops nothing.

No value is guessed: a text such as "NA" or "1.0" stays the string it is.
"""

from __future__ import annotations

import csv
import json
import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow

from ...common.errors import UserError, did_you_mean, quoted, shorten
from .rows import Chunk, JsonRows, Problem, TableRows

CHUNK_CHARACTERS = 1 << 25
"""A chunk of a text file ends here, however few its rows are."""

_UNDECODABLE = re.compile("[\udc80-\udcff]")

Line = tuple[int, str]
Record = tuple[int, list[str] | None, str]


class DelimitedSource:
    """A CSV or TSV file.

    Args:
        path: the file, in UTF-8 (a byte order mark is allowed), with a header.
        delimiter: between two fields.
        quoted: whether a field may stand in double quotes (RFC 4180); otherwise a quotation mark
            is text.

    Raises:
        UserError: no header, UTF-16, or a column name twice.
    """

    total: int | None = None

    def __init__(self, path: Path, delimiter: str, quoted: bool) -> None:
        self.name, self.path = str(path), path
        self.delimiter, self.quoted = delimiter, quoted
        self.facts = file_facts(path) | {"delimiter": delimiter, "quoted": quoted}
        _, header, raw = next(self._records(None), (0, None, ""))
        if header is None:
            raise UserError(f"{path}: line 1, the header, cannot be read: {shorten(_shown(raw))}.")
        check_columns(self.name, header)
        self.columns: list[str] = header
        self.schema: pyarrow.Schema | None = pyarrow.schema(
            [(name, pyarrow.string()) for name in header]
        )

    def chunks(self, part_rows: int) -> Iterator[Chunk]:
        """See `Source`."""
        cut = _Cutter(part_rows)
        records = self._records(len(self.columns))
        next(records, None)
        for line, fields, raw in records:
            if fields is None:
                cut.unreadable.append(_problem(line, raw, self._reason(raw)))
            else:
                cut.lines.append(line)
                cut.rows.append(fields)
            if cut.full(len(raw)):
                yield self._chunk(cut)
        if cut:
            yield self._chunk(cut)

    def _chunk(self, cut: _Cutter) -> Chunk:
        columns = list(zip(*cut.rows, strict=True)) or [()] * len(self.columns)
        arrays = [pyarrow.array(column, pyarrow.string()) for column in columns]
        return cut.take(TableRows(pyarrow.Table.from_arrays(arrays, schema=self.schema)))

    def _reason(self, raw: str) -> str:
        if _UNDECODABLE.search(raw):
            return "not UTF-8"
        return f"not {len(self.columns)} fields, as the header has, or wrong quotes"

    def _records(self, width: int | None) -> Iterator[Record]:
        """Line, fields (None if they cannot be read) and raw text of each record."""
        lines = _lines(self.path, "" if self.quoted else "\n")
        if self.quoted:
            return self._quoted_records(lines, width)
        return self._plain_records(lines, width)

    def _plain_records(self, lines: Iterator[Line], width: int | None) -> Iterator[Record]:
        for number, line in lines:
            raw = line.removesuffix("\n").removesuffix("\r")
            if raw or width == 1:
                fields = raw.split(self.delimiter)
                readable = width in (None, len(fields)) and not _UNDECODABLE.search(raw)
                yield number, fields if readable else None, raw

    def _quoted_records(self, lines: Iterator[Line], width: int | None) -> Iterator[Record]:
        """Records of quoted CSV; after a bad line, reading goes on with the very next line.

        A stray quotation mark makes the reader swallow the lines after it: these are read again.
        """
        waiting: deque[Line] = deque()
        consumed: list[Line] = []

        def feed() -> Iterator[str]:
            while True:
                item = waiting.popleft() if waiting else next(lines, None)
                if item is None:
                    return
                consumed.append(item)
                yield item[1]

        while True:
            reader = csv.reader(feed(), delimiter=self.delimiter, strict=True)
            try:
                for fields in reader:
                    raw = "".join(line for _, line in consumed)
                    if not fields and width == 1:
                        fields = [""]
                    readable = width in (None, len(fields)) and not _UNDECODABLE.search(raw)
                    if not fields:
                        consumed.clear()
                        continue
                    if not readable:
                        raise csv.Error("not the fields of the header")
                    yield consumed[0][0], fields, raw
                    consumed.clear()
            except csv.Error:
                number, raw = consumed[0]
                waiting.extendleft(reversed(consumed[1:]))
                consumed.clear()
                yield number, None, raw.rstrip("\r\n")
            else:
                return


class JsonLinesSource:
    """A JSONL file: one object a line.

    Args:
        path: the file, in UTF-8 (a byte order mark is allowed).

    Raises:
        UserError: UTF-16, or no line that is an object.
    """

    schema: pyarrow.Schema | None = None
    total: int | None = None

    def __init__(self, path: Path) -> None:
        self.name, self.path = str(path), path
        self.facts = file_facts(path)
        for chunk in self.chunks(1):
            if len(chunk.rows):
                assert isinstance(chunk.rows, JsonRows)
                self.columns = list(chunk.rows.records[0])
                return
        if any(line.strip() for _, line in _lines(path, "\n")):
            raise UserError(f"{path} has no line that is a JSON object.")
        self.columns = []

    def chunks(self, part_rows: int) -> Iterator[Chunk]:
        """See `Source`."""
        cut = _Cutter(part_rows)
        for number, line in _lines(self.path, "\n"):
            raw = line.strip()
            if not raw:
                continue
            record, problem = _json_object(raw)
            if record is None:
                cut.unreadable.append(_problem(number, raw, problem))
            else:
                cut.lines.append(number)
                cut.rows.append((raw, record))
            if cut.full(len(raw)):
                yield self._chunk(cut)
        if cut:
            yield self._chunk(cut)

    def _chunk(self, cut: _Cutter) -> Chunk:
        return cut.take(JsonRows([raw for raw, _ in cut.rows], [record for _, record in cut.rows]))


class _Cutter:
    """Gathers rows until a chunk is full; the cuts depend on the file alone."""

    def __init__(self, part_rows: int) -> None:
        self.part_rows = part_rows
        self.number = self.first_row = 0
        self._clear()

    def _clear(self) -> None:
        self.rows: list[Any] = []
        self.lines: list[int] = []
        self.unreadable: list[Problem] = []
        self.characters = 0

    def __bool__(self) -> bool:
        return bool(self.rows or self.unreadable)

    def full(self, characters: int) -> bool:
        self.characters += characters
        most = max(len(self.rows), len(self.unreadable))
        return most >= self.part_rows or self.characters >= CHUNK_CHARACTERS

    def take(self, rows: TableRows | JsonRows) -> Chunk:
        chunk = Chunk(self.number, self.first_row, rows, self.unreadable, self.lines)
        self.number += 1
        self.first_row += len(rows)
        self._clear()
        return chunk


def check_columns(name: str, columns: list[str]) -> None:
    """Refuse a header with a name twice.

    Raises:
        UserError: naming it.
    """
    if twice := sorted({column for column in columns if columns.count(column) > 1}):
        raise UserError(f"{name} has the column {quoted(twice)} more than once: rename one.")


def file_facts(path: Path) -> dict[str, Any]:
    """Path, size and time of last change: what tells whether a file is still the same.

    Raises:
        UserError: there is no such file, or it is UTF-16.
    """
    if not path.is_file():
        parent = path.parent
        names = [child.name for child in parent.iterdir()] if parent.is_dir() else []
        raise UserError(f"There is no file {path}{did_you_mean(path.name, names)}.")
    with path.open("rb") as stream:
        if stream.read(2) in (b"\xff\xfe", b"\xfe\xff"):
            raise UserError(f"{path} is UTF-16, not UTF-8: convert it, iconv -f UTF-16 -t UTF-8.")
    state = path.stat()
    return {"file": str(path.resolve()), "size": state.st_size, "changed": state.st_mtime_ns}


def _lines(path: Path, newline: str) -> Iterator[Line]:
    """Numbered lines with their ends; bytes that are no UTF-8 become lone surrogates."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline=newline) as stream:
        yield from enumerate(stream, 1)


def _json_object(raw: str) -> tuple[dict[str, Any] | None, str]:
    if _UNDECODABLE.search(raw):
        return None, "not UTF-8"
    try:
        record = json.loads(raw, object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        return None, f"not valid JSON ({error})"
    if not isinstance(record, dict):
        return None, f"not a JSON object but {type(record).__name__}"
    return record, ""


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(k for k in keys if keys.count(k) > 1)!r} occurs twice")
    return record


def _problem(line: int, raw: str, problem: str) -> Problem:
    return Problem(problem, line=line, raw=_shown(raw))


def _shown(raw: str) -> str:
    """The line with undecodable bytes as `\\xff`."""
    return raw.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
