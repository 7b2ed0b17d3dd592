"""A table in memory, with every cell as it was read.

No value is guessed: a text such as "NA", "null" or "1.0" stays the string it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..common.errors import DataError, RowProblems, quoted, shorten
from .files.delimited import DelimitedRows
from .files.excel import ExcelRows
from .files.opening import DELIMITED, EXCEL, FORMATS, Rows, open_rows
from .files.text import UNDECODABLE, check_columns, encoding_error
from .label_cells import binary_value
from .names import clean_name

if TYPE_CHECKING:
    from .arguments import DataArguments

_ROWS_AT_ONCE = 1024
ANSWERS = (("n", "y"), ("f", "t"), ("off", "on"), ("✗", "✓"), ("✘", "✔"))


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

    def error(self, text: str) -> DataError:
        """Return the error that something is wrong with the table, to be raised."""
        return DataError(f"{self.source}: {text}")

    def note(self, text: str) -> None:
        """Keep a remark on the table that stops nothing."""
        self.problems.notes.append(f"{self.source}: {text}")

    def row(self, index: int) -> str:
        """Return where a row is, such as `line 3`."""
        return f"{self.problems.unit} {self.row_numbers[index]}"

    def cell(self, index: int, column: str) -> str:
        """Return what a cell holds and where it is, such as `'joy' in line 3`."""
        return f"{shorten(self.columns[column][index])} in {self.row(index)}"

    @property
    def header_hint(self) -> str:
        """What to try with a file that need not name its columns; empty for others."""
        if self.facts.get("format") not in {suffix[1:] for suffix in (*DELIMITED, *EXCEL)}:
            return ""
        return " (is the first line a header? If not, name the columns by --column_names)"

    def binary(self, column: str) -> np.ndarray:
        """Return a column as 0 and 1, shape (rows,) int8, with -1 for every other value."""
        if column not in self._binary:
            values = self.columns[column]
            texts = {text: binary_value(text) for text in {v for v in values if isinstance(v, str)}}
            bits = [texts[v] if isinstance(v, str) else binary_value(v) for v in values]
            numbers = np.array([-1 if bit is None else bit for bit in bits], np.int8)
            if (numbers < 0).all():
                numbers = self._answers(column, numbers)
            self._binary[column] = numbers
        return self._binary[column]

    def _answers(self, column: str, numbers: np.ndarray) -> np.ndarray:
        """Return a column of short answers, such as Y and N, as 0 and 1; any other unchanged."""
        values = [str(value).strip().lower() for value in self.columns[column]]
        for no, yes in ANSWERS:
            if set(values) == {no, yes}:
                return np.array([value == yes for value in values], np.int8)
        return numbers


def read_table(given: Any, arguments: DataArguments) -> Table:
    """Read a file or a table in memory into columns; see `open_rows`. A `Table` is read already.

    Raises:
        DataError: The file is missing, empty or of another format or encoding, or its header is
            wrong. Rows that cannot be read are not raised but noted in `Table.problems`.

    Example:
        >>> from stacked_emotion.data.arguments import DataArguments
        >>> file = Path("tweets.csv")
        >>> _ = file.write_text("text;joy\\nفرحان;1\\nيوم حزين;0\\n", encoding="utf-8")
        >>> table = read_table(file, DataArguments())
        >>> table.columns["text"], table.binary("joy").tolist()
        (['فرحان', 'يوم حزين'], [1, 0])
    """
    if isinstance(given, Table):
        return replace(given, problems=deepcopy(given.problems))
    rows = open_rows(given, **arguments.file_options())
    if hasattr(rows, "tables"):
        table = table_from_arrow(rows)
    else:
        try:
            table = _gathered(rows)
        except UnicodeError:
            path = Path(given).expanduser()
            raise encoding_error(path, rows.encoding) from None
        except OSError as error:
            reason = error.strerror or error
            raise DataError(f"{given}: the file cannot be read ({reason}).") from error
    if not len(table) and not table.problems:
        raise DataError(f"{table.source}: there are no rows. Give at least one text.")
    return table


def _gathered(rows: Rows) -> Table:
    problems = RowProblems(rows.name, rows.unit, rows.counting)
    fixed = rows.columns if isinstance(rows, DelimitedRows | ExcelRows) else None
    columns: dict[str, list[Any]] = {name: [] for name in fixed or ()}
    plain = fixed and len(columns) == len(fixed) and "" not in columns
    width = list(columns.values()) if plain else None
    numbers: list[int] = []
    nameless: dict[int, str] = {}
    for row in rows.rows():
        if row.values is None:
            if UNDECODABLE.search(row.raw) and row.problem.startswith("not "):
                raise encoding_error(Path(rows.name).expanduser(), rows.encoding)
            problems.add(row.number, row.problem, kind="unreadable row")
            continue
        if width is not None:
            for values, cell in zip(width, row.values, strict=True):
                values.append(cell)
        elif fixed is not None:  # nameless columns are left out
            for place, (name, cell) in enumerate(zip(fixed, row.values, strict=True)):
                if name:
                    columns[name].append(cell)
                elif cell.strip() and (place or cell.strip() != str(len(numbers))):
                    nameless.setdefault(place + 1, cell)
        else:
            record = {clean_name(str(key)): value for key, value in row.values.items()}
            if len(record) < len(row.values):
                reason = f"two of the keys {quoted(row.values)} mean the same column"
                problems.add(row.number, reason, kind="unreadable row")
                continue
            _add_record(columns, record, len(numbers))
        numbers.append(row.number)
    columns.pop("", None)
    for place, cell in nameless.items():
        problems.notes.append(
            f"{rows.name}: column {place} has no name in the header and is not read; it holds "
            f"{shorten(cell)}. If it is needed, name it."
        )
    suffix = Path(rows.name).suffix.lower()
    facts = {"format": suffix[1:] if suffix in FORMATS else "memory"}
    if isinstance(rows, DelimitedRows):
        facts |= {name: getattr(rows.dialect, name) for name in ("encoding", "delimiter", "quoted")}
        if not rows.dialect.quoted:
            _note_quotes(rows, columns, problems)
    return Table(rows.name, columns, numbers, problems, facts=facts)


def _add_record(columns: dict[str, list[Any]], record: dict[str, Any], rows: int) -> None:
    """Add a JSON object; a key that a record lacks is None there."""
    for name, value in record.items():
        values = columns.get(name)
        if values is None:
            values = columns[name] = [None] * rows
        values.append(value)
    for values in columns.values():
        if len(values) == rows:
            values.append(None)


def _note_quotes(
    rows: DelimitedRows, columns: Mapping[str, Iterable[Any]], problems: RowProblems
) -> None:
    """Note cells that look quoted as in CSV in a file that is read without quoting."""
    for name, values in columns.items():
        cells = list(values)
        if len(cells) > 1 and all(len(c) > 1 and c[0] == c[-1] == '"' for c in cells):
            problems.notes.append(
                f"{rows.name}: every cell of column {name!r} is in double quotes, such as "
                f"{shorten(cells[0])}, and is read with them. If a program quoted the cells, set "
                "--quoting csv."
            )
            return
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
            f"{rows.name}: {doubled:,} fields look quoted as in CSV, and are read unchanged, "
            "with their quotation marks. If a program quoted them, set --quoting csv."
        )


def table_from_arrow(rows: Any, facts: dict[str, Any] | None = None) -> Table:
    """Return the columns of an Arrow source; binary ones can hold neither texts nor labels.

    Raises:
        DataError: Two columns have the same name after cleaning.
    """
    from pyarrow import types

    from .files.arrow_rows import class_names, python_values

    cleaned = {name: clean_name(name) for name in rows.columns}
    check_columns(list(cleaned.values()), rows.name)
    left_out = {
        name: kind for name, kind in zip(rows.columns, rows.schema.types, strict=True)
        if types.is_map(kind) or types.is_binary(kind) or types.is_large_binary(kind)
    }  # fmt: skip
    columns: dict[str, list[Any]] = {name: [] for name in rows.columns if name not in left_out}
    count = 0
    for table in rows.tables(_ROWS_AT_ONCE):
        count += table.num_rows
        for name, values in columns.items():
            values.extend(python_values(table.column(name)))
    named = {cleaned[name]: names for name, names in class_names(rows.schema).items()}
    columns = {cleaned[name]: values for name, values in columns.items()}
    problems = RowProblems(rows.name, "row", "rows are counted from 1")
    problems.notes += [
        f"{rows.name}: the column {name!r} is not read: it holds {kind}. If it holds texts, write "
        "them as strings."
        for name, kind in left_out.items()
    ]
    kept = facts or {"format": "parquet" if rows.name.endswith(".parquet") else "dataset"}
    return Table(rows.name, columns, range(1, count + 1), problems, named, kept)
