"""Rows for the student: texts with labels, with the teacher's logits, or with both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset
from transformers import PreTrainedTokenizerBase

from ...data.labeled_texts import LabeledTexts

if TYPE_CHECKING:
    from datasets import Dataset


class StudentRows(TorchDataset[dict[str, Any]]):
    """Labeled rows first, then rows without labels, which stay on disk.

    Args:
        texts: the labeled texts.
        teacher_logits: (rows, labels) for them; None where there is no teacher.
        extra: `text`, `logits` and `fold` of the texts without labels; None for none.
        leave_out_fold: leave the extra rows of this fold out.

    Attributes:
        lengths: (rows,) characters of each text, by which batches are put together.
    """

    def __init__(
        self,
        texts: LabeledTexts,
        teacher_logits: np.ndarray | None = None,
        extra: Dataset | None = None,
        leave_out_fold: int | None = None,
    ) -> None:
        self.texts = texts
        self.teacher_logits = teacher_logits
        self.extra = None if extra is None else extra.with_format("numpy")
        self.extra_rows = np.zeros(0, np.int64)
        lengths = [np.array([len(text) for text in texts.texts], np.int64)]
        if self.extra is not None:
            folds = np.asarray(self.extra["fold"])
            self.extra_rows = np.flatnonzero(folds != leave_out_fold)
            batches = self.extra.select_columns(["text"]).iter(batch_size=10_000)
            sizes = [len(text) for batch in batches for text in batch["text"]]
            lengths.append(np.asarray(sizes, np.int64)[self.extra_rows])
        self.lengths = np.concatenate(lengths)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, row: int) -> dict[str, Any]:
        if row < len(self.texts):
            item: dict[str, Any] = {
                "text": self.texts.texts[row],
                "labels": self.texts.labels[row],
                "labeled": True,
            }
            if self.teacher_logits is not None:
                item["teacher_logits"] = self.teacher_logits[row]
            return item
        assert self.extra is not None
        found = self.extra[int(self.extra_rows[row - len(self.texts)])]
        return {
            "text": str(found["text"]),
            "labels": np.zeros(self.texts.labels.shape[1], np.int8),
            "labeled": False,
            "teacher_logits": found["logits"],
        }


@dataclass
class StudentCollator:
    """Tokenizes and pads the texts of a batch.

    Attributes:
        tokenizer: the student's.
    """

    tokenizer: PreTrainedTokenizerBase

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Stack the rows of a batch: the tokenizer's tensors, and those of the loss."""
        batch = dict(self.encode([row["text"] for row in rows]))
        batch["labels"] = torch.from_numpy(np.stack([row["labels"] for row in rows])).float()
        batch["labeled"] = torch.tensor([row["labeled"] for row in rows])
        if "teacher_logits" in rows[0]:
            logits = np.stack([row["teacher_logits"] for row in rows]).astype(np.float32)
            batch["teacher_logits"] = torch.from_numpy(logits)
        if "row_mask" in rows[0]:
            batch["row_mask"] = torch.tensor([bool(row["row_mask"]) for row in rows])
        return batch

    def encode(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """(batch, sequence) tensors of the texts, truncated to the tokenizer's length."""
        encoded = self.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        return dict(encoded)
