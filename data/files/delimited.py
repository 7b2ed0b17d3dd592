"""CSV and TSV files: encoding, delimiter and header, and their rows one at a time.

This module needs the standard library only: the demo Space reads uploads with it.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ...common.errors import DataError, listed, shorten
from ..names import clean_name
from .text import (
    UNDECODABLE,
    Row,
    detect_encoding,
    encoding_error,
    encoding_name,
    file_facts,
    open_text,
    shown,
    take_header,
)

DEFAULT_DELIMITERS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
MAX_CELL = 1 << 28
"""Characters in one cell; an open quotation mark swallows no more than that."""

_SAMPLE_LINES = 400
_SAMPLE_CHARACTERS = 1 << 20
_USUAL = ",;\t|"
_NEVER_DELIMITERS = " _-.\"'()[]{}?…<>\r\n\ufeff"
_SEP_LINE = re.compile(r'"?sep *= *(.)"?[,;\t|]*[\r\n]*', re.IGNORECASE)

Line = tuple[int, str]


@dataclass(frozen=True)
class Dialect:
    """How a file of delimited values is written.

    Attributes:
        encoding: Its encoding, for `open`.
        delimiter: The character between two cells.
        quoted: Whether a cell may stand in double quotes (RFC 4180).
        newline: What ends a line, for `open`.
    """

    encoding: str
    delimiter: str
    quoted: bool
    newline: str


class DelimitedRows:
    """A CSV or TSV file, one row at a time.

    Args:
        path: The file.
        delimiter: The character between two cells; found by default.
        quoting: `csv`: cells may be quoted; `none`: a quotation mark is text; `auto`: `csv` in
            `.csv`, `none` in `.tsv` and `.txt`.
        encoding: By default UTF-8, UTF-16 or UTF-32 as the file begins.
        column_names: The names of the columns of a file without a header.
        named: Columns that the user named by other options.

    Raises:
        DataError: The file is empty, or its header cannot be used.

    Attributes:
        name: The file, for messages.
        columns: The cleaned names of the columns; a nameless column is "".
        encoding: Its encoding.
        unit: What `Row.number` counts.
        counting: How it counts, for messages.
    """

    unit = "line"
    total: int | None = None

    def __init__(
        self,
        path: Path,
        delimiter: str | None = None,
        quoting: str = "auto",
        encoding: str | None = None,
        column_names: Sequence[str] | None = None,
        named: Sequence[str] = (),
    ) -> None:
        self.name, self.path = str(path), path
        self.dialect, lines = sniff(path, delimiter, quoting, encoding)
        self.encoding = self.dialect.encoding
        self._named = column_names
        self.counting = "lines are counted from 1" if column_names else "line 1 is the header"
        sample = list(islice(self._records(iter(lines), None), _SAMPLE_LINES))
        if not any(row.raw.strip() for row in sample):
            raise DataError(f"{path}: the file is empty. Give a file with at least one text.")
        first = sample[0]
        if first.values is None:
            if first.problem.startswith("not "):
                raise encoding_error(path, self.encoding)
            raise DataError(
                f"{path}: line {first.number}, the header, cannot be read ({first.problem}): "
                f"{shorten(shown(first.raw))}."
            )
        cells = [clean_name(name) for name in first.values]
        if delimiter and len(cells) == 1 and (others := set(_USUAL) & set(first.raw)):
            raise DataError(
                f"{path}: --delimiter {delimiter!r} does not occur in line {first.number}, "
                f"{shorten(shown(first.raw.strip()))}. Leave it out, or set it to "
                f"{listed([repr(sign) for sign in _USUAL if sign in others], 'or')}."
            )
        quoted = all(len(cell) > 1 and cell[0] == cell[-1] == '"' for cell in cells)
        if quoted and not self.dialect.quoted and quoting == "auto":
            raise DataError(
                f"{path}: the header is in double quotes, {shorten(first.raw)}. Set --quoting csv "
                "if a program quoted the cells, else --quoting none."
            )
        self._first_line = first.number
        below = [row.values for row in sample[1:] if row.values]
        self.columns, self._skip_first = take_header(
            self.name, (first.number, first.values), below, column_names, named, self.unit
        )
        self.facts = file_facts(path) | {
            "delimiter": self.dialect.delimiter,
            "quoted": self.dialect.quoted,
            "encoding": self.encoding,
            "column_names": list(column_names) if column_names else None,
        }

    def rows(self) -> Iterator[Row]:
        """Every row; those that cannot be read have no values and say why."""
        with open_text(self.path, self.encoding, self.dialect.newline) as stream:
            lines = islice(enumerate(stream, 1), self._first_line - 1, None)
            records = self._records(lines, len(self.columns))
            if self._skip_first:
                next(records, None)
            yield from records

    def _records(self, lines: Iterator[Line], width: int | None) -> Iterator[Row]:
        if self.dialect.quoted:
            return self._quoted_records(lines, width)
        return self._plain_records(lines, width)

    def _row(self, number: int, fields: list[str], raw: str, width: int | None) -> Row:
        if not raw.isascii() and UNDECODABLE.search(raw):
            return Row(number, None, raw, f"not {encoding_name(self.encoding)}")
        if width is not None and len(fields) != width:
            return Row(number, None, raw, self._ragged(len(fields), width))
        return Row(number, fields, raw)

    def _ragged(self, fields: int, width: int) -> str:
        delimiter = self.dialect.delimiter
        advice = (
            f"a text that holds {delimiter!r} or a line break must stand in double quotes"
            if self.dialect.quoted
            else f"a text must not hold {delimiter!r} or a line break, as nothing is quoted; if a "
            "program quoted the texts, set --quoting csv"
        )
        what = "column names were given" if self._named else "the header has"
        count = f"{width} {what}" if self._named else f"{what} {width}"
        return f"{fields} field{'s' if fields != 1 else ''}, {count}; {advice}"

    def _plain_records(self, lines: Iterator[Line], width: int | None) -> Iterator[Row]:
        for number, line in lines:
            raw = line.rstrip("\r\n") if self.dialect.newline == "\r" else (
                line.removesuffix("\n").removesuffix("\r"))  # fmt: skip
            if raw.strip(" ") or width == 1:
                yield self._row(number, raw.split(self.dialect.delimiter), raw, width)

    def _quoted_records(self, lines: Iterator[Line], width: int | None) -> Iterator[Row]:
        """Records of quoted CSV; after a bad record, reading continues on the very next line.

        A stray quotation mark makes the reader swallow the lines after it: these are read again.
        """
        csv.field_size_limit(max(csv.field_size_limit(), MAX_CELL))
        waiting: deque[Line] = deque()
        consumed: list[Line] = []

        def feed() -> Iterator[str]:
            while (item := waiting.popleft() if waiting else next(lines, None)) is not None:
                consumed.append(item)
                yield item[1]

        while True:
            reader = csv.reader(feed(), delimiter=self.dialect.delimiter, strict=True)
            problem = ""
            try:
                for fields in reader:
                    raw = "".join(line for _, line in consumed)
                    if not fields and width == 1:
                        fields = [""]
                    if fields:
                        row = self._row(consumed[0][0], fields, raw, width)
                        if row.values is None:
                            problem = row.problem
                            break
                        yield row
                    consumed.clear()
                else:
                    return
            except csv.Error as error:
                problem = (
                    f"the record that begins at line {consumed[0][0]} cannot be read as CSV "
                    f"({error}): usually a double quote is opened and not closed, or one inside "
                    'a quoted text is not doubled (""). If nothing in the file is quoted, set '
                    "--quoting none"
                )
            number, raw = consumed[0]
            waiting.extendleft(reversed(consumed[1:]))
            consumed.clear()
            yield Row(number, None, raw.rstrip("\r\n"), problem)


def sniff(
    path: Path, delimiter: str | None = None, quoting: str = "auto", encoding: str | None = None
) -> tuple[Dialect, list[Line]]:
    """Return how a file is written, and its first lines from the header on.

    A line `sep=;` names the delimiter. Otherwise it is a sign of the first line by which the rows
    have as many cells as that line; a file whose first line has no such sign is one column. What
    the user named by options is not looked for; see `DelimitedRows`.
    """
    encoding = encoding or detect_encoding(path)
    quoted_cells = path.suffix.lower() == ".csv" if quoting == "auto" else quoting == "csv"
    newline = "" if quoted_cells else _plain_newline(path, encoding)
    with open_text(path, encoding, newline) as stream:
        lines: list[Line] = []
        room = _SAMPLE_CHARACTERS
        for number, line in enumerate(islice(stream, _SAMPLE_LINES), 1):
            lines.append((number, line))
            room -= len(line)
            if room < 0:
                break
    if lines and (found := _SEP_LINE.fullmatch(lines[0][1])):
        delimiter = delimiter or found[1]
        lines = lines[1:]
    usual = DEFAULT_DELIMITERS.get(path.suffix.lower(), ",")
    if delimiter is None:
        delimiter = _find_delimiter([line for _, line in lines], usual, quoted_cells)
    return Dialect(encoding, delimiter, quoted_cells, newline), lines


def _find_delimiter(lines: list[str], usual: str, quoted_cells: bool) -> str:
    lines = [line for line in lines if line.strip(" \r\n")]
    if not lines:
        return usual
    header = re.sub(r'"[^"]*"', "", lines[0]) if quoted_cells else lines[0]
    best, best_rank = usual, (0.5, 0, 0)
    for sign in dict.fromkeys(usual + header):
        if sign not in header or not (sign in _USUAL or _may_delimit(sign)):
            continue
        widths = _widths(lines, sign, quoted_cells)
        share = sum(width == widths[0] for width in widths[1:]) / max(len(widths) - 1, 1)
        share = 1.0 if len(widths) == 1 else share
        if sign not in _USUAL and (share < 1 or not all(map(str.strip, header.split(sign)))):
            continue
        if sign == usual:
            share = max(share, 0.5)
        rank = (share, int(sign == usual), widths[0] + 2 * (sign in _USUAL))
        if rank >= best_rank:
            best, best_rank = sign, rank
    return best


def _may_delimit(sign: str) -> bool:
    return sign not in _NEVER_DELIMITERS and (
        unicodedata.category(sign)[0] in "PS" or unicodedata.category(sign) == "Cc"
    )


def _widths(lines: list[str], delimiter: str, quoted_cells: bool) -> list[int]:
    if not quoted_cells:
        return [len(line.split(delimiter)) for line in lines]
    csv.field_size_limit(max(csv.field_size_limit(), MAX_CELL))
    try:
        return [len(row) for row in csv.reader(lines, delimiter=delimiter) if row] or [1]
    except csv.Error:
        return [len(lines[0].split(delimiter))]


def _plain_newline(path: Path, encoding: str) -> str:
    with open_text(path, encoding) as stream:
        head = stream.read(1 << 16)
    return "\r" if "\r" in head and "\n" not in head else "\n"
