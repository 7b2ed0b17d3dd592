"""Rows to batches: encoded texts, and cached features."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from torch import Tensor, nn
from torch.utils.data import Dataset, Sampler

from ..alignment_stacked_emotion import INPUTS, pad_rows
from ..common.batching import batches_by_length
from ..tokenization_stacked_emotion import StackedEmotionTokenizer

_CHUNK = 4096
_WINDOW = 20
_DTYPES = {"input_ids": np.int32, "attention_mask": np.int8, "word_index": np.int32}


class EncodedTexts(Dataset[dict[str, Any]]):
    """Texts encoded once for all encoders, in a few large arrays.

    Args:
        encodings: for each key (positions of all texts, encoders) ints, text after text.
        starts: (texts + 1,) where each text begins, and the end.
        labels: (rows, labels) of 0 and 1, or None.
        encoder: only this column of the encoder axis, or None for all. An item of one column ends
            where its encoder's sub-words end, whatever the others need.
        texts: (rows,) which texts are the rows, or None for all.

    Attributes:
        lengths: (rows,) positions of the longest encoder.
        word_counts: (rows,) words, up to the last one of which an encoder reads something.
    """

    def __init__(
        self,
        encodings: dict[str, np.ndarray],
        starts: np.ndarray,
        labels: np.ndarray | None,
        encoder: int | None = None,
        texts: np.ndarray | None = None,
    ) -> None:
        self.encodings = encodings
        self.starts = starts
        self.labels = labels
        self.encoder = encoder
        self.texts = np.arange(len(starts) - 1) if texts is None else texts
        if len(starts) == 1:
            self.lengths = self.word_counts = np.zeros(0, np.int32)
            return
        columns = slice(None) if encoder is None else slice(encoder, encoder + 1)
        mask, words = encodings["attention_mask"][:, columns], encodings["word_index"][:, columns]
        positions = np.add.reduceat(mask, starts[:-1], axis=0, dtype=np.int32).max(1)
        counts = np.maximum.reduceat(words.max(1), starts[:-1])
        self.lengths, self.word_counts = positions[self.texts], counts[self.texts]

    @classmethod
    def from_texts(
        cls,
        tokenizer: StackedEmotionTokenizer,
        texts: Sequence[str],
        labels: np.ndarray | None = None,
    ) -> EncodedTexts:
        """Encode texts, a chunk at a time."""
        width = len(tokenizer.encoder_names)
        parts = {key: [np.zeros((0, width), kind)] for key, kind in _DTYPES.items()}
        lengths: list[int] = []
        for start in range(0, len(texts), _CHUNK):
            batch = tokenizer(list(texts[start : start + _CHUNK]))
            lengths += map(len, batch["input_ids"])
            for key, kind in _DTYPES.items():
                parts[key].append(np.concatenate([np.asarray(row, kind) for row in batch[key]]))
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        return cls({key: np.concatenate(values) for key, values in parts.items()}, starts, labels)

    def select(self, rows: Sequence[int] | np.ndarray) -> EncodedTexts:
        """The same encodings, of some rows."""
        places = np.asarray(rows, int)
        labels = None if self.labels is None else self.labels[places]
        return EncodedTexts(self.encodings, self.starts, labels, self.encoder, self.texts[places])

    def column(self, encoder: int) -> EncodedTexts:
        """The same texts as one encoder alone reads them."""
        return EncodedTexts(self.encodings, self.starts, self.labels, encoder, self.texts)

    def fingerprint(self) -> str:
        """SHA-256 of all items, labels included: the same whatever other encoders read."""
        digest = hashlib.sha256()
        for row in range(len(self)):
            item = self[row]
            digest.update(len(item["input_ids"]).to_bytes(8, "little"))
            for key in sorted(item):
                digest.update(np.ascontiguousarray(item[key]).tobytes())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, row: int) -> dict[str, Any]:
        text = self.texts[row]
        start, end = self.starts[text], self.starts[text + 1]
        if self.encoder is not None:
            end = min(end, start + max(self.lengths[row], self.word_counts[row] + 1))
        place = slice(start, end)
        columns = slice(None) if self.encoder is None else slice(self.encoder, self.encoder + 1)
        item: dict[str, Any] = {
            key: values[place, columns] for key, values in self.encodings.items()
        }
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
            for key in INPUTS
        }
        return batch | label_tensors(rows)


@dataclass
class FeatureCollator:
    """Pads cached features to (batch, words, stacked size) tensors; labels become float."""

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Stack the rows of a batch."""
        words = max(1, *(len(row["word_embeddings"]) for row in rows))
        width = rows[0]["word_embeddings"].shape[1]
        # padded as they are stored: torch then makes float32 of float16 much faster than numpy
        embeddings = np.zeros((len(rows), words, width), rows[0]["word_embeddings"].dtype)
        mask = np.zeros((len(rows), words), np.int64)
        for index, row in enumerate(rows):
            count = len(row["word_embeddings"])
            embeddings[index, :count] = row["word_embeddings"]
            mask[index, :count] = 1
        logits = np.stack([row["encoder_logits"] for row in rows]).astype(np.float32)
        batch = {
            "word_embeddings": torch.from_numpy(embeddings).float(),
            "word_mask": torch.from_numpy(mask),
            "encoder_logits": torch.from_numpy(logits),
        }
        return batch | label_tensors(rows)


