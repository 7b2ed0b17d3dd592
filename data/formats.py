"""One way to open every table, and a table in memory with every cell as it was read.

No value is guessed: a text such as "NA", "null" or "1.0" stays the string it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..common.errors import DataError, RowProblems, quoted, shorten
from .dialect import (
    UNDECODABLE,
    DelimitedRows,
    Row,
    check_columns,
    check_file,
    detect_encoding,
    encoding_error,
    file_facts,
    open_text,
)
from .label_cells import binary_value
from .names import check_header, clean_name

if TYPE_CHECKING:
    from .arguments import DataArguments
    from .arrow_rows import ArrowRows

DELIMITED = (".csv", ".tsv", ".txt")
EXCEL = (".xlsx", ".xlsm")
FORMATS = (*DELIMITED, ".jsonl", ".json", ".parquet", *EXCEL)
_SHAPES = 'Write a list of objects, [{"text": …}, …], or one object a line (JSONL).'
_ROWS_AT_ONCE = 1024


class JsonLines:
    """A JSONL file: one object per line.

    Raises:
        DataError: No line holds an object.
    """

    unit, counting = "line", "lines are counted from 1"
    total: int | None = None

    def __init__(self, path: Path, encoding: str | None = None) -> None:
        self.name, self.path = str(path), path
        self.encoding = encoding or detect_encoding(path)
        self.facts = file_facts(path) | {"encoding": self.encoding}

    @property
    def columns(self) -> list[str]:
        """The keys of the first record.

        Raises:
            DataError: There is none.
        """
        first = next((row for row in self.rows() if row.values is not None), None)
        if first is None:
            raise DataError(f"{self.name} has no line that is a JSON object.")
        return list(first.values)

    def rows(self) -> Iterator[Row]:
        """Every line with something in it; those that are not objects say why."""
        decode = json.JSONDecoder(object_pairs_hook=_unique_keys).decode
        with open_text(self.path, self.encoding, "\n") as stream:
            for number, line in enumerate(stream, 1):
                raw = line.strip()
                if not raw:
                    continue
                if not raw.isascii() and UNDECODABLE.search(raw):
                    yield Row(number, None, raw, "not UTF-8")
                    continue
                try:
                    record = decode(raw)
                except (ValueError, RecursionError) as error:
                    yield Row(number, None, raw, f"{shorten(raw)} is not valid JSON ({error})")
                    continue
                if isinstance(record, dict):
                    yield Row(number, record, raw)
                else:
                    yield Row(number, None, raw, f"{shorten(record)} is not a JSON object {{…}}")


class JsonRecords:
    """A list of records, from a JSON file or from memory."""

    unit, counting = "record", "records are counted from 1"

    def __init__(self, records: Sequence[Any], name: str, facts: dict[str, Any]) -> None:
        self.name, self.facts = name, facts
        self.total: int | None = len(records)
        self._records = records

    @property
    def columns(self) -> list[str]:
        """The keys of the first record."""
        return list(next((record for record in self._records if isinstance(record, dict)), ()))

    def rows(self) -> Iterator[Row]:
        """Every record; those that are not objects say why."""
        for number, record in enumerate(self._records, 1):
            if isinstance(record, dict):
                yield Row(number, record)
            else:
                yield Row(number, None, str(record), f"{shorten(record)} is not a JSON object {{…}}")


class ExcelRows:
    """A sheet of an Excel workbook; every cell is text.

    Raises:
        DataError: openpyxl is not installed, the workbook cannot be read, there are several
            sheets, or the header cannot be used.
    """

    unit = "row"

    def __init__(
        self, path: Path, sheet: str | None, column_names: Sequence[str] | None,
        named: Sequence[str],
    ) -> None:  # fmt: skip
        self.name, self.path = str(path), path
        self.facts = file_facts(path) | {"sheet": sheet, "column_names": column_names}
        cells = self._cells(sheet)
        if not cells:
            raise DataError(f"{path}: the sheet is empty. Give a sheet with at least one text.")
        number, first = cells[0]
        header = [clean_name(cell) for cell in first]
        self.counting = "rows are counted from 1" if column_names else f"row {number} is the header"
        if column_names and len(column_names) != len(first):
            raise DataError(
                f"{path}: --column_names gives {len(column_names)} names, and row {number} has "
                f"{len(first)} cells: {shorten(first)}. Name every column."
            )
        self.columns = list(column_names) if column_names else header
        self._rows = cells[1:] if not column_names or header == list(column_names) else cells
        if not column_names:
            check_header(self.name, header, [row for _, row in cells[1:401]], number, named)
        check_columns(self.columns, self.name)
        self.total: int | None = len(self._rows)

    def _cells(self, sheet: str | None) -> list[tuple[int, list[str]]]:
        try:
            import openpyxl
        except ImportError:
            raise DataError(
                f"{self.name}: Excel files need openpyxl: pip install 'stacked_emotion[excel]'."
            ) from None
        try:
            book = openpyxl.load_workbook(self.path, read_only=True, data_only=True)
        except Exception as error:  # zipfile's, openpyxl's and xml's own kinds
            raise DataError(f"{self.name}: the file is not an Excel workbook ({error}).") from None
        names = book.sheetnames
        if sheet is None and len(names) > 1:
            raise DataError(f"{self.name} has the sheets {quoted(names)}: set --sheet to one.")
        if sheet is not None and sheet not in names:
            raise DataError(f"{self.name} has no sheet {sheet!r}; its sheets are {quoted(names)}.")
        rows = enumerate(book[sheet or names[0]].iter_rows(values_only=True), 1)
        cells = [(number, list(map(_cell_text, row))) for number, row in rows if any(
            cell is not None for cell in row)]  # fmt: skip
        book.close()
        width = max((place + 1 for _, row in cells for place, cell in enumerate(row) if cell),
                    default=0)  # fmt: skip
        return [(number, (row + [""] * width)[:width]) for number, row in cells]

    def rows(self) -> Iterator[Row]:
        """Every row that is not empty."""
        for number, cells in self._rows:
            yield Row(number, cells)


def _cell_text(value: Any) -> str:
    if value is None:
        return ""
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


Rows = DelimitedRows | JsonLines | JsonRecords | ExcelRows


def open_rows(
    given: Any,
    delimiter: str | None = None,
    quoting: str = "auto",
    encoding: str | None = None,
    column_names: Sequence[str] | None = None,
    sheet: str | None = None,
    named: Sequence[str] = (),
) -> Rows | ArrowRows:
    """Open a file or a table in memory; its rows come one at a time, or as Arrow tables.

    Args:
        given: A path (the extension names the format), a pandas DataFrame, a `datasets.Dataset`,
            a dictionary of columns, or a list of dictionaries.
        delimiter: Between two cells of a delimited file; found by default.
        quoting: See `DelimitedRows`.
        encoding: Of a text file; found by default.
        column_names: The columns of a delimited file or a sheet without a header.
        sheet: The sheet of a workbook; by default the only one.
        named: Columns that the user named by other options.

    Raises:
        DataError: There is nothing to read, or the header or the format is wrong.
    """
    if not isinstance(given, str | Path):
        return _open_memory(given)
    path = Path(given).expanduser()
    check_file(path, FORMATS)
    extension = path.suffix.lower()
    if extension not in FORMATS:
        raise DataError(
            f"{given}: the format {extension or '(no extension)'} is not known. "
            f"Use one of {', '.join(FORMATS)} (decompress the file first, if it is compressed)."
        )
    if column_names and extension not in (*DELIMITED, *EXCEL):
        raise DataError(f"{given}: a {extension} file names its columns: leave out --column_names.")
    try:
        if extension in DELIMITED:
            return DelimitedRows(path, delimiter, quoting, encoding, column_names, named)
        if extension in EXCEL:
            return ExcelRows(path, sheet, column_names, named)
        if extension == ".parquet":
            from .arrow_rows import ParquetRows

            return ParquetRows(path)
        return JsonLines(path, encoding) if extension == ".jsonl" else _open_json(path, encoding)
    except UnicodeError:
        raise encoding_error(path, encoding or detect_encoding(path)) from None
    except OSError as error:
        raise DataError(f"{given}: the file cannot be read ({error.strerror or error}).") from error


def _open_json(path: Path, encoding: str | None) -> JsonLines | JsonRecords:
    with open_text(path, encoding or detect_encoding(path)) as stream:
        content = stream.read()
    if UNDECODABLE.search(content):
        raise encoding_error(path, encoding or detect_encoding(path))
    beginning = content.lstrip()[:1]
    if not beginning:
        raise DataError(f"{path}: the file is empty. {_SHAPES}")
    if beginning == "{":
        try:
            json.loads(content.lstrip().split("\n", 1)[0])
        except (ValueError, RecursionError):
            raise DataError(
                f"{path}: the file is neither a list of objects nor one object a line. {_SHAPES}"
            ) from None
        return JsonLines(path, encoding)
    try:
        records = json.loads(content, object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: the file is not valid JSON ({error}). {_SHAPES}") from None
    if not isinstance(records, list):
        raise DataError(f"{path}: the file holds {shorten(records)}. {_SHAPES}")
    return JsonRecords(records, str(path), file_facts(path))


def _open_memory(given: Any) -> JsonRecords | ArrowRows:
    kind = type(given)
    name = f"{kind.__module__.split('.')[0]}.{kind.__name__}"
    if hasattr(given, "features") and hasattr(given, "with_format"):
        from .arrow_rows import MemoryRows

        return MemoryRows(given, f"{name} in memory")
    if isinstance(given, Mapping):
        columns = {str(key): list(values) for key, values in given.items()}
        if any(hasattr(values, "with_format") for values in given.values()):
            raise DataError(f"{name} has the splits {quoted(given)}: give one of them.")
        if len({len(values) for values in columns.values()}) > 1:
            raise DataError(f"The columns of the {name} differ in length.")
    elif hasattr(given, "columns") and hasattr(given, "iloc"):
        check_columns([str(column) for column in given.columns], f"The {name}")
        columns = {
            str(key): [None if value is None or value != value else value for value in values]
            if (values := given[key].tolist()) and not isinstance(values[0], list) and not hasattr(values[0], "shape")
            else values for key in given.columns
        }
    elif isinstance(given, Sequence):
        return JsonRecords(list(given), f"{name} in memory", {"rows": len(given)})
    else:
        raise DataError(
            f"A {name} cannot be read. Give a path, a pandas DataFrame, a datasets.Dataset, a "
            "dictionary of columns or a list of dictionaries."
        )
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return JsonRecords(rows, f"{name} in memory", {"rows": len(rows)})


@dataclass
class Table:
    """Columns of one file or split as they were read, before any check of their values.

    Attributes:
        source: Where the rows come from: a path, or a description of a data set.
        columns: Name to values, all of one length; a value that a row lacks is None.
        row_numbers: For each row its number as a user sees it in the source.
        problems: Rows that could not be read at all; they are not among `columns`.
        class_names: For a column of class numbers (`ClassLabel`), the names of the classes.
        facts: How the file was read, for the inventory.
    """

    source: str
    columns: dict[str, list[Any]]
    row_numbers: list[int] | range
    problems: RowProblems
    class_names: dict[str, list[str]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    _binary: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.row_numbers)

    def binary(self, column: str) -> np.ndarray:
        """Return a column as 0 and 1, shape (rows,) int8, with -1 for every other value."""
        if column not in self._binary:
            memory: dict[Any, int] = {}
            numbers = np.empty(len(self), np.int8)
            for index, value in enumerate(self.columns[column]):
                if not isinstance(value, str):
                    found = binary_value(value)
                elif (found := memory.get(value)) is None:  # type: ignore[assignment]
                    found = memory[value] = -1 if (b := binary_value(value)) is None else b
                numbers[index] = -1 if found is None else found
            self._binary[column] = numbers
        return self._binary[column]


def read_table(given: Any, arguments: DataArguments) -> Table:
    """Read a file or a table in memory into columns.

    Args:
        given: See `open_rows`.
        arguments: The options of reading.

    Raises:
        DataError: The file is missing, empty or of another format or encoding, or its header is
            wrong. Rows that cannot be read are not raised but noted in `Table.problems`.
    """
    rows = open_rows(given, **arguments.file_options())
    if hasattr(rows, "tables"):
        table = table_from_arrow(rows)
    else:
        try:
            table = _gathered(rows)
        except UnicodeError:
            path = Path(given).expanduser()
            raise encoding_error(path, _encoding_of(rows)) from None
        except OSError as error:
            reason = error.strerror or error
            raise DataError(f"{given}: the file cannot be read ({reason}).") from error
    if not len(table) and not table.problems:
        raise DataError(f"{table.source}: the file has no rows. Give at least one text.")
    return table


def _encoding_of(rows: Any) -> str:
    return getattr(rows, "encoding", None) or getattr(
        getattr(rows, "dialect", None), "encoding", "utf-8-sig"
    )


def _gathered(rows: Rows) -> Table:
    problems = RowProblems(rows.name, rows.unit, rows.counting)
    fixed = rows.columns if isinstance(rows, DelimitedRows | ExcelRows) else None
    columns: dict[str, list[Any]] = {name: [] for name in fixed or ()}
    width = list(columns.values()) if fixed and len(columns) == len(fixed) else None
    numbers: list[int] = []
    for row in rows.rows():
        if row.values is None:
            if UNDECODABLE.search(row.raw) and row.problem.startswith("not "):
                raise encoding_error(Path(rows.name).expanduser(), _encoding_of(rows))
            problems.add(row.number, row.problem, kind="unreadable row")
            continue
        if width is not None:
            for values, cell in zip(width, row.values, strict=True):
                values.append(cell)
        elif fixed is not None:  # nameless columns are left out
            for name, cell in zip(fixed, row.values, strict=True):
                if name:
                    columns[name].append(cell)
        else:
            _add_record(columns, _flattened(row.values), len(numbers))
        numbers.append(row.number)
    columns.pop("", None)
    facts = {"format": Path(rows.name).suffix.lower().lstrip(".") or "memory"}
    if isinstance(rows, DelimitedRows):
        facts |= {name: getattr(rows.dialect, name) for name in ("encoding", "delimiter", "quoted")}
        if not rows.dialect.quoted:
            _note_quotes(rows, columns, problems)
    return Table(rows.name, columns, numbers, problems, facts=facts)


def _add_record(columns: dict[str, list[Any]], record: dict[str, Any], rows: int) -> None:
    """Add a JSON object; a key that a record lacks is None there."""
    for key, value in record.items():
        name = clean_name(str(key))
        values = columns.get(name)
        if values is None:
            values = columns[name] = [None] * rows
        if len(values) == rows:
            values.append(value)
    for values in columns.values():
        if len(values) == rows:
            values.append(None)


def _flattened(record: dict[str, Any]) -> dict[str, Any]:
    """Return a task of a Label Studio export as a flat record; others as they are."""
    data, annotations = record.get("data"), record.get("annotations")
    if not isinstance(data, dict) or not isinstance(annotations, list):
        return record
    flat = dict(data)
    kept = [
        one for one in annotations if isinstance(one, dict) and not one.get("was_cancelled", False)
    ]
    choices: dict[str, list[Any]] = {}
    for annotation in kept:
        for result in annotation.get("result", ()):
            if isinstance(chosen := result.get("value", {}).get("choices"), list):
                choices.setdefault(result.get("from_name", "labels"), []).append(chosen)
    for name, given in choices.items():  # two annotators' answers are no single list of labels
        flat[name] = given[0] if len(given) == 1 else given
    if not choices and len(kept) == 1:
        flat["labels"] = []
    return flat


def _note_quotes(
    rows: DelimitedRows, columns: Mapping[str, Iterable[Any]], problems: RowProblems
) -> None:
    """Note cells that look quoted as in CSV in a file that is read without quoting."""
    doubled = 0
    for values in columns.values():
        for text in values:
            if '"' not in text:
                continue
            inside = text[1:-1].replace('""', "")
            if len(text) < 2 or text[0] != '"' or text[-1] != '"' or '"' in inside:
                return
            doubled += len(inside) < len(text) - 2
    if doubled:
        problems.notes.append(
            f"{rows.name}: {doubled:,} fields look quoted as in CSV, and are read as they stand, "
            "with their quotation marks. If a program quoted them, set --quoting csv."
        )


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(k for k in keys if keys.count(k) > 1)!r} occurs twice")
    return record


def table_from_arrow(rows: Any, facts: dict[str, Any] | None = None) -> Table:
    """Return the columns of an Arrow source; binary ones can hold neither texts nor labels.

    Raises:
        DataError: Two columns have the same name after cleaning.
    """
    from pyarrow import types

    from .arrow_rows import class_names, python_values

    cleaned = {name: clean_name(name) for name in rows.columns}
    check_columns(list(cleaned.values()), rows.name)
    columns: dict[str, list[Any]] = {
        name: [] for name, kind in zip(rows.columns, rows.schema.types, strict=True)
        if not (types.is_map(kind) or types.is_binary(kind) or types.is_large_binary(kind))
    }  # fmt: skip
    count = 0
    for table in rows.tables(_ROWS_AT_ONCE):
        count += table.num_rows
        for name, values in columns.items():
            values.extend(python_values(table.column(name)))
    named = {cleaned[name]: names for name, names in class_names(rows.schema).items()}
    columns = {cleaned[name]: values for name, values in columns.items()}
    problems = RowProblems(rows.name, "row", "rows are counted from 1")
    kept = facts or {"format": "parquet" if rows.name.endswith(".parquet") else "dataset"}
    return Table(rows.name, columns, range(1, count + 1), problems, named, kept)
