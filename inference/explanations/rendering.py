"""What showing texts of either direction takes: direction, isolates, and a page of HTML."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from ...common.inert_text import in_html

UNITS = {"occlusion": "change of the score", "gradient": "gradient x input, logit"}
_NAMES = re.compile(r"@\w+|(?:https?://|www\.)\S+")
_FIRST_STRONG_ISOLATE, _POP_ISOLATE = "\u2068", "\u2069"
_STYLE = "body { margin: 2rem auto; max-width: 50rem; padding: 0 1rem; font-family: sans-serif; }"


def text_direction(text: str) -> str:
    """ "rtl" or "ltr": the direction of the first letter that has one (rule P2 of UAX #9).

    Names such as `@name` and addresses do not count: many Arabic tweets begin with one.
    """
    for character in _NAMES.sub("", text):
        kind = unicodedata.bidirectional(character)
        if kind in ("L", "R", "AL"):
            return "ltr" if kind == "L" else "rtl"
    return "ltr"


def isolated(text: str) -> str:
    """The text between a first-strong isolate and its end: it does not reorder what is around."""
    return f"{_FIRST_STRONG_ISOLATE}{text}{_POP_ISOLATE}"


def html_page(fragments: Iterable[str], title: str = "Explanations", style: str = "") -> str:
    """A whole HTML document around fragments that are HTML already, with more rules of CSS."""
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en" dir="ltr">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{in_html(title)}</title>\n<style>\n{_STYLE}\n{style}</style>\n</head>\n<body>",
            *fragments,
            "</body>\n</html>",
        ]
    )
