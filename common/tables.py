"""Tables in Markdown, and several names in one cell."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

_BAR = re.compile(r"(?<!\\)\|")


def markdown_table(
    header: Sequence[str], rows: Iterable[Sequence[object]], aligned: bool = False
) -> str:
    """A table in Markdown. Bars and line breaks in a cell are escaped; foreign text
    needs `inert_text.in_markdown`.

    Args:
        header: titles of the columns.
        rows: cells by row, as many as there are titles.
        aligned: pad the cells, for a table that is printed to a terminal.

    Example:
        >>> print(markdown_table(["label", "F1"], [["joy", 0.5]]))
        | label | F1 |
        | --- | --- |
        | joy | 0.5 |
    """
    lines = [[_cell(value) for value in row] for row in (header, *rows)]
    widths = [max(map(len, column)) if aligned else 0 for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * max(width, 3) for width in widths])
    return "\n".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |"
        for line in lines
    )


def _cell(value: object) -> str:
    return " ".join(_BAR.sub(r"\\|", str(value)).splitlines())


def names_in_cell(names: Sequence[str]) -> str:
    """Names between commas, or a JSON list if one of them holds a comma.

    Example:
        >>> names_in_cell(["joy", "love"]), names_in_cell(["joy, pride", "love"])
        ('joy,love', '["joy, pride", "love"]')
    """
    return json.dumps(names, ensure_ascii=False) if "," in "".join(names) else ",".join(names)
