"""Label-correlation aware loss (LCA) of SpanEmo."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ...data.label_statistics import LabelStatistics
from .base import EmotionLoss, mean_or_zero, number_in


class LabelCorrelationAwareLoss(EmotionLoss):
    """(1 − α)·BCE + α·LCA of SpanEmo (Alhuzali and Ananiadou 2021).

    For a row with absent labels Y⁰ and present labels Y¹,
    `LCA = 1/(|Y⁰|·|Y¹|) · Σ_{i∈Y⁰} Σ_{j∈Y¹} exp(p_i − p_j)`, with p the probabilities after the
    sigmoid (equation 4 of the paper), and the mean over rows is taken. The double sum is the
    product of the mean of exp(p) over Y⁰ and the mean of exp(−p) over Y¹. A row where no label or
    every label is present has no pair and costs 0.

    Args:
        statistics: label statistics of the training split.
        alpha: share of LCA in [0, 1]; the authors use 0.2.

    Raises:
        ValueError: an alpha outside [0, 1].
    """

    name: ClassVar[str] = "lca"
    citation: ClassVar[str] = """@inproceedings{alhuzali2021spanemo,
  title = {SpanEmo: Casting Multi-label Emotion Classification as Span-prediction},
  author = {Alhuzali, Hassan and Ananiadou, Sophia},
  booktitle = {Proceedings of the 16th Conference of the European Chapter of the Association for
               Computational Linguistics: Main Volume},
  year = {2021}
}"""

    def __init__(self, statistics: LabelStatistics, alpha: float = 0.2) -> None:
        super().__init__(statistics)
        self.alpha = number_in("[0, 1]", alpha, "alpha of the LCA loss")

    def components(
        self, logits: Tensor, labels: Tensor, embedding: Tensor | None
    ) -> dict[str, Tensor]:
        """`{"bce": scalar, "lca": scalar}`."""
        cross_entropy = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
        probabilities = torch.sigmoid(logits)
        present, absent = labels, 1.0 - labels
        absent_term = (absent * probabilities.exp()).sum(1) / absent.sum(1).clamp_min(1.0)
        present_term = (present * (-probabilities).exp()).sum(1) / present.sum(1).clamp_min(1.0)
        return {
            "bce": (1.0 - self.alpha) * mean_or_zero(cross_entropy),
            "lca": self.alpha * mean_or_zero(absent_term * present_term),
        }
