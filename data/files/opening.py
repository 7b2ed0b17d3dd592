"""One way to open every table: its rows come one at a time, or as Arrow tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...common.errors import DataError, quoted, shorten
from ..names import clean_name
from .delimited import DelimitedRows
from .excel import ExcelRows
from .json_rows import JsonLines, JsonRecords, begins_with_list, open_json
from .text import check_columns, check_file, detect_encoding, encoding_error

if TYPE_CHECKING:
    from .arrow_rows import ArrowRows

DELIMITED = (".csv", ".tsv", ".txt")
EXCEL = (".xlsx", ".xlsm")
FORMATS = (*DELIMITED, ".jsonl", ".json", ".parquet", *EXCEL)

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
        if extension == ".jsonl" and not begins_with_list(path, encoding):
            return JsonLines(path, encoding)
        return open_json(path, encoding)
    except UnicodeError:
        raise encoding_error(path, encoding or detect_encoding(path)) from None
    except OSError as error:
        raise DataError(f"{given}: the file cannot be read ({error.strerror or error}).") from error


def _open_memory(given: Any) -> JsonRecords | ArrowRows:
    kind = type(given)
    name = f"{kind.__module__.split('.')[0]}.{kind.__name__}"
    if hasattr(given, "features") and hasattr(given, "with_format"):
        if not hasattr(given, "__len__"):
            raise DataError(
                f"A {name} is a stream without a length: load the data set without streaming."
            )
        from .arrow_rows import MemoryRows

        return MemoryRows(given, f"{name} in memory")
    if isinstance(given, Mapping):
        if any(hasattr(values, "with_format") for values in given.values()):
            raise DataError(f"{name} has the splits {quoted(given)}: give one of them.")
        for key, values in given.items():
            if isinstance(values, str) or not isinstance(values, Iterable):
                raise DataError(
                    f"The column {key!r} of the {name} is {shorten(values)}, not a list. Give a "
                    "dictionary of columns, or a list of dictionaries."
                )
        columns = {str(key): list(values) for key, values in given.items()}
        if len({len(values) for values in columns.values()}) > 1:
            raise DataError(f"The columns of the {name} differ in length.")
    elif hasattr(given, "columns") and hasattr(given, "iloc"):
        if any(isinstance(column, tuple) for column in given.columns):
            raise DataError(f"The columns of the {name} have several levels: give each one name.")
        check_columns([clean_name(str(column)) for column in given.columns], f"The {name}")
        columns = {
            str(key): [None if _is_null(value) else value for value in given[key].tolist()]
            for key in given.columns
        }
    elif isinstance(given, Sequence):
        return JsonRecords(list(given), f"{name} in memory", {"rows": len(given)})
    else:
        raise DataError(
            f"A {name} cannot be read. Give a path, a pandas DataFrame, a datasets.Dataset, a "
            "dictionary of columns or a list of dictionaries."
        )
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    records = JsonRecords(rows, f"{name} in memory", {"rows": len(rows)})
    index: Any = getattr(given, "index", None)
    if getattr(getattr(index, "dtype", None), "kind", None) in ("i", "u") and index.is_unique:
        records.numbers = index.tolist()
        records.unit, records.counting = "row", "rows are numbered by the index"
    return records


def _is_null(value: Any) -> bool:
    """Return whether a value of a pandas column is None, NaN, NaT or NA."""
    if isinstance(value, float):
        return value != value
    return value is None or type(value).__name__ in ("NAType", "NaTType")
