"""Text files: their encoding, and the checks that every kind of table needs."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from ...common.errors import DataError, counted, did_you_mean, quoted, shorten
from ..names import KNOWN_COLUMNS, check_header, clean_name, columns_called

UNDECODABLE = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True)
class Row:
    """One row of a table, or what stands where a row was expected.

    Attributes:
        number: The line, record or row number as a user counts it.
        values: The cells in the order of the columns, or a dictionary; None if unreadable.
        raw: The row as it stands in the file, where the format has lines.
        problem: Why it could not be read.
    """

    number: int
    values: Any
    raw: str = ""
    problem: str = ""


def detect_encoding(path: Path) -> str:
    """Return `utf-8-sig` (UTF-8 with or without a mark), or UTF-16 or UTF-32 by how it begins."""
    with path.open("rb") as stream:
        head = stream.read(1 << 16)
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in head:
        # UTF-16 without a mark: the high byte of every Latin letter and line end is zero.
        for encoding, high in (("utf-16-le", 1), ("utf-16-be", 0)):
            zeros = head[high::2].count(0)
            even = head[: len(head) // 2 * 2]
            often = zeros * 50 > len(head) or head[:200][high::2].count(0) > 4
            if often and zeros > 20 * head[1 - high :: 2].count(0):
                beginning = even.decode(encoding, "replace")
                if set("\n\r") & set(beginning) or beginning[:1] in ("[", "{"):
                    return encoding
    return "utf-8-sig"


def open_text(path: Path, encoding: str, newline: str | None = "") -> TextIO:
    """Open a file; bytes that are not in its encoding become lone surrogates where possible."""
    return path.open(encoding=encoding, errors="surrogateescape", newline=newline)


def shown(raw: str) -> str:
    r"""Return a line with its undecodable bytes as `\xff`."""
    return raw.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def check_columns(names: Sequence[str], source: str) -> None:
    """Refuse a header without a name, or with one twice; nameless columns are never read.

    Raises:
        DataError: There is no name, or one occurs twice.
    """
    if not any(names):
        raise DataError(f"{source}: no column has a name. Name the columns.")
    counts = {name: names.count(name) for name in names if name and names.count(name) > 1}
    if counts:
        listed = ", ".join(f"{name!r} ({count} times)" for name, count in counts.items())
        raise DataError(
            f"{source}: duplicate column names in the header: {listed}. A name may not occur more "
            "than once: rename or remove the others."
        )


def take_header(
    source: str, first: tuple[int, Sequence[str]], below: Sequence[Sequence[str]],
    column_names: Sequence[str] | None, named: Sequence[str], unit: str,
) -> tuple[list[str], bool]:  # fmt: skip
    """Return the columns of a table, and whether its first row, with its number, names them.

    Args:
        source: The file, for messages.
        first: Number and cells of the first row.
        below: Some of the rows after it.
        column_names: The columns of a table without a header.
        named: Columns that the user named by other options.
        unit: What the number counts.

    Raises:
        DataError: The first row looks like data, or has another number of cells, or a name occurs
            twice.
    """
    number, cells = first
    columns = [clean_name(cell) for cell in cells]
    has_header = not column_names or columns == list(column_names)
    if not column_names:
        check_header(source, columns, below, number, named, unit)
    elif len(column_names) != len(cells):
        raise DataError(
            f"{source}: --column_names gives {counted(len(column_names), 'name')}, and {unit} "
            f"{number} has {len(cells)} fields: {shorten(list(cells))}. Name every column."
        )
    elif not has_header and len(columns_called(columns, KNOWN_COLUMNS)) > 1:
        raise DataError(
            f"{source}: {unit} {number} looks like a header, {shorten(list(cells))}, and "
            "--column_names says that there is none. Leave out --column_names, or remove the line."
        )
    columns = list(column_names or columns)
    if not any(columns):
        raise DataError(
            f"{source}: {unit} {number} is the header and has no column name. "
            "Write the names of the columns there, or give them by --column_names."
        )
    check_columns(columns, source)
    return columns, has_header


def file_facts(path: Path) -> dict[str, Any]:
    """Path, size and time of last change: they tell whether a file is still the same."""
    state = path.stat()
    return {"file": str(path.resolve()), "size": state.st_size, "changed": state.st_mtime_ns}


def check_file(path: Path, formats: Sequence[str]) -> None:
    """Refuse a path that is no file with something in it.

    Raises:
        DataError: Naming the nearest file.
    """
    if path.is_dir():
        inside = sorted(child.name for child in path.iterdir() if child.suffix.lower() in formats)
        hint = f" It holds {quoted(inside, 10)}." if inside else ""
        raise DataError(f"{path}: this is a folder. Give the path of one file.{hint}")
    if not path.exists():
        names = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
        names = [name for name in names if name != path.name]  # a link to nothing
        where = "" if path.parent.is_dir() else f" There is no folder {str(path.parent)!r} either."
        raise DataError(f"{path}: there is no such file{did_you_mean(path.name, names)}.{where}")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: the file is empty. Give a file with at least one text.")


def encoding_error(path: Path, encoding: str) -> DataError:
    """Return the error for a file with bytes that are not in its encoding, naming the first."""
    content = path.read_bytes()
    if content.startswith((b"PK\x03\x04", b"\x1f\x8b", b"\xd0\xcf\x11\xe0")):
        return DataError(
            f"{path}: the file is a workbook or an archive, not text. Name an Excel workbook .xlsx "
            "(save an old .xls as .xlsx), and decompress an archive."
        )
    name = encoding_name(encoding)
    try:
        content.decode("utf-8" if encoding == "utf-8-sig" else encoding)
    except UnicodeDecodeError as error:
        start = error.start
        line = content.count(b"\n", 0, start) + 1
        return DataError(
            f"{path}: the file is not {name}: byte 0x{content[start]:02x} at byte offset {start} "
            f"(line {line}) is not {name}. Name the encoding that it was saved in, for example "
            "--encoding WINDOWS-1256 (Arabic) or WINDOWS-1252 (Western European)."
        )
    return DataError(f"{path}: the file changed while it was read. Start again.")


def encoding_name(encoding: str) -> str:
    """Return the name of an encoding for people, such as UTF-16."""
    return encoding.upper().replace("-SIG", "").replace("-LE", "").replace("-BE", "")
