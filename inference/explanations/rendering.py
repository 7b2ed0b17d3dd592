"""Explanations as lines for a terminal and as HTML, for texts of either direction."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .explanation import Explanation, WordExplanation

UNITS = {"occlusion": "change of the score", "gradient": "gradient x input, logit"}
_FIRST_STRONG_ISOLATE, _POP_ISOLATE = "\u2068", "\u2069"
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_NO_HTML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_STYLE = """\
<style>
body { margin: 2rem auto; max-width: 50rem; padding: 0 1rem; font-family: sans-serif; }
</style>"""


def text_direction(text: str) -> str:
    """ "rtl" or "ltr": the direction of the first letter that has one (rule P2 of UAX #9)."""
    for character in text:
        kind = unicodedata.bidirectional(character)
        if kind in ("L", "R", "AL"):
            return "ltr" if kind == "L" else "rtl"
    return "ltr"


def printable(text: str) -> str:
    r"""The text with control characters, directional controls and lone surrogates as `\x1b`.

    Neither an escape sequence nor an override reaches the terminal.
    """
    return _UNSAFE.sub(lambda match: repr(match.group())[1:-1], text)


def isolated(text: str) -> str:
    """The text between a first-strong isolate and its end: it does not reorder what is around."""
    return f"{_FIRST_STRONG_ISOLATE}{text}{_POP_ISOLATE}"


def explanation_text(explanation: Explanation, width: int = 20) -> str:
    """One line a word: contribution, its bar, attention, the most trusted encoder, the word.

    The word stands last, in an isolate, so that neither its direction nor its width moves the
    other columns. Control characters are shown as escapes.

    Args:
        explanation: what to show.
        width: characters of the longest bar.
    """
    given = "given" if explanation.given else "not given"
    heads = ", ".join(f"{name} {score:.2f}" for name, score in explanation.encoder_scores.items())
    lines = [
        f"{printable(explanation.label)} {explanation.score:.3f} ({given}; by encoder: {heads})",
        f"  {UNITS[explanation.method]}; attention; most trusted encoder; word",
    ]
    largest = _largest(explanation.words)
    longest = max(map(len, explanation.encoder_scores), default=0)
    for word in explanation.words:
        bar = "█" * round(width * abs(word.contribution) / largest)
        trusted = max(word.gates, key=lambda name: word.gates[name])
        lines.append(
            f"  {word.contribution:+.3f} {bar:<{width}} {word.attention:.2f}  "
            f"{trusted:<{longest}} {word.gates[trusted]:.2f}  {isolated(printable(word.word))}"
        )
    if not explanation.words:
        lines.append("  (no words)")
    return "\n".join(lines)


def explanation_html(explanation: Explanation) -> str:
    """A `<figure>`: the text with its words colored, and a table of all values.

    Green is for the label, red against it; the table gives the signed numbers. The text has the
    `dir` of its first letter, names and words in the table are isolates (`<bdi>`). Everything of
    the user's is escaped; characters that HTML does not admit become U+FFFD. No script, no link.
    """
    words, names = explanation.words, list(explanation.encoder_scores)
    largest = _largest(words)
    pieces, position = [], 0
    for word in words:
        pieces.append(_escape(explanation.text[position : word.start]))
        share = abs(word.contribution) / largest
        color = "0,128,0" if word.contribution >= 0 else "192,0,0"
        pieces.append(
            f'<span style="background:rgba({color},{0.6 * share:.2f})" '
            f'title="{word.contribution:+.4f}">{_escape(word.word)}</span>'
        )
        position = word.end
    pieces.append(_escape(explanation.text[position:]))
    given = "given" if explanation.given else "not given"
    heads = ", ".join(
        f"<bdi>{_escape(name)}</bdi> {explanation.encoder_scores[name]:.2f}" for name in names
    )
    header = "".join(
        f'<th scope="col">{title}</th>'
        for title in ("word", UNITS[explanation.method], "attention",
                      *(f"gate <bdi>{_escape(name)}</bdi>" for name in names))
    )  # fmt: skip
    rows = "\n".join(
        f'<tr><th scope="row"><bdi dir="{text_direction(word.word)}">{_escape(word.word)}</bdi>'
        "</th>"
        + "".join(
            f"<td>{value}</td>"
            for value in (f"{word.contribution:+.4f}", f"{word.attention:.3f}",
                          *(f"{word.gates[name]:.3f}" for name in names))
        )
        + "</tr>"
        for word in words
    )  # fmt: skip
    return f"""\
<figure dir="ltr" style="color:#111;background:#fff;margin:0 0 2em">
<figcaption><strong><bdi>{_escape(explanation.label)}</bdi> {explanation.score:.3f}</strong> \
({given}; by encoder: {heads})</figcaption>
<p dir="{text_direction(explanation.text)}" lang="" \
style="font-size:1.3em;line-height:1.8;white-space:pre-wrap">{"".join(pieces)}</p>
<table style="border-spacing:1em 0;text-align:start">
<thead><tr>{header}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
</figure>"""


def html_page(fragments: Iterable[str], title: str = "Explanations") -> str:
    """A whole HTML document around fragments that are HTML already."""
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en" dir="ltr">\n<head>\n<meta charset="utf-8">',
            f"<title>{_escape(title)}</title>\n{_STYLE}\n</head>\n<body>",
            *fragments,
            "</body>\n</html>",
        ]
    )


def _largest(words: list[WordExplanation]) -> float:
    return max((abs(word.contribution) for word in words), default=0.0) or 1.0


def _escape(text: str) -> str:
    return html.escape(_NO_HTML.sub("\ufffd", text))
