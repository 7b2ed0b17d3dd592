"""Reading CSV, TSV, JSON, JSONL and Parquet files into columns, every text kept exactly.

No value is guessed: a text such as "NA", "null" or "1.0" stays the string it is, and a file that
would have to be guessed at (wrong encoding, open quote, ragged line) is refused with its line.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..common.errors import DataError, RowProblems, did_you_mean, quoted, shorten

QUOTED_FORMATS = {".csv": ","}
UNQUOTED_FORMATS = {".tsv": "\t", ".txt": "\t"}
FORMATS = (".csv", ".tsv", ".txt", ".jsonl", ".json", ".parquet")
_CHUNK = 10_000

_BINARY: dict[Any, int] = {0: 0, 1: 1, "0": 0, "1": 1, "0.0": 0, "1.0": 1}
_BINARY |= dict.fromkeys(("false", "False", "FALSE"), 0)
_BINARY |= dict.fromkeys(("true", "True", "TRUE"), 1)


@dataclass
class Table:
    """Columns of one file or split as they were read, before any check of their values.

    Attributes:
        source: Where the rows come from: a path, or a description of a Hub data set.
        columns: Name to values, all of one length; a value that a row lacks is None.
        row_numbers: For each row its number as a user sees it in the source.
        problems: Rows that could not be read at all; they are not among `columns`.
        class_names: For a column of class numbers (`ClassLabel`), the names of the classes.
    """

    source: str
    columns: dict[str, list[Any]]
    row_numbers: list[int] | range
    problems: RowProblems
    class_names: dict[str, list[str]] = field(default_factory=dict)
    _binary: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.row_numbers)

    def binary(self, column: str) -> np.ndarray:
        """Return a column as 0 and 1, shape (rows,) int8, with -1 for every other value.

        0, 1, 0.0, 1.0 and true, false count, as numbers, as booleans or as strings.
        """
        if column not in self._binary:
            values = self.columns[column]
            numbers = np.fromiter((_binary(value) for value in values), np.int8, len(values))
            self._binary[column] = numbers
        return self._binary[column]


def _binary(value: Any) -> int:
    try:
        number = _BINARY.get(value)
    except TypeError:  # a list or a dictionary is no label value
        return -1
    if number is None:
        number = _BINARY.get(value.strip()) if isinstance(value, str) else None
    return -1 if number is None else number


def read_table(path: str | Path, delimiter: str | None = None, quoting: str = "auto") -> Table:
    """Read a file of labeled texts; its extension names its format.

    Args:
        path: A `.csv`, `.tsv`, `.txt`, `.jsonl`, `.json` or `.parquet` file, in UTF-8 (a byte
            order mark is allowed) unless it is Parquet. `.json` holds a list of objects, or one
            object a line like `.jsonl`.
        delimiter: The one character between two fields; default `,` for `.csv`, tab otherwise.
        quoting: `csv`: a field may be quoted with `"` as RFC 4180 says, and may then hold line
            breaks. `none`: every character is text, as in the SemEval files, where a tweet may
            begin with a quotation mark. `auto`: `csv` for `.csv`, `none` for `.tsv` and `.txt`.

    Raises:
        DataError: The file is missing, empty, no UTF-8, of another format, or its header is wrong.
            Rows that cannot be read are not raised but noted in `Table.problems`.
    """
    source = str(path)
    path = Path(path).expanduser()
    _check_exists(path, source)
    extension = path.suffix.lower()
    if extension not in FORMATS:
        raise DataError(
            f"{source}: the format {extension or '(no extension)'} is not known. "
            f"Use one of {', '.join(FORMATS)} (decompress the file first, if it is compressed)."
        )
    try:
        if extension == ".parquet":
            table = _read_parquet(path, source)
        elif extension == ".jsonl":
            table = _read_json_lines(path, source)
        elif extension == ".json":
            table = _read_json(path, source)
        else:
            separator = delimiter or {**QUOTED_FORMATS, **UNQUOTED_FORMATS}[extension]
            is_quoted = extension in QUOTED_FORMATS if quoting == "auto" else quoting == "csv"
            read = _read_quoted if is_quoted else _read_unquoted
            table = read(path, source, separator)
    except UnicodeDecodeError:
        raise _encoding_error(path, source) from None
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{source}: the file cannot be read ({reason}).") from error
    if not len(table) and not table.problems:
        raise DataError(f"{source}: the file has no rows. Give a file with at least one text.")
    return table


def _check_exists(path: Path, source: str) -> None:
    if path.is_dir():
        inside = sorted(child.name for child in path.iterdir() if child.suffix.lower() in FORMATS)
        hint = f" It holds {quoted(inside, 10)}." if inside else ""
        raise DataError(f"{source}: this is a folder. Give the path of one file.{hint}")
    if not path.exists():
        names = [child.name for child in path.parent.iterdir()] if path.parent.is_dir() else []
        where = "" if path.parent.is_dir() else f" There is no folder {str(path.parent)!r} either."
        raise DataError(f"{source}: there is no such file{did_you_mean(path.name, names)}.{where}")
    if path.stat().st_size == 0:
        raise DataError(f"{source}: the file is empty. Give a file with at least one text.")


def _encoding_error(path: Path, source: str) -> DataError:
    content = path.read_bytes()
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return DataError(
            f"{source}: the file is UTF-16, not UTF-8. Convert it: iconv -f UTF-16 -t UTF-8."
        )
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return DataError(
            f"{source}: the file is not UTF-8: byte 0x{content[error.start]:02x} at byte offset "
            f"{error.start} (line {line}) is no UTF-8. Convert it from the encoding it was saved "
            "in, for example: iconv -f WINDOWS-1256 -t UTF-8 (Arabic), or -f WINDOWS-1252 "
            "(Western European)."
        )
    return DataError(f"{source}: the file changed while it was read. Start again.")


class _Columns:
    """Rows gathered into columns, a chunk at a time, so that a row's list is not kept."""

    def __init__(self, header: list[str]) -> None:
        self.header = header
        self.values: list[list[Any]] = [[] for _ in header]
        self.row_numbers: list[int] = []
        self._rows: list[list[str]] = []

    def add(self, row_number: int, row: list[str]) -> None:
        self.row_numbers.append(row_number)
        self._rows.append(row)
        if len(self._rows) == _CHUNK:
            self._flush()

    def _flush(self) -> None:
        for values, new in zip(self.values, zip(*self._rows, strict=True), strict=False):
            values.extend(new)
        self._rows.clear()

    def table(self, source: str, problems: RowProblems) -> Table:
        self._flush()
        columns = dict(zip(self.header, self.values, strict=True))
        columns.pop("", None)
        return Table(source, columns, self.row_numbers, problems)


