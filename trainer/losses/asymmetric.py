"""Asymmetric loss (ASL)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ...data.label_statistics import LabelStatistics
from .base import EmotionLoss, mean_or_zero, number_in


class AsymmetricLoss(EmotionLoss):
    """Asymmetric loss of Ridnik et al. (2021), mean over rows and labels.

    `L₊ = −(1 − p)^γ₊·log p` where y = 1 and `L₋ = −p_m^γ₋·log(1 − p_m)` with
    `p_m = max(p − m, 0)` where y = 0 (equations 4 to 7 of the paper): easy negatives, whose
    probability is below the margin m, cost nothing. The authors sum over the labels; the mean
    keeps the scale of the BCE.

    Args:
        statistics: label statistics of the training split.
        gamma_positive: γ₊, at least 0.
        gamma_negative: γ₋, at least 0.
        margin: m in [0, 1).

    Raises:
        ValueError: an option outside its range.
    """

    name: ClassVar[str] = "asymmetric"
    citation: ClassVar[str] = """@inproceedings{ridnik2021asymmetric,
  title = {Asymmetric Loss for Multi-Label Classification},
  author = {Ridnik, Tal and Ben-Baruch, Emanuel and Zamir, Nadav and Noy, Asaf and
            Friedman, Itamar and Protter, Matan and Zelnik-Manor, Lihi},
  booktitle = {Proceedings of the IEEE/CVF International Conference on Computer Vision},
  year = {2021}
}"""

    def __init__(
        self,
        statistics: LabelStatistics,
        gamma_positive: float = 0.0,
        gamma_negative: float = 4.0,
        margin: float = 0.05,
    ) -> None:
        super().__init__(statistics)
        what = "{} of the asymmetric loss"
        self.gamma_positive = number_in("[0, inf)", gamma_positive, what.format("gamma_positive"))
        self.gamma_negative = number_in("[0, inf)", gamma_negative, what.format("gamma_negative"))
        self.margin = number_in("[0, 1)", margin, what.format("margin"))

    def components(
        self, logits: Tensor, labels: Tensor, embedding: Tensor | None
    ) -> dict[str, Tensor]:
        """`{"asymmetric": scalar}`."""
        log_p, log_not_p = F.logsigmoid(logits), F.logsigmoid(-logits)
        positive = -torch.exp(self.gamma_positive * log_not_p) * log_p
        if self.margin == 0.0:
            negative = -torch.exp(self.gamma_negative * log_p) * log_not_p
        else:
            # The floor keeps the gradient of the power finite where p is below the margin.
            shifted = (torch.sigmoid(logits) - self.margin).clamp_min(1e-8)
            log_not_shifted = torch.log((torch.sigmoid(-logits) + self.margin).clamp_max(1.0))
            negative = -shifted.pow(self.gamma_negative) * log_not_shifted
        return {"asymmetric": mean_or_zero(labels * positive + (1.0 - labels) * negative)}
