"""Encoder outputs on disk: the encoders run once per text, every later epoch reads from here."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from torch.utils.data import Dataset
from tqdm.auto import tqdm
from transformers.utils import logging

from ..modeling_stacked_emotion import StackedEmotionForSequenceClassification
from .collator import ENCODING_KEYS, EncodedTextCollator, EncodedTexts
from .errors import UserError

logger = logging.get_logger(__name__)

_MANIFEST = "manifest.json"
_FILES = ("words.bin", "logits.bin")
_DTYPES = {"float32": np.float32, "float16": np.float16}


@dataclass(frozen=True)
class CacheLayout:
    """Sizes of a cache: what is in it, and where each text begins.

    Attributes:
        word_counts: (texts,) words of each text.
        sizes: hidden size of each encoder, in the order of the stack.
        labels: number of labels.
        dtype: of the word vectors, float32 or float16; logits are always float32.
    """

    word_counts: tuple[int, ...]
    sizes: tuple[int, ...]
    labels: int
    dtype: str = "float16"

    @property
    def words_shape(self) -> tuple[int, int]:
        """(words of all texts, sum of the hidden sizes)."""
        return sum(self.word_counts), sum(self.sizes)

    @property
    def logits_shape(self) -> tuple[int, int, int]:
        """(texts, encoders, labels)."""
        return len(self.word_counts), len(self.sizes), self.labels

    @property
    def nbytes(self) -> int:
        """Size on disk in bytes."""
        words = int(np.prod(self.words_shape)) * np.dtype(_DTYPES[self.dtype]).itemsize
        return words + 4 * int(np.prod(self.logits_shape))


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
        self.rows = np.arange(len(layout.word_counts)) if rows is None else np.asarray(rows, int)
        self.starts = np.concatenate([[0], np.cumsum(layout.word_counts)]).astype(np.int64)
        self.words, self.logits = _map_files(folder, layout, "r")
        self.lengths = [layout.word_counts[row] for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self.rows[index]
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
        self.words, self.logits = _map_files(self.folder, self.layout, "r")

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


class FeatureCacheWriter:
    """Fills a cache, part by part, and puts it in place at once when it is whole.

    Every rank writes its own texts into the same files; the main one adds the manifest with the
    fingerprint and the digests, and renames the folder.

    Args:
        folder: where the finished cache will be.
        layout: its sizes.
        fingerprint: of everything it depends on.
    """

    def __init__(self, folder: Path, layout: CacheLayout, fingerprint: str) -> None:
        self.folder = folder
        self.partial = folder.with_name(f"{folder.name}.partial")
        self.layout = layout
        self.fingerprint = fingerprint
        self.state = PartialState()
        self.starts = np.concatenate([[0], np.cumsum(layout.word_counts)]).astype(np.int64)
        if self.state.is_main_process:
            self._make_room()
            shutil.rmtree(self.partial, ignore_errors=True)
            self.partial.mkdir(parents=True)
            _map_files(self.partial, layout, "w+")
        self.state.wait_for_everyone()
        self.words, self.logits = _map_files(self.partial, layout, "r+")

    def _make_room(self) -> None:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.folder.parent).free
        needed = self.layout.nbytes
        logger.info(
            "Feature cache %s: %d texts, %.1f MB.",
            self.folder, len(self.layout.word_counts), needed / 1e6,
        )  # fmt: skip
        if needed > 0.95 * free:
            raise UserError(
                f"The feature cache {self.folder} needs {needed / 1e9:.1f} GB, but only "
                f"{free / 1e9:.1f} GB are free there. Free some, choose another --output_dir, or "
                "train on fewer texts (--max_train_samples)."
            )

    @torch.inference_mode()
    def fill(
        self,
        model: StackedEmotionForSequenceClassification,
        texts: EncodedTexts,
        rows: np.ndarray,
        encoder: int | None = None,
        batch_tokens: int = 4096,
        description: str = "features",
    ) -> None:
        """Run the encoders of a model over texts and write what they give.

        Args:
            model: the stack, or the stack of the one encoder that is filled.
            texts: the encoded texts, all of them.
            rows: the texts to fill.
            encoder: the column of the cache, or None for all at once.
            batch_tokens: positions a batch, padding included.
            description: shown in the progress bar.
        """
        device = self.state.device
        model = model.to(device).eval()
        source = texts if encoder is None else texts.column(encoder)
        collate = EncodedTextCollator()
        first = 0 if encoder is None else sum(self.layout.sizes[:encoder])
        width = sum(self.layout.sizes) if encoder is None else self.layout.sizes[encoder]
        mine = rows[self.state.process_index :: self.state.num_processes]
        batches = list(_token_batches(mine, source.lengths, batch_tokens))
        for batch in tqdm(
            batches, desc=description, disable=not self.state.is_main_process, leave=False
        ):
            inputs = collate([source[row] for row in batch])
            ids, attention, index = (inputs[key].to(device) for key in ENCODING_KEYS)
            embeddings, mask, logits, *_ = model.stacked.encode(ids, attention, index)
            vectors, counts = embeddings.float().cpu().numpy(), mask.sum(1).tolist()
            for place, row in enumerate(batch):
                count = self.layout.word_counts[row]
                words = vectors[place, : min(count, counts[place])]
                begin = self.starts[row]
                self.words[begin : begin + len(words), first : first + width] = words
            columns = slice(None) if encoder is None else slice(encoder, encoder + 1)
            self.logits[batch, columns] = logits.float().cpu().numpy()

    def finish(self) -> None:
        """Write the manifest and put the cache in place."""
        for mapped in (self.words, self.logits):
            if isinstance(mapped, np.memmap):
                mapped.flush()
        self.state.wait_for_everyone()
        if self.state.is_main_process:
            manifest = {
                "fingerprint": self.fingerprint,
                "digests": {name: file_digest(self.partial / name) for name in _FILES},
            }
            (self.partial / _MANIFEST).write_text(json.dumps(manifest, indent=1))
            shutil.rmtree(self.folder, ignore_errors=True)
            os.replace(self.partial, self.folder)
        self.state.wait_for_everyone()


def open_cache(
    folder: Path, layout: CacheLayout, fingerprint: str, labels: np.ndarray | None = None
) -> FeatureCache | None:
    """The cache in that folder, if it is whole and belongs to this fingerprint.

    Args:
        folder: where it should be.
        layout: the sizes it should have.
        fingerprint: of everything it depends on.
        labels: (texts, labels) for the rows.

    Returns:
        The cache; None, with a warning unless there is none at all, if it has to be made again.
    """
    if not folder.exists():
        return None
    problem = _problem(folder, layout, fingerprint)
    if problem is not None:
        logger.warning("The feature cache %s %s and is made again.", folder, problem)
        return None
    return FeatureCache(folder, layout, labels)


def fingerprint(*parts: Any) -> str:
    """SHA-256 of JSON-able parts, as hex."""
    digest = hashlib.sha256()
    for part in parts:
        text = part if isinstance(part, str) else json.dumps(part, sort_keys=True)
        digest.update(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """BLAKE2b of a file's bytes, as hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _problem(folder: Path, layout: CacheLayout, fingerprint: str) -> str | None:
    """What is wrong with a cache, in words that follow its name, or None."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_text())
        stored, digests = manifest["fingerprint"], manifest["digests"]
    except (OSError, ValueError, KeyError, TypeError):
        return "has no readable manifest"
    if stored != fingerprint:
        return "belongs to other texts, encoders or settings"
    for name in _FILES:
        path = folder / name
        if not path.exists() or file_digest(path) != digests.get(name):
            return f"is damaged ({name})"
    return None


def _map_files(folder: Path, layout: CacheLayout, mode: Any) -> tuple[np.ndarray, np.ndarray]:
    """The two arrays; an empty one where there is nothing to map."""
    arrays = []
    shapes: tuple[tuple[int, ...], ...] = (layout.words_shape, layout.logits_shape)
    for name, shape, dtype in zip(_FILES, shapes, (_DTYPES[layout.dtype], np.float32), strict=True):
        if int(np.prod(shape)) == 0:
            (folder / name).touch()
            arrays.append(np.zeros(shape, dtype))
        else:
            arrays.append(np.memmap(folder / name, dtype, mode, shape=shape))
    return arrays[0], arrays[1]


def _token_batches(
    rows: np.ndarray, lengths: Sequence[int], batch_tokens: int
) -> Iterator[list[int]]:
    """Rows sorted by length, cut into batches of at most `batch_tokens` padded positions."""
    batch: list[int] = []
    longest = 0
    for row in sorted(rows.tolist(), key=lambda row: lengths[row]):
        longest = max(longest, lengths[row])
        if batch and longest * (len(batch) + 1) > batch_tokens:
            yield batch
            batch, longest = [], lengths[row]
        batch.append(row)
    if batch:
        yield batch
