"""CSV files that people upload, with one clear sentence for each thing that can be wrong."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...common.errors import UserError
from ..inert_text import in_spreadsheet

MAX_ROWS = 2000
MAX_BYTES = 5_000_000
TEXT_COLUMNS = ("text", "tweet", "sentence", "content", "النص", "نص")
_DELIMITERS = ",;\t"


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

    Commas, semicolons or tabs separate the cells, whichever the header uses. The texts are in the
    column that the model's data has them in, or else in `text` (`tweet`, `sentence`, `content`,
    `نص`).

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
    text = _decoded(path)
    if not text.strip():
        raise UserError(
            f"{path.name} is empty. The first line must name the columns, one of them “text”."
        )
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    try:
        columns = [name.strip() for name in next(lines)]
        rows = []
        for row in lines:
            if not row:
                continue
            if len(row) != len(columns):
                raise UserError(
                    f"{path.name}, line {lines.line_num}: {len(row)} cells, but the header has "
                    f"{len(columns)}. Put a text with a comma in it in “double quotes”."
                )
            rows.append(row)
            if len(rows) > max_rows:
                raise UserError(
                    f"{path.name} has more than {max_rows} rows. Split it, or use "
                    "`stacked-emotion predict --input` on your own machine."
                )
    except csv.Error as error:
        raise UserError(
            f"{path.name}, line {lines.line_num}: not readable as CSV ({error}). Is a quotation "
            "mark open?"
        ) from error
    column = _text_column(path.name, columns, text_column)
    if not any(row[column].strip() for row in rows):
        raise UserError(f"{path.name} has no text in its column “{columns[column]}”.")
    return Upload(path.name, columns, rows, column)


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


def _decoded(path: Path) -> str:
    data = path.read_bytes()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"  # Excel's “Unicode text”
    elif b"\x00" in data:
        raise UserError(f"{path.name} holds binary data. Save the table as “CSV UTF-8 (.csv)”.")
    else:
        encoding = "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UserError(
            f"{path.name}, line {line}: not UTF-8. In Excel choose “CSV UTF-8 (comma delimited)” "
            "when you save it."
        ) from error


def _delimiter(text: str) -> str:
    header = text.lstrip("\n\r").splitlines()[0]
    return max(_DELIMITERS, key=header.count)


def _text_column(name: str, columns: Sequence[str], preferred: str | None) -> int:
    lowered = [column.lower() for column in columns]
    for known in ((preferred or "").lower(), *TEXT_COLUMNS):
        if known in lowered:
            return lowered.index(known)
    raise UserError(
        f"{name}: which column holds the texts? It has {', '.join(f'“{c}”' for c in columns)}; "
        f"call that one “{preferred or 'text'}” in the first line."
    )
