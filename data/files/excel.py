"""Sheets of Excel workbooks, read with openpyxl."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...common.errors import DataError, quoted, shorten
from ..names import check_header, clean_name
from .text import Row, check_columns, file_facts


class ExcelRows:
    """A sheet of an Excel workbook; every cell is text.

    Raises:
        DataError: openpyxl is not installed, the workbook cannot be read, there are several
            sheets, or the header cannot be used.
    """

    unit, encoding = "row", "utf-8-sig"

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
            check_header(self.name, header, [row for _, row in cells[1:401]], number, named,
                         self.unit)  # fmt: skip
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