def _checked_header(fields: list[str], source: str, delimiter: str) -> list[str]:
    """Return column names without outer white space; several nameless columns are one, unused."""
    header = [name.strip() for name in fields]
    _check_duplicates([name for name in header if name], source)
    if not any(header):
        raise DataError(
            f"{source}: line 1 is the header and has no column name. "
            "Write the names of the columns into line 1."
        )
    if len(header) == 1:
        for other in {",", ";", "\t", "|"} - {delimiter}:
            if other in fields[0]:
                raise DataError(
                    f"{source}: line 1, the header, is one column {shorten(fields[0])}; its "
                    f"names seem to be separated by {other!r}, not by {delimiter!r}. "
                    f"Set --delimiter {'tab' if other == chr(9) else repr(other)}."
                )
    return header


def _check_duplicates(names: Iterable[str], source: str) -> None:
    names = list(names)
    duplicates = {name: names.count(name) for name in names if names.count(name) > 1}
    if duplicates:
        listed = ", ".join(f"{name!r} ({count} times)" for name, count in duplicates.items())
        raise DataError(
            f"{source}: duplicate column names in the header: {listed}. Rename or remove them."
        )


def _without_nul(lines: Iterable[str], source: str) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        if "\0" in line:
            raise DataError(
                f"{source}: line {number} holds a NUL byte. The file is damaged, or it is UTF-16 "
                "without a byte order mark: convert it to UTF-8, or remove the bytes with "
                "tr -d '\\000'."
            )
        yield line


