"""Texts that are longer than the encoders: overlapping windows, whose logits are pooled.

The default pooling is the maximum: a text gets the labels that any of its windows shows. The mean
gives an answer about the text as a whole, and loses what only one window shows.
`benchmarks/long_texts.py` compares them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..alignment_stacked_emotion import AlignedBatchEncoder
from ..words_stacked_emotion import cut_words

LONG_TEXTS = ("truncate", "window")
POOLINGS = ("mean", "max")
OVERLAP = 4
"""A window repeats the last quarter of the words of the one before it."""


class _Reading:
    """A text in pieces: its words, each with the white space in front of it.

    A word of more characters than there are positions becomes several pieces, as if there were
    spaces in it.

    Args:
        text: the text.
        size: positions of a window.
        words_read: how many words the first window has read.
    """

    def __init__(self, text: str, size: int, words_read: int) -> None:
        self.pieces: list[str] = []
        self.windows: list[str] = []
        position, self.start, self.count = 0, 0, size
        for number, (start, end) in enumerate(cut_words(text)):
            if number == max(words_read - words_read // OVERLAP, 1):
                self.start = self.start or len(self.pieces)
            lead, word, position = text[position:start], text[start:end], end
            step = len(word) if len(word) <= size else max(size // 2, 1)
            for place in range(0, len(word), step):
                if place and number < words_read:  # the first window has read its beginning only
                    self.start = self.start or len(self.pieces)
                self._add(" " if place else lead, word[place : place + step])

    def _add(self, lead: str, part: str) -> None:
        position = 0
        for _, end in cut_words(part):  # part of a link is many words
            self.pieces.append(lead + part[position:end])
            lead, position = "", end

    @property
    def left(self) -> int:
        """Number of pieces from the start of the next window on."""
        return len(self.pieces) - self.start

    def read(self, count: int) -> str:
        """The next pieces as one text."""
        return "".join(self.pieces[self.start : self.start + count]).strip()

    def advance(self, words: int, size: int) -> None:
        """Keep a window of the next words, and move on to where the one after it begins.

        Only as many pieces are tried as may fit, by the window before. If all of them fit, more
        are tried.
        """
        if words >= self.count < min(size, self.left):
            self.count *= 4
            return
        kept = min(max(words, 1), self.left)
        self.windows.append(self.read(kept))
        self.start += kept
        if self.left:
            self.start -= min(kept // OVERLAP, kept - 1)
        self.count = min(size, 2 * kept + 4)


def further_windows(
    encoder: AlignedBatchEncoder, texts: Sequence[str], words_read: Sequence[int]
) -> tuple[list[str], np.ndarray]:
    """The windows of truncated texts after the first one, of which they have read so many words.

    Returns:
        The windows as texts, and (windows,) int64 which text each belongs to.
    """
    size = encoder.max_length
    readings = [_Reading(text, size, words) for text, words in zip(texts, words_read, strict=True)]
    active = [reading for reading in readings if reading.start and reading.left]
    while active:
        batch = encoder.encode([reading.read(reading.count) for reading in active], size)
        for reading, words in zip(active, batch.words, strict=True):
            reading.advance(len(words), size)
        active = [reading for reading in active if reading.left]
    windows = [window for reading in readings for window in reading.windows]
    owners = np.repeat(np.arange(len(texts)), [len(reading.windows) for reading in readings])
    return windows, owners


def pooled(first: np.ndarray, further: np.ndarray, owners: np.ndarray, pooling: str) -> np.ndarray:
    """(texts, labels) float32 logits of texts from those of their windows, by "mean" or "max".

    Args:
        first: (texts, labels) of the first windows.
        further: (windows, labels) of the others.
        owners: (windows,) which text each of the others belongs to.
        pooling: how.
    """
    result = first.astype(np.float64)
    if pooling == "max":
        np.maximum.at(result, owners, further)
    else:
        np.add.at(result, owners, further)
        result /= 1 + np.bincount(owners, minlength=len(first))[:, None]
    return result.astype(np.float32)
