"""Encoder outputs on disk: the encoders run once per text, every later epoch reads from here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import Dataset

from ...common.finished import Form
from ..running.once import find_finished

FILES = ("words.bin", "logits.bin")
_DTYPES = {"float32": np.float32, "float16": np.float16}


@dataclass(frozen=True, eq=False)
class CacheLayout:
    """Sizes of a cache: what is in it, and where each text begins.

    Attributes:
        word_counts: (texts,) words of each text.
        sizes: hidden size of each encoder, in the order of the stack.
        labels: number of labels.
        dtype: of the word vectors, float32 or float16; logits are always float32.
    """

    word_counts: np.ndarray
    sizes: tuple[int, ...]
    labels: int
    dtype: str = "float16"

    def __post_init__(self) -> None:
        object.__setattr__(self, "word_counts", np.asarray(self.word_counts, np.int32))

    @cached_property
    def starts(self) -> np.ndarray:
        """(texts + 1,) first word of each text, and the end."""
        starts = np.zeros(len(self.word_counts) + 1, np.int64)
        np.cumsum(self.word_counts, out=starts[1:])
        return starts

    @property
    def words_shape(self) -> tuple[int, int]:
        """(words of all texts, sum of the hidden sizes)."""
        return int(self.starts[-1]), sum(self.sizes)

    @property
    def logits_shape(self) -> tuple[int, int, int]:
        """(texts, encoders, labels)."""
        return len(self.word_counts), len(self.sizes), self.labels

    @property
    def nbytes(self) -> int:
        """Size on disk in bytes."""
        words = math.prod(self.words_shape) * np.dtype(_DTYPES[self.dtype]).itemsize
        return words + 4 * math.prod(self.logits_shape)


class FeatureCache(Dataset[dict[str, Any]]):
    """Word embeddings and encoder logits of a list of texts, memory-mapped.

    Rows are dicts with `word_embeddings` (words, stacked size), `encoder_logits` (encoders, labels)
    and, if labels were given, `labels` (labels,).

    Args:
        folder: a finished cache.
        layout: its sizes.
        labels: (texts, labels) of 0 and 1, or None.
        rows: only these texts, or None for all.
    """

    def __init__(
        self,
        folder: Path,
        layout: CacheLayout,
        labels: np.ndarray | None = None,
        rows: np.ndarray | None = None,
    ) -> None:
        self.folder = folder
        self.layout = layout
        self.labels = labels
        self._rows = None if rows is None else np.asarray(rows, int)
        self.starts = layout.starts
        self.words, self.logits = map_files(folder, layout, "r")

    @property
    def rows(self) -> np.ndarray:
        """(rows,) which texts of the cache the rows are."""
        return np.arange(len(self)) if self._rows is None else self._rows

    @property
    def lengths(self) -> np.ndarray:
        """(rows,) words of each row."""
        counts = self.layout.word_counts
        return counts if self._rows is None else counts[self._rows]

    def __len__(self) -> int:
        return len(self.layout.word_counts) if self._rows is None else len(self._rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = index if self._rows is None else self._rows[index]
        item: dict[str, Any] = {
            "word_embeddings": self.words[self.starts[row] : self.starts[row + 1]],
            "encoder_logits": self.logits[row],
        }
        if self.labels is not None:
            item["labels"] = self.labels[row]
        return item

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        del state["words"], state["logits"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.words, self.logits = map_files(self.folder, self.layout, "r")

    def select(self, rows: Sequence[int] | np.ndarray) -> FeatureCache:
        """The same cache, of some of its texts."""
        return FeatureCache(self.folder, self.layout, self.labels, self.rows[np.asarray(rows, int)])

    def encoder_logits(self) -> np.ndarray:
        """(rows, encoders, labels) float32."""
        return np.asarray(self.logits[self.rows])

    def text_means(self, encoder: int) -> np.ndarray:
        """(rows, hidden size) mean word vector of one encoder, for linear probes."""
        begin = sum(self.layout.sizes[:encoder])
        part = slice(begin, begin + self.layout.sizes[encoder])
        means = np.zeros((len(self.rows), self.layout.sizes[encoder]), np.float32)
        for index, row in enumerate(self.rows):
            words = self.words[self.starts[row] : self.starts[row + 1], part]
            if len(words):
                means[index] = words.astype(np.float32).mean(0)
        return means


def open_cache(
    folder: Path, layout: CacheLayout, fingerprint: str, labels: np.ndarray | None = None
) -> FeatureCache | None:
    """The cache in that folder, if it is whole and belongs to this fingerprint.

    Every rank must call it; the main one reads the files.

    Args:
        folder: where it should be.
        layout: the sizes it should have.
        fingerprint: of everything it depends on.
        labels: (texts, labels) for the rows.

    Returns:
        The cache; None, with a message unless there is none at all, if it has to be made again.
    """
    found = find_finished(folder, fingerprint, Form(files=FILES))
    return None if found is None else FeatureCache(folder, layout, labels)


def map_files(folder: Path, layout: CacheLayout, mode: Any) -> tuple[np.ndarray, np.ndarray]:
    """The two arrays; an empty one where there is nothing to map."""
    arrays = []
    shapes: tuple[tuple[int, ...], ...] = (layout.words_shape, layout.logits_shape)
    for name, shape, dtype in zip(FILES, shapes, (_DTYPES[layout.dtype], np.float32), strict=True):
        if math.prod(shape) == 0:
            (folder / name).touch()
            arrays.append(np.zeros(shape, dtype))
        else:
            arrays.append(np.memmap(folder / name, dtype, mode, shape=shape))
    return arrays[0], arrays[1]