def _ragged(fields: int, columns: int, advice: str) -> str:
    return f"{fields} field{'s' if fields != 1 else ''}, the header has {columns}; {advice}"


def _read_quoted(path: Path, source: str, delimiter: str) -> Table:
    problems = RowProblems(source, "line", "line 1 is the header")
    advice = f"a text that holds {delimiter!r} or a line break must stand in double quotes"
    columns: _Columns | None = None
    start = 1
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = _without_nul(file, source)
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        try:
            for row in reader:
                line, start = start, reader.line_num + 1
                if not row:
                    continue
                if columns is None:
                    columns = _Columns(_checked_header(row, source, delimiter))
                    header_length = len(columns.header)
                elif len(row) == header_length:
                    columns.add(line, row)
                else:
                    problems.add(line, _ragged(len(row), header_length, advice))
        except csv.Error as error:
            raise DataError(
                f"{source}: the record that begins at line {start} cannot be read as CSV ({error})."
                " As a rule a double quote is opened and not closed, or one inside a quoted text"
                ' is not doubled (""). If the file does not quote at all, set --quoting none.'
            ) from None
    if columns is None:
        raise DataError(f"{source}: the file is empty. Give a file with at least one text.")
    return columns.table(source, problems)


def _read_unquoted(path: Path, source: str, delimiter: str) -> Table:
    problems = RowProblems(source, "line", "line 1 is the header")
    advice = f"a text must not hold {delimiter!r} or a line break, and nothing is quoted"
    columns: _Columns | None = None
    doubled = raw = 0
    with path.open(encoding="utf-8-sig", newline="\n") as file:
        for number, line in enumerate(_without_nul(file, source), start=1):
            line = line.removesuffix("\n").removesuffix("\r")
            if not line.strip(" "):
                continue
            row = line.split(delimiter)
            if columns is None:
                columns = _Columns(_checked_header(row, source, delimiter))
                header_length = len(columns.header)
            elif len(row) == header_length:
                columns.add(number, row)
            else:
                problems.add(number, _ragged(len(row), header_length, advice))
            if '"' in line:
                doubled_here, raw_here = _quoting_signs(row)
                doubled, raw = doubled + doubled_here, raw + raw_here
    if columns is None:
        raise DataError(f"{source}: the file is empty. Give a file with at least one text.")
    table = columns.table(source, problems)
    if doubled and not raw:
        problems.notes.append(
            f"{source}: {doubled:,} fields look quoted as in CSV, and are read as they stand, "
            "with their quotation marks. If a program quoted them, set --quoting csv."
        )
    return table


def _quoting_signs(row: list[str]) -> tuple[int, int]:
    """Count fields that only a CSV writer makes (doubled quotes), and those it never makes."""
    doubled = raw = 0
    for text in row:
        if '"' not in text:
            continue
        inside = text[1:-1].replace('""', "")
        if len(text) < 2 or text[0] != '"' or text[-1] != '"' or '"' in inside:
            raw += 1
        elif len(inside) < len(text) - 2:
            doubled += 1
    return doubled, raw


class _Records:
    """JSON objects gathered into columns; a key that a record lacks is None there."""

    def __init__(self) -> None:
        self.columns: dict[str, list[Any]] = {}
        self.row_numbers: list[int] = []

    def add(self, row_number: int, record: dict[str, Any]) -> None:
        rows = len(self.row_numbers)
        for key, value in record.items():
            values = self.columns.get(key)
            if values is None:
                values = self.columns[key] = [None] * rows
            values.append(value)
        self.row_numbers.append(row_number)
        if len(record) < len(self.columns):
            for values in self.columns.values():
                if len(values) == rows:
                    values.append(None)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(k for k in keys if keys.count(k) > 1)!r} occurs twice")
    return record


