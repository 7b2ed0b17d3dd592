"""Rows to batches: encoded texts, and cached features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from ..tokenization_stacked_emotion import StackedEmotionTokenizer
from ..words_stacked_emotion import pad_rows

ENCODING_KEYS = ("input_ids", "attention_mask", "word_index")


class EncodedTexts(Dataset[dict[str, Any]]):
    """Texts encoded once for all encoders.

    Args:
        encodings: for each key a list of (sequence, encoders) int arrays, one a text.
        labels: (rows, labels) of 0 and 1, or None.
        encoder: only this column of the encoder axis, or None for all.
    """

    def __init__(
        self,
        encodings: dict[str, list[np.ndarray]],
        labels: np.ndarray | None,
        encoder: int | None = None,
    ) -> None:
        self.encodings = encodings
        self.labels = labels
        self.encoder = encoder
        self.lengths = [
            int((mask if encoder is None else mask[:, encoder]).sum(0).max())
            for mask in encodings["attention_mask"]
        ]
        self.word_counts = [int(index.max()) for index in encodings["word_index"]]

    @classmethod
    def from_texts(
        cls,
        tokenizer: StackedEmotionTokenizer,
        texts: Sequence[str],
        labels: np.ndarray | None = None,
        chunk: int = 4096,
    ) -> EncodedTexts:
        """Encode texts, a chunk at a time."""
        encodings: dict[str, list[np.ndarray]] = {key: [] for key in ENCODING_KEYS}
        for start in range(0, len(texts), chunk):
            batch = tokenizer(list(texts[start : start + chunk]))
            for key in ENCODING_KEYS:
                encodings[key] += [np.asarray(row, np.int32) for row in batch[key]]
        return cls(encodings, labels)

    def select(self, rows: Sequence[int] | np.ndarray) -> EncodedTexts:
        """The same encodings, of some rows."""
        chosen = {key: [values[row] for row in rows] for key, values in self.encodings.items()}
        labels = None if self.labels is None else self.labels[np.asarray(rows, int)]
        return EncodedTexts(chosen, labels, self.encoder)

    def column(self, encoder: int) -> EncodedTexts:
        """The same texts as one encoder alone reads them."""
        return EncodedTexts(self.encodings, self.labels, encoder)

    def __len__(self) -> int:
        return len(self.encodings["input_ids"])

    def __getitem__(self, row: int) -> dict[str, Any]:
        item: dict[str, Any] = {}
        for key, values in self.encodings.items():
            value = values[row]
            item[key] = value if self.encoder is None else value[:, self.encoder, None]
        if self.labels is not None:
            item["labels"] = self.labels[row]
        return item


@dataclass
class EncodedTextCollator:
    """Pads encoded texts to (batch, sequence, encoders) tensors; labels become float."""

    pad_ids: int | Sequence[int] = 0

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Stack the rows of a batch."""
        longest = max(len(row["input_ids"]) for row in rows)
        batch = {
            key: torch.from_numpy(
                pad_rows(
                    [row[key] for row in rows], longest, self.pad_ids if key == "input_ids" else 0
                )
            )
            for key in ENCODING_KEYS
        }
        return batch | _labels(rows)


@dataclass
class FeatureCollator:
    """Pads cached features to (batch, words, stacked size) tensors; labels become float."""

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Stack the rows of a batch."""
        words = max(1, *(len(row["word_embeddings"]) for row in rows))
        width = rows[0]["word_embeddings"].shape[1]
        embeddings = np.zeros((len(rows), words, width), np.float32)
        mask = np.zeros((len(rows), words), np.int64)
        for index, row in enumerate(rows):
            count = len(row["word_embeddings"])
            embeddings[index, :count] = row["word_embeddings"]
            mask[index, :count] = 1
        logits = np.stack([row["encoder_logits"] for row in rows]).astype(np.float32)
        batch = {
            "word_embeddings": torch.from_numpy(embeddings),
            "word_mask": torch.from_numpy(mask),
            "encoder_logits": torch.from_numpy(logits),
        }
        return batch | _labels(rows)


def _labels(rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
    if "labels" not in rows[0]:
        return {}
    stacked = np.stack([row["labels"] for row in rows]).astype(np.float32)
    return {"labels": torch.from_numpy(stacked)}


class LengthGroupedSampler(Sampler[int]):
    """A permutation whose neighbours have similar lengths, the same for the same seed and epoch.

    Windows of `window` batches are sorted by length and cut into batches; the batches of the whole
    epoch are then shuffled.

    Args:
        lengths: the length of each row.
        batch_size: rows a batch over all devices.
        seed: of the permutation; `set_epoch` varies it.
        window: batches sorted together.
    """

    def __init__(
        self, lengths: Sequence[int], batch_size: int, seed: int = 0, window: int = 20
    ) -> None:
        self.lengths = np.asarray(lengths)
        self.batch_size = batch_size
        self.seed = seed
        self.window = window
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch's permutation."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        generator = np.random.default_rng((self.seed, self.epoch))
        order = generator.permutation(len(self.lengths))
        size = self.batch_size * self.window
        batches = []
        for start in range(0, len(order), size):
            part = order[start : start + size]
            part = part[np.argsort(self.lengths[part], kind="stable")]
            batches += [
                part[place : place + self.batch_size]
                for place in range(0, len(part), self.batch_size)
            ]
        full = [batch for batch in batches if len(batch) == self.batch_size]
        rest = [batch for batch in batches if len(batch) < self.batch_size]
        places = generator.permutation(len(full))
        for batch in [full[place] for place in places] + rest:
            yield from batch.tolist()
