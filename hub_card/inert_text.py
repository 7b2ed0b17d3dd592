"""Foreign text made inert: labels, texts and file names show as they are and do nothing."""

from __future__ import annotations

import html
import json
import re
from typing import Any

_NOT_SHOWN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u2028-\u202e\u2066-\u2069\ud800-\udfff"
    "\ufdd0-\ufdef\ufffe\uffff]"
)
_MARKUP = re.compile(r"[\\`*\[\]|~#!$]|(?<![^\W_])_|_(?![^\W_])")
_LINK = re.compile(r"://|\bwww\.|@", re.IGNORECASE)
_WORD_JOINER = "\u2060"
_FORMULA = re.compile(r"^\s*[=+\-@]|^[\t\r]")
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?%?")


def visible(text: str) -> str:
    r"""The text with control characters, directional controls and lone surrogates as `\x1b`.

    Line breaks and tabs stay.
    """
    return _NOT_SHOWN.sub(lambda match: repr(match.group())[1:-1], text)


def one_line(text: str) -> str:
    """As `visible`, without line breaks and tabs."""
    return " ".join(visible(text).split())


def in_html(text: str) -> str:
    """Text for HTML, in an element or a quoted attribute."""
    return html.escape(visible(text))


def in_markdown(value: Any) -> str:
    """A value for a line or a table cell of Markdown: no markup, no HTML, no link.

    Lists and objects are shown as JSON.
    """
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
    text = _MARKUP.sub(lambda match: "\\" + match.group(), one_line(text))
    text = _LINK.sub(lambda match: match.group()[0] + _WORD_JOINER + match.group()[1:], text)
    return html.escape(text, quote=False)


def in_plot(text: str) -> str:
    """Text for matplotlib, which reads formulas between dollar signs."""
    return one_line(text).replace("$", r"\$")


def in_spreadsheet(cell: str) -> str:
    """A cell of a CSV file that no spreadsheet runs as a formula; numbers stay."""
    if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell.strip()):
        return "'" + cell
    return cell
