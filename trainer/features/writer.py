"""Filling the feature cache, by all ranks and over several lives of a process."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from tqdm.auto import tqdm

from ...alignment_stacked_emotion import INPUTS
from ...common.batching import batches_by_length
from ...common.disk import no_room
from ...common.errors import counted
from ...common.files import fingerprint, parse_json, replace_folder, write_json
from ...common.finished import Form, find, finish
from ...modeling_stacked_emotion import StackedEmotionForSequenceClassification
from ..data_collator import EncodedTextCollator, EncodedTexts
from ..running.progress import announce, has_listener, report_progress
from .cache import FILES, CacheLayout, map_files

_BEGUN = "begun.json"
_JOURNAL = "journal_"
JOURNAL_SECONDS = 30.0


class FeatureCacheWriter:
    """Fills a cache, part by part, and puts it in place at once when it is whole.

    Every rank writes its own texts into the same files and notes in journals how far it is, so
    that a killed run resumes at most `JOURNAL_SECONDS` earlier. The main rank writes
    the record of the finished work and renames the folder. A pickled writer may fill from another
    process.

    Args:
        folder: where the finished cache will be, on a disk all ranks see.
        layout: its sizes.
        fingerprint: of everything it depends on.

    Raises:
        UserError: the disk is too small.
    """

    def __init__(self, folder: Path, layout: CacheLayout, fingerprint: str) -> None:
        self.folder = folder
        self.partial = folder.with_name(f"{folder.name}.partial")
        self.layout = layout
        self.fingerprint = fingerprint
        self.state = PartialState()
        if self.state.is_main_process:
            begun = {"fingerprint": fingerprint, "ranks": self.state.num_processes}
            goes_on = self._goes_on(begun)
            if not goes_on:
                shutil.rmtree(self.partial, ignore_errors=True)
            self._make_room()
            if not goes_on:
                self._reserve()
                write_json(self.partial / _BEGUN, begun)
        self.state.wait_for_everyone()
        self.words, self.logits = map_files(self.partial, layout, "r+")

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if k not in ("state", "words", "logits")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.state = PartialState()
        self.words, self.logits = map_files(self.partial, self.layout, "r+")

    def _make_room(self) -> None:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.folder.parent).free
        written = [path.stat().st_blocks * 512 for path in self.partial.glob("*.bin")]
        needed, texts = self.layout.nbytes, len(self.layout.word_counts)
        announce(
            f"Feature cache {self.folder}: {counted(texts, 'text')}, {needed / 1e6:,.1f} MB, "
            f"{needed / 1e3 / max(texts, 1):.1f} kB a text."
        )
        if needed - sum(written) > 0.95 * free:
            raise no_room(self.folder, "--output_dir", needed)

    def _reserve(self) -> None:
        """Make the files with all their blocks: a disk that fills up later kills by SIGBUS."""
        self.partial.mkdir(parents=True)
        map_files(self.partial, self.layout, "w+")
        for name in FILES:
            path = self.partial / name
            if (size := path.stat().st_size) and hasattr(os, "posix_fallocate"):
                with path.open("rb+") as stream:
                    os.posix_fallocate(stream.fileno(), 0, size)

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
            batch_tokens: positions per batch, padding included.
            description: shown in the progress bar.
        """
        device = self.state.device
        model = model.to(device).eval()
        source = texts if encoder is None else texts.column(encoder)
        collate = EncodedTextCollator()
        first = 0 if encoder is None else sum(self.layout.sizes[:encoder])
        width = sum(self.layout.sizes) if encoder is None else self.layout.sizes[encoder]
        columns = slice(None) if encoder is None else slice(encoder, encoder + 1)
        mine = np.asarray(rows)[self.state.process_index :: self.state.num_processes]
        unit = fingerprint([encoder, batch_tokens], np.asarray(rows, np.int64).tolist())
        journal = f"{_JOURNAL}{self.state.process_index}_{unit[:16]}.json"
        noted, _ = find(self.partial, self.fingerprint, journal, Form({"batches": int}))
        done = noted.record["batches"] if noted else 0
        batches = [mine[batch] for batch in batches_by_length(source.lengths[mine], batch_tokens)]
        last = time.monotonic()
        bar = tqdm(
            total=len(batches), initial=done, desc=description, leave=False,
            disable=not self.state.is_main_process or has_listener() or None,
        )  # fmt: skip
        for number, batch in enumerate(batches[done:], done + 1):
            inputs = collate([source[int(row)] for row in batch])
            ids, attention, index = (inputs[key].to(device) for key in INPUTS)
            embeddings, mask, logits, *_ = model.stacked.encode(ids, attention, index)
            vectors, counts = embeddings.float().cpu().numpy(), mask.sum(1).tolist()
            for place, row in enumerate(batch):
                count = int(self.layout.word_counts[row])
                words = vectors[place, : min(count, counts[place])]
                begin = self.layout.starts[row]
                self.words[begin : begin + len(words), first : first + width] = words
            self.logits[batch, columns] = logits.float().cpu().numpy()
            bar.update()
            report_progress(number / len(batches))
            if time.monotonic() - last > JOURNAL_SECONDS or number == len(batches):
                self._flush()
                finish(self.partial, self.fingerprint, {"batches": number}, [], journal)
                last = time.monotonic()
        bar.close()

    def _flush(self) -> None:
        for mapped in (self.words, self.logits):
            if isinstance(mapped, np.memmap):
                mapped.flush()

    def finish(self) -> None:
        """Write the record and put the cache in place."""
        self._flush()
        self.state.wait_for_everyone()
        if self.state.is_main_process:
            files = [self.partial / name for name in FILES]
            finish(self.partial, self.fingerprint, {}, files)
            replace_folder(self.partial, self.folder)
            for path in (self.folder / _BEGUN, *self.folder.glob(f"{_JOURNAL}*.json")):
                path.unlink(missing_ok=True)
        self.state.wait_for_everyone()

    def _goes_on(self, begun: dict[str, Any]) -> bool:
        """Whether the partial files are those of this very cache."""
        try:
            return parse_json(self.partial / _BEGUN) == begun
        except (OSError, ValueError):
            return False
