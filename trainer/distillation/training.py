"""Training of a student: its rows, with labels, the teacher's logits or both, and its scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ...common.batching import batches_by_length
from ...data.label_statistics import LabelStatistics
from ...data.labeled_texts import LabeledTexts
from ..data_collator import label_tensors
from ..losses.distillation import DistillationLoss
from ..parameter_groups import width_scaled_learning_rate
from ..running.checkpoints import newest_checkpoint
from ..running.once import CHECKPOINTS
from ..running.progress import show_loss
from ..trainer import StackedEmotionTrainer
from ..training_arguments import LOGGING_STEPS, training_arguments
from .arguments import DistillationArguments
from .student import build_student, student_groups

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
    """Tokenizes and pads the texts of a batch with the student's tokenizer."""

    tokenizer: PreTrainedTokenizerBase

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Stack the rows of a batch: the tokenizer's tensors, and those of the loss."""
        batch = self.encode([row["text"] for row in rows]) | label_tensors(rows)
        batch["labeled"] = torch.tensor([row["labeled"] for row in rows])
        if "teacher_logits" in rows[0]:
            logits = np.stack([row["teacher_logits"] for row in rows]).astype(np.float32)
            batch["teacher_logits"] = torch.from_numpy(logits)
        return batch

    def encode(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """(batch, sequence) tensors of the texts, truncated to the tokenizer's length."""
        encoded = self.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        return dict(encoded)


@dataclass(frozen=True)
class StudentPlan:
    """What one training of a student does.

    Attributes:
        with_teacher: False for the encoder that is trained alone.
        epochs: over all its rows.
        seed: of the head, the order of the rows and the dropout.
    """

    with_teacher: bool
    epochs: float
    seed: int


def train_student(
    options: DistillationArguments,
    plan: StudentPlan,
    rows: StudentRows,
    statistics: LabelStatistics,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
) -> tuple[PreTrainedModel, list[dict[str, Any]]]:
    """Train a student from its pretrained encoder, or from the last checkpoint in the folder.

    Returns:
        The student and the trainer's log.
    """
    attention = options.attn_implementation
    if attention is None and not torch.cuda.is_available():
        attention = "eager"
    torch.manual_seed(plan.seed)
    model = build_student(
        options.student,
        statistics.label_names,
        statistics.prevalence,
        options.student_revision,
        options.student_layers,
        attention,
    )
    checkpoints, width = folder / CHECKPOINTS, model.config.hidden_size
    trainer = StackedEmotionTrainer(
        model=model,
        args=training_arguments(
            checkpoints,
            options,
            "distill",
            epochs=plan.epochs,
            learning_rate=options.learning_rate or width_scaled_learning_rate(width),
            report_to=options.report_to,
            bf16=options.bf16,
            logging_steps=options.logging_steps or LOGGING_STEPS,
            save_strategy="steps",
            save_steps=options.save_steps,
            save_total_limit=2,
            seed=plan.seed,
        ),
        train_dataset=rows,
        data_collator=StudentCollator(tokenizer),
        loss=DistillationLoss(statistics, **options.loss_options(plan.with_teacher)),
        optimizer_groups=student_groups(
            model, options.learning_rate, options.head_factor, options.weight_decay
        ),
    )
    show_loss(trainer, options, options.logging_steps)
    trainer.train(resume_from_checkpoint=newest_checkpoint(checkpoints))
    return model.eval(), [entry for entry in trainer.state.log_history if "loss" in entry]


@torch.inference_mode()
def student_logits(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]
) -> np.ndarray:
    """(texts, labels) float32 logits in fp32, in the order of the texts."""
    collate = StudentCollator(tokenizer)
    lengths = np.array([len(text) for text in texts])
    logits = np.zeros((len(texts), model.config.num_labels), np.float32)
    model.eval()
    for rows in batches_by_length(lengths, size=64):
        batch = collate.encode([texts[row] for row in rows])
        batch = {key: value.to(model.device) for key, value in batch.items()}
        logits[rows] = model(**batch).logits.float().cpu().numpy()
    return logits