def _read_json_lines(path: Path, source: str) -> Table:
    problems = RowProblems(source, "line", "lines are counted from 1")
    records = _Records()
    decode = json.JSONDecoder(object_pairs_hook=_unique_keys).decode
    with path.open(encoding="utf-8-sig", newline="\n") as file:
        for number, line in enumerate(_without_nul(file, source), start=1):
            if not line.strip():
                continue
            try:
                record = decode(line)
            except (ValueError, RecursionError) as error:
                problems.add(number, f"{shorten(line.strip())} is not valid JSON ({error})")
                continue
            if isinstance(record, dict):
                records.add(number, record)
            else:
                problems.add(number, f"{shorten(record)} is not a JSON object {{…}}")
    return Table(source, records.columns, records.row_numbers, problems)


def _read_json(path: Path, source: str) -> Table:
    with path.open(encoding="utf-8-sig") as file:
        content = file.read()
    beginning = content.lstrip()[:1]
    shapes = 'Write a list of objects, [{"text": …}, …], or one object a line (JSONL).'
    if not beginning:
        raise DataError(f"{source}: the file is empty. {shapes}")
    if beginning == "{":
        first_line = content.lstrip().split("\n", 1)[0]
        try:
            json.loads(first_line)
        except (ValueError, RecursionError):
            raise DataError(
                f"{source}: the file is neither a list of objects nor one object a line. {shapes}"
            ) from None
        return _read_json_lines(path, source)
    try:
        content_list = json.loads(content, object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{source}: the file is not valid JSON ({error}). {shapes}") from None
    if not isinstance(content_list, list):
        raise DataError(f"{source}: the file holds {shorten(content_list)}. {shapes}")
    problems = RowProblems(source, "record", "records are counted from 1")
    records = _Records()
    for number, record in enumerate(content_list, start=1):
        if isinstance(record, dict):
            records.add(number, record)
        else:
            problems.add(number, f"{shorten(record)} is not a JSON object {{…}}")
    return Table(source, records.columns, records.row_numbers, problems)


def _read_parquet(path: Path, source: str) -> Table:
    import pyarrow
    import pyarrow.parquet

    try:
        arrow_table = pyarrow.parquet.ParquetFile(io.BytesIO(path.read_bytes())).read()
    except pyarrow.ArrowException as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{source}: the file is not valid Parquet ({reason}).") from None
    return table_from_arrow(arrow_table, source)


def table_from_arrow(arrow_table: Any, source: str) -> Table:
    """Return the text, number, boolean and list columns of a `pyarrow.Table`.

    Class names are taken from the `datasets` features that the schema carries, if any. Other
    columns (binary, nested objects) can hold neither texts nor labels and are left out.

    Raises:
        DataError: Two columns have the same name.
    """
    import datasets
    from pyarrow import types

    _check_duplicates(arrow_table.column_names, source)
    columns: dict[str, list[Any]] = {}
    for name, column in zip(arrow_table.column_names, arrow_table.columns, strict=True):
        kind = column.type
        if not any(test(kind) for test in (types.is_struct, types.is_map, types.is_binary)):
            columns[name] = column.to_pylist()
    class_names = {}
    for name, feature in datasets.Features.from_arrow_schema(arrow_table.schema).items():
        inner = getattr(feature, "feature", feature)
        if isinstance(inner, datasets.ClassLabel) and inner.names:
            class_names[name] = list(inner.names)
    problems = RowProblems(source, "row", "rows are counted from 1")
    rows = range(1, arrow_table.num_rows + 1)
    return Table(source, columns, rows, problems, class_names)