def model_inputs(model: nn.Module, texts: Any, size: int) -> Iterator[tuple[np.ndarray, Any]]:
    """Row numbers and inputs of texts of similar length, on the model's device and without labels.

    `texts` are `EncodedTexts` or a `FeatureCache`; the model is put into evaluation mode.
    """
    model.eval()
    collate = EncodedTextCollator() if isinstance(texts, EncodedTexts) else FeatureCollator()
    # Without a meta-learner and with the encoders aside, stage meta has no parameters.
    device = next((value.device for value in model.parameters()), PartialState().device)
    for rows in batches_by_length(texts.lengths, size=size):
        batch = collate([texts[int(row)] for row in rows])
        batch.pop("labels", None)
        yield rows, {name: value.to(device) for name, value in batch.items()}


def label_tensors(rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
    """`labels` (batch, labels) and `row_mask` (batch,), where the rows have them."""
    parts: dict[str, Tensor] = {}
    if "labels" in rows[0]:
        stacked = np.stack([row["labels"] for row in rows]).astype(np.float32)
        parts["labels"] = torch.from_numpy(stacked)
    if "row_mask" in rows[0]:
        parts["row_mask"] = torch.tensor([bool(row["row_mask"]) for row in rows])
    return parts


class RowsWithMask(Dataset[Any]):
    """Rows of a map-style data set of dicts with `row_mask`: false where the index is `~row`."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        counts = index >= 0
        return {**self.rows[index if counts else ~index], "row_mask": counts}


class EvenRowsSampler(Sampler[int]):
    """Another sampler's rows, filled up to whole batches of all ranks with the first ones.

    accelerate repeats rows to fill the last batch of all ranks; here it finds nothing to fill, and
    `~row` marks the repeated ones.
    """

    def __init__(self, sampler: Any, batch_size: int) -> None:
        self.sampler = sampler
        self.batch_size = batch_size

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the sampler inside."""
        if hasattr(self.sampler, "set_epoch"):
            self.sampler.set_epoch(epoch)

    def __len__(self) -> int:
        return -(-len(self.sampler) // self.batch_size) * self.batch_size

    def __iter__(self) -> Iterator[int]:
        first: list[int] = []
        count = 0
        for row in self.sampler:
            if len(first) < self.batch_size:
                first.append(row)
            count += 1
            yield row
        for place in range(len(self) - count):
            yield ~first[place % len(first)]


def lengths_of(rows: Any, column: str = "length") -> np.ndarray | None:
    """(rows,) length of each row of a map-style data set, or None if it is unknown.

    The rows have `lengths`, or a column of lengths, or `input_ids` in each row.
    """
    if (known := getattr(rows, "lengths", None)) is not None:
        return np.asarray(known)
    if not hasattr(rows, "__len__") or not len(rows):
        return None
    if column in getattr(rows, "column_names", ()):
        return np.asarray(rows[column])
    first = rows[0]
    if not isinstance(first, Mapping) or "input_ids" not in first:
        return None
    return np.array([len(rows[index]["input_ids"]) for index in range(len(rows))])


class LengthGroupedSampler(Sampler[int]):
    """A permutation whose neighbors have similar lengths, the same for the same seed and epoch.

    Windows of 20 batches are sorted by length and cut into batches; the batches of the whole
    epoch are then shuffled.

    Args:
        lengths: the length of each row.
        batch_size: rows per batch over all devices.
        seed: of the permutation; `set_epoch` varies it.
    """

    def __init__(self, lengths: Sequence[int] | np.ndarray, batch_size: int, seed: int = 0) -> None:
        self.lengths = np.asarray(lengths)
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch's permutation."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        generator = np.random.default_rng((self.seed, self.epoch))
        order = generator.permutation(np.arange(len(self.lengths), dtype=np.int32))
        size = self.batch_size * _WINDOW
        for start in range(0, len(order), size):
            part = order[start : start + size]
            order[start : start + size] = part[np.argsort(self.lengths[part], kind="stable")]
        full = len(order) // self.batch_size
        for place in generator.permutation(full):
            yield from order[place * self.batch_size : (place + 1) * self.batch_size].tolist()
        yield from order[full * self.batch_size :].tolist()
