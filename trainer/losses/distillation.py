"""The loss of a student: soft labels from a teacher beside the hard ones."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ...data.label_statistics import LabelStatistics
from .base import at_least_float32, number_in
from .binary_cross_entropy import WeightedBinaryCrossEntropyLoss


class DistillationLoss(WeightedBinaryCrossEntropyLoss):
    """Soft-label binary cross-entropy with a temperature, and the hard labels' weighted one.

    With z the student's logits, t the teacher's, T the temperature, y the labels, c the class
    weights and s the soft weight, a row costs, averaged over the labels,

    `s · T² · BCE(σ(t/T), σ(z/T)) + (1 − s) · BCE_c(y, σ(z + log c))`,

    the second part only where the row has labels; a row without labels or without a teacher costs
    the other part alone. The batch's loss is the mean over its rows. T² keeps the gradient's size
    independent of T (Hinton, Vinyals and Dean 2015). Both parts have their minimum where σ(z) is
    the probability of the label, so z stays a log-odds.

    A recipe cannot choose this loss, because it needs a teacher.

    Args:
        statistics: label statistics of the training split.
        soft_weight: s in [0, 1]; 0 where there is no teacher.
        temperature: T > 0.
        class_weights: `none`, `inverse`, `sqrt_inverse` or `effective_number`.
        class_weight_power: exponent on the class ratio instead of the method's own.
        class_weight_cap: weights are kept within [1/cap, cap].

    Raises:
        ValueError: a value out of range.
    """

    name: ClassVar[str] = "distillation"
    more_inputs: ClassVar[tuple[str, ...]] = ("teacher_logits", "labeled")
    citation: ClassVar[str] = """@misc{hinton2015distilling,
  title = {Distilling the Knowledge in a Neural Network},
  author = {Hinton, Geoffrey and Vinyals, Oriol and Dean, Jeff},
  year = {2015},
  eprint = {1503.02531},
  archivePrefix = {arXiv}
}"""

    def __init__(
        self,
        statistics: LabelStatistics,
        soft_weight: float = 0.5,
        temperature: float = 1.0,
        class_weights: str = "sqrt_inverse",
        class_weight_power: float | None = None,
        class_weight_cap: float = 10.0,
    ) -> None:
        super().__init__(statistics, class_weights, class_weight_power, class_weight_cap)
        self.weights_positives = False  # the trainer must not: only the hard part is
        self.soft_weight = number_in("[0, 1]", soft_weight, "soft_weight")
        self.temperature = number_in("(0, inf)", temperature, "temperature")

    def forward(
        self,
        logits: Tensor,
        labels: Tensor,
        embedding: Tensor | None = None,
        row_mask: Tensor | None = None,
        teacher_logits: Tensor | None = None,
        labeled: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Named scalar components; their sum is the loss.

        Args:
            logits: `(batch, labels)` of the student.
            labels: `(batch, labels)` 0/1; the values in rows without labels are not read.
            embedding: not used.
            row_mask: `(batch,)` bool, False for rows that only fill the batch.
            teacher_logits: `(batch, labels)` log-odds of the teacher, NaN in the rows it did not
                score; None for no teacher.
            labeled: `(batch,)` bool, False for rows without labels; None where all have them.

        Raises:
            ValueError: shapes that do not fit.
        """
        self._check(logits, labels, embedding, row_mask)
        if teacher_logits is not None and teacher_logits.shape != logits.shape:
            raise ValueError(
                f"teacher_logits {tuple(teacher_logits.shape)} and logits {tuple(logits.shape)} "
                "must have the same shape (batch, labels)."
            )
        if labeled is not None and labeled.shape != logits.shape[:1]:
            raise ValueError(
                f"labeled must have shape ({len(logits)},), got {tuple(labeled.shape)}."
            )
        with torch.autocast(device_type=logits.device.type, enabled=False):
            student = at_least_float32(logits)
            rows = student.new_ones(len(student)) if row_mask is None else row_mask.to(student)
            hard_rows = rows if labeled is None else rows * labeled.to(student)
            soft_rows = torch.zeros_like(rows)
            if teacher_logits is not None and self.soft_weight:
                soft_rows = rows * (~teacher_logits.isnan().any(1)).to(student)
            both = hard_rows * soft_rows
            count = rows.sum().clamp(min=1.0)
            parts = {"hard": self._hard(student, labels, hard_rows - self.soft_weight * both)}
            if teacher_logits is not None and self.soft_weight:
                share = soft_rows - (1.0 - self.soft_weight) * both
                parts["soft"] = self._soft(student, teacher_logits, share)
            return {name: part / count for name, part in parts.items()}

    def _hard(self, logits: Tensor, labels: Tensor, share: Tensor) -> Tensor:
        """Sum over rows of their share times the mean over labels."""
        weight = self.pos_weight.to(logits)
        read = torch.where(share.unsqueeze(1) > 0, labels.to(logits.dtype), 0.0)
        cost = F.binary_cross_entropy_with_logits(
            logits + torch.log(weight), read, pos_weight=weight, reduction="none"
        )
        return (cost.mean(1) * share).sum()

    def _soft(self, logits: Tensor, teacher_logits: Tensor, share: Tensor) -> Tensor:
        """T² times the sum over rows of their share times the mean over labels."""
        target = torch.sigmoid(teacher_logits.to(logits).nan_to_num() / self.temperature)
        cost = F.binary_cross_entropy_with_logits(
            logits / self.temperature, target, reduction="none"
        )
        return self.temperature**2 * (cost.mean(1) * share).sum()
