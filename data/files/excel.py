"""Sheets of Excel workbooks, read with openpyxl."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...common.errors import DataError, quoted
from .text import Row, file_facts, take_header


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
        number = cells[0][0]
        self.counting = "rows are counted from 1" if column_names else f"row {number} is the header"
        below = [row for _, row in cells[1:401]]
        self.columns, has_header = take_header(
            self.name, cells[0], below, column_names, named, self.unit
        )
        self._rows = cells[has_header:]
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
