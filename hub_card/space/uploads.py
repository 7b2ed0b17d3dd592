"""CSV files that people upload, with one clear sentence for each thing that can be wrong."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...common.errors import DataError, UserError
from ...common.inert_text import in_spreadsheet
from ...data.files.delimited import DelimitedRows
from ...data.files.text import detect_encoding
from ...data.names import text_columns

MAX_ROWS = 2000
MAX_BYTES = 5_000_000
_NOT_UTF8 = "not UTF-8. In Excel choose “CSV UTF-8 (comma delimited)” when you save it."


@dataclass(frozen=True)
class Upload:
    """A table somebody uploaded.

    Attributes:
        name: the file's name.
        columns: the header.
        rows: a list of cells each, as long as the header.
        text_column: where the texts are in a row.
    """

    name: str
    columns: list[str]
    rows: list[list[str]]
    text_column: int

    @property
    def texts(self) -> list[str]:
        """The texts, in the order of the rows."""
        return [row[self.text_column] for row in self.rows]


def read_upload(
    path: str | Path, max_rows: int = MAX_ROWS, text_column: str | None = None
) -> Upload:
    """Read a CSV file whose header names a column of texts.

    The file is read as everywhere in this package: any delimiter, UTF-8 or UTF-16. The texts are
    in the column that the model's data has them in, or else in `text` (or `tweet`, `sentence`,
    `content`, `نص`, …).

    Args:
        path: the file.
        max_rows: more are refused.
        text_column: the column of texts in the model's data.

    Raises:
        UserError: what is wrong with the file, where, and how to fix it.
    """
    path = Path(path)
    if path.suffix.lower() not in (".csv", ".tsv", ".txt"):
        raise UserError(
            f"{path.name} is not a CSV file. Save the table as “CSV UTF-8 (.csv)” and upload that."
        )
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise UserError(
            f"{path.name} has {size / 1e6:.1f} MB. The app takes {MAX_BYTES / 1e6:.0f} MB. Split "
            "it, or use `stacked-emotion predict --input` on your own machine."
        )
    if b"\0" in path.read_bytes() and detect_encoding(path) == "utf-8-sig":
        raise UserError(f"{path.name} holds binary data. Save the table as “CSV UTF-8 (.csv)”.")
    try:
        table = DelimitedRows(path, quoting="csv")
        rows = _rows(table, path.name, max_rows)
    except UnicodeError:
        raise UserError(f"{path.name}: {_NOT_UTF8}") from None
    except DataError as error:
        reason = str(error).removeprefix(f"{path}: ").split(" If the file has no header")[0]
        raise UserError(
            f"{path.name}: {reason} The first line must name the columns; one is “text”."
        ) from None
    column = _text_column(path.name, table.columns, text_column)
    if not any(row[column].strip() for row in rows):
        raise UserError(f"{path.name} has no text in its column “{table.columns[column]}”.")
    return Upload(path.name, table.columns, rows, column)


def _rows(table: DelimitedRows, name: str, max_rows: int) -> list[list[str]]:
    rows = []
    for row in table.rows():
        if row.values is None:
            if row.problem.startswith("not "):
                raise UserError(f"{name}, line {row.number}: {_NOT_UTF8}")
            raise UserError(f"{name}, line {row.number}: {row.problem.split('. ')[0]}.")
        rows.append(row.values)
        if len(rows) > max_rows:
            raise UserError(
                f"{name} has more than {max_rows} rows. Split it, or use "
                "`stacked-emotion predict --input` on your own machine."
            )
    return rows


def _text_column(name: str, columns: Sequence[str], preferred: str | None) -> int:
    lowered = [column.lower() for column in columns]
    if preferred and preferred.lower() in lowered:
        return lowered.index(preferred.lower())
    found = text_columns(columns)
    if not found:
        raise UserError(
            f"{name}: which column holds the texts? It has "
            f"{', '.join(f'“{column}”' for column in columns)}; call that one "
            f"“{preferred or 'text'}” in the first line."
        )
    return columns.index(found[0])


def with_answers(
    upload: Upload, labels: Sequence[str | None], scores: Sequence[dict[str, float] | None]
) -> str:
    """The table with a column of labels and one of scores per label, as CSV.

    If the file has such columns already, the new ones are called `predicted_…`. A cell that a
    spreadsheet would run as a formula gets an apostrophe.

    Args:
        upload: the table.
        labels: labels of each row, joined by commas; None where there was no text.
        scores: probabilities of each row by label, in one order; None where there was no text.
    """
    names = list(next((entry for entry in scores if entry is not None), {}))
    added = ["labels", *(f"score_{name}" for name in names)]
    if set(added) & set(upload.columns):
        added = [f"predicted_{name}" for name in added]
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(map(in_spreadsheet, [*upload.columns, *added]))
    for row, given, values in zip(upload.rows, labels, scores, strict=True):
        cells = [""] * len(names) if values is None else [f"{values[name]:.4f}" for name in names]
        writer.writerow(map(in_spreadsheet, [*row, given or "", *cells]))
    return stream.getvalue()
