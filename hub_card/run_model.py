"""The model of a run and its answers to texts, for the card and for checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel

from ..common.numerics import sigmoid
from ..modeling_stacked_emotion import StackedEmotionForSequenceClassification
from ..tokenization_stacked_emotion import StackedEmotionTokenizer
from .run_record import RunRecord


@dataclass
class RunModel:
    """Model and tokenizer of a run, in float32 on the CPU.

    Attributes:
        record: the run.
        model: a stack, or a stock classifier.
        tokenizer: its tokenizer.
    """

    record: RunRecord
    model: PreTrainedModel
    tokenizer: Any

    @classmethod
    def load(cls, record: RunRecord) -> RunModel:
        """Load the model folder of a run.

        Raises:
            OSError: a file of model or tokenizer is missing.
            ValueError: they do not belong together.
        """
        folder = record.model_folder
        if record.kind == "student":
            model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
            return cls(record, model.eval(), AutoTokenizer.from_pretrained(folder))
        stack = StackedEmotionForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
        tokenizer = StackedEmotionTokenizer.from_pretrained(folder)
        tokenizer.check_model(stack.config)
        return cls(record, stack.eval(), tokenizer)

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def max_length(self) -> int:
        """The longest text in sub-words; what is longer is cut."""
        return min(
            int(self.tokenizer.model_max_length),
            int(getattr(self.model.config, "max_position_embeddings", None) or 10**9),
        )

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """(texts, labels) logits, all texts in one batch."""
        batch = self.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            return self.model(**batch).logits.double().numpy()

    def answers(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        """For each text: `text`, `output` (label and score, most likely first), `given` labels."""
        if not texts:
            return []
        logits, labels, found = self.logits(texts), self.record.labels, []
        decided = self.record.rule(logits)
        for text, row, given in zip(texts, sigmoid(logits).tolist(), decided, strict=True):
            ranked = sorted(range(len(labels)), key=lambda index: -row[index])
            found.append(
                {
                    "text": text,
                    "output": [
                        {"label": labels[index], "score": round(row[index], 4)} for index in ranked
                    ],
                    "given": [labels[index] for index in ranked if given[index]],
                }
            )
        return found
