"""Foreign text made inert: labels, texts and file names show as they are and do nothing.

One function for each place: a terminal, JSON lines, HTML, Markdown, plots, spreadsheets.
"""

from __future__ import annotations

import html
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO

# Controls but tab and line breaks, directional controls, lone surrogates, noncharacters
_CONTROLS = (
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u2028-\u202e\u2066\u2067\ud800-\udfff"
    "\ufdd0-\ufdef\ufffe\uffff"
)
_ISOLATES = "\u2068\u2069"
_NOT_SHOWN = re.compile(f"[{_CONTROLS}{_ISOLATES}]")
_NOT_IN_A_LINE = re.compile(f"[{_CONTROLS}{_ISOLATES}\t\r\n\u200e\u200f]")
_NOT_PRINTED = re.compile(f"[{_CONTROLS}\r]")  # isolates put a foreign word between them
_CURSOR = re.compile("\n*(\x1b\\[A)*")
_MARKUP = re.compile(r"[\\`*\[\]|~#!$]|(?<![^\W_])_|_(?![^\W_])")
_LINK = re.compile(r"://|\bwww\.|@", re.IGNORECASE)
_WORD_JOINER = "\u2060"
_FORMULA = re.compile(r"^[\s\x00-\x20\ufeff]*[=+\-@＝＋－＠]|^[\t\r\n]")
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?%?")


def _escaped(pattern: re.Pattern[str], text: str) -> str:
    return pattern.sub(lambda match: repr(match.group())[1:-1], text)


def _json_escaped(pattern: re.Pattern[str], text: str) -> str:
    return pattern.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def visible(text: str) -> str:
    r"""The text with control characters, directional controls and lone surrogates as `\x1b`.

    Line breaks and tabs stay.
    """
    return _escaped(_NOT_SHOWN, text)


def one_line(text: str) -> str:
    """As `visible`, without line breaks and tabs."""
    return " ".join(visible(text).split())


def printable(text: str) -> str:
    r"""The text for one line of a terminal: as `visible`, with line breaks and tabs as `\n`.

    Neither an escape sequence nor a change of direction reaches the terminal.

    Example:
        >>> printable("a\x1b[31mb\u202e")
        'a\\x1b[31mb\\u202e'
    """
    return _escaped(_NOT_IN_A_LINE, text)


def json_line(value: Any) -> str:
    r"""One line of JSON, readable but for the characters of `printable`, as `\u001b`.

    Example:
        >>> json_line({"text": "حب\x1b"})
        '{"text": "حب\\u001b"}'
    """
    return _json_escaped(_NOT_IN_A_LINE, json.dumps(value, ensure_ascii=False))


class _InertStream:
    """A stream that shows control characters as escapes, but for what progress bars write."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        if not _CURSOR.fullmatch(text):  # a bar moves up to its line
            bar = text.startswith("\r")  # and back to its beginning
            text = "\r" * bar + _json_escaped(_NOT_PRINTED, text[bar:])
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def inert_output() -> Iterator[None]:
    r"""Let no control character of a foreign text reach standard output or standard error.

    Whatever is printed in this context is shown with `\u001b` in place of an escape character and
    so on, which is also right in JSON.
    """
    out, error = _InertStream(sys.stdout), _InertStream(sys.stderr)
    with redirect_stdout(out), redirect_stderr(error):
        yield


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
