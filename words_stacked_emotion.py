"""Words: where texts are cut, how an encoder reads them, and which word a sub-word belongs to.

Nothing here needs torch or transformers. Positions are characters (code points) of the raw text
unless said otherwise.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from itertools import chain

import numpy as np

_EMOJI = (
    "\u203c\u2049\u2122\u2139\u2194-\u21aa\u231a-\u23ff\u24c2\u25aa-\u27bf\u2934\u2935"
    "\u2b05-\u2b55\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
)
_JOINERS = "\u200d\ufe0e\ufe0f\u20e3\U000e0020-\U000e007f"
_PUNCTUATION = (
    "!-/:-@\\[-^`{-~\u00a1-\u00a9\u00ab\u00ac\u00ae-\u00b1\u00b4\u00b6-\u00b8\u00bb\u00bf\u00d7\u00f7"
    "\u055a-\u055f\u0589\u05be\u05c0\u05c3\u05f3\u05f4\u0606-\u060f\u061b\u061d-\u061f\u066a-\u066d"
    "\u06d4\u0964\u0965\u0e3f\u2010-\u2027\u2030-\u203b\u203d-\u2048\u204a-\u205e\u20a0-\u20c0"
    "\u2100-\u2121\u2123-\u2138\u213a-\u2193\u21ab-\u2319\u2400-\u24c1\u24c3-\u25a9\u27c0-\u2933"
    "\u2936-\u2b04\u2b56-\u2bff\u2e00-\u2e7f\u3001-\u3003\u3008-\u3020\u30fb\ufd3e\ufd3f\ufe10-\ufe19"
    "\ufe30-\ufe6f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
)
_LETTERS = f"[^\\s{_EMOJI}{_PUNCTUATION}]"
_WORDS = re.compile(
    rf"https?://\S+|www\.\S+"
    rf"|[@#]?{_LETTERS}+(?:['’]{_LETTERS}+)*"
    rf"|[{_EMOJI}][{_EMOJI}{_JOINERS}]*"
    rf"|[{_PUNCTUATION}]+"
)
_MENTION = re.compile(r"(?<![\w@])@\w+")
_LINK = re.compile(r"https?://\S+|www\.\S+")
_NORMALIZATIONS = {
    "diacritics": (
        re.compile("[\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed]+"),
        "",
    ),
    "tatweel": (re.compile("\u0640+"), ""),
    "elongation": (re.compile(r"([^\W\d_])\1{2,}"), r"\1\1"),
}
NORMALIZATIONS = tuple(_NORMALIZATIONS)
PLACEHOLDERS = {"user": _MENTION, "link": _LINK}

WordSpan = tuple[int, int]


def cut_words(text: str, limit: int | None = None) -> list[WordSpan]:
    """Cut a text into words: at white space, then around emoji and punctuation.

    A run of emoji (with its joiners, skin tones and selectors) is one word, as is a run of
    punctuation, a link, and a mention or hashtag with its sign. Marks, joiners and control
    characters stay with the letters around them.

    Args:
        text: the raw text.
        limit: stop after this many words.

    Returns:
        `(start, end)` character spans in reading order; they never overlap.
    """
    spans: list[WordSpan] = []
    for match in _WORDS.finditer(text):
        if limit is not None and len(spans) == limit:
            break
        spans.append(match.span())
    return spans


def _substitute(
    text: str, pattern: re.Pattern[str], replacement: str, starts: list[int], ends: list[int]
) -> tuple[str, list[int], list[int]]:
    """Replace in `text`, carrying for each character the raw span it stands for."""
    pieces: list[str] = []
    new_starts: list[int] = []
    new_ends: list[int] = []
    position = 0
    for match in pattern.finditer(text):
        begin, end = match.span()
        if begin == end:
            continue
        pieces.append(text[position:begin])
        new_starts += starts[position:begin]
        new_ends += ends[position:begin]
        expanded = match.expand(replacement)
        pieces.append(expanded)
        new_starts += [starts[begin]] * len(expanded)
        new_ends += [ends[end - 1]] * len(expanded)
        position = end
    pieces.append(text[position:])
    return "".join(pieces), new_starts + starts[position:], new_ends + ends[position:]


class EncoderText:
    """How one encoder wants to read a text: a prefix, placeholders, shared normalization."""

    def __init__(
        self,
        prefix: str = "",
        placeholders: dict[str, str] | None = None,
        normalization: Sequence[str] = (),
    ) -> None:
        self.prefix = prefix
        self.rules = [
            (PLACEHOLDERS[kind], value.replace("\\", r"\\"))
            for kind, value in (placeholders or {}).items()
        ] + [_NORMALIZATIONS[name] for name in normalization]

    def apply(self, text: str) -> tuple[str, np.ndarray | None]:
        """The text as the encoder reads it, and where its characters come from.

        Returns:
            The new text (with the prefix), and `(characters, 2)` raw start and end of each of its
            characters (0, 0 for the prefix), or None if the text is the raw one after the prefix.
        """
        active = [rule for rule in self.rules if rule[0].search(text)]
        if not active:
            return self.prefix + text, None
        starts, ends = list(range(len(text))), list(range(1, len(text) + 1))
        for pattern, replacement in active:
            text, starts, ends = _substitute(text, pattern, replacement, starts, ends)
        lead = [0] * len(self.prefix)
        return self.prefix + text, np.array([lead + starts, lead + ends], dtype=np.int64).T


def flat_pairs(rows: Sequence[Sequence[WordSpan]]) -> np.ndarray:
    """(pairs, 2) int64 from rows of `(start, end)`, all rows one after another."""
    flat = array("q", chain.from_iterable(chain.from_iterable(rows)))
    return np.array(flat, np.int64).reshape(-1, 2)


def assign_words(
    starts: np.ndarray, ends: np.ndarray, rows: np.ndarray, spans: Sequence[Sequence[WordSpan]]
) -> np.ndarray:
    """The word of every sub-word of a batch: the one it overlaps most, the first one on a tie.

    Args:
        starts: (sub-words,) raw start of each sub-word, all rows one after another.
        ends: (sub-words,) raw end; `end <= start` marks a sub-word that covers no text.
        rows: (sub-words,) the row each belongs to.
        spans: the words of each row, in order and without overlap.

    Returns:
        (sub-words,) int64: 1-based word index in its row, 0 for none.
    """
    counts = np.fromiter(map(len, spans), np.int64, len(spans))
    words = flat_pairs(spans)
    found = np.zeros(len(starts), np.int64)
    if not len(words) or not len(starts):
        return found
    # All rows go on one axis, each shifted by a stride longer than any of them. The words of the
    # whole batch are then in order, and two binary searches find those that a sub-word touches.
    stride = max(int(words.max()), int(ends.max())) + 1
    words += np.repeat(np.arange(len(spans)) * stride, counts)[:, None]
    starts, ends = starts + rows * stride, ends + rows * stride
    first = np.searchsorted(words[:, 1], starts, side="right")  # first word that ends after start
    last = np.searchsorted(words[:, 0], ends, side="left") - 1  # last word that starts before end
    touches = (ends > starts) & (first <= last)
    # Nearly every sub-word touches one word. Those that touch several compare their overlaps.
    for place in np.flatnonzero(touches & (first < last)):
        candidates = words[first[place] : last[place] + 1]
        overlaps = np.minimum(candidates[:, 1], ends[place]) - np.maximum(
            candidates[:, 0], starts[place]
        )
        first[place] += int(overlaps.argmax())
    before = np.cumsum(counts) - counts
    found[touches] = first[touches] - before[rows[touches]] + 1
    return found
