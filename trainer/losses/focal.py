"""Focal loss."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from ...data.label_statistics import LabelStatistics
from .base import EmotionLoss, mean_or_zero, number_in


class FocalLoss(EmotionLoss):
    """Focal loss of Lin et al. (2017), one sigmoid per label, mean over rows and labels.

    `−α_t·(1 − p_t)^γ·log p_t`, with p_t = p and α_t = α where y = 1, and p_t = 1 − p and
    α_t = 1 − α where y = 0 (equation 5 of the paper). γ = 0 without α is the plain BCE. The factor
    (1 − p_t)^γ is computed from log-sigmoids, so value and gradient stay finite at any logit.

    Args:
        statistics: label statistics of the training split.
        gamma: focusing exponent γ, at least 0.
        alpha: weight of the positive class in (0, 1), or None for no weighting.

    Raises:
        ValueError: an option outside its range.
    """

    name: ClassVar[str] = "focal"
    citation: ClassVar[str] = """@inproceedings{lin2017focal,
  title = {Focal Loss for Dense Object Detection},
  author = {Lin, Tsung-Yi and Goyal, Priya and Girshick, Ross and He, Kaiming and Dollar, Piotr},
  booktitle = {Proceedings of the IEEE International Conference on Computer Vision},
  year = {2017}
}"""

    def __init__(
        self, statistics: LabelStatistics, gamma: float = 2.0, alpha: float | None = 0.25
    ) -> None:
        super().__init__(statistics)
        self.gamma = number_in("[0, inf)", gamma, "gamma of the focal loss")
        self.alpha = (
            None if alpha is None else number_in("(0, 1)", alpha, "alpha of the focal loss")
        )

    def components(
        self, logits: Tensor, labels: Tensor, embedding: Tensor | None
    ) -> dict[str, Tensor]:
        """`{"focal": scalar}`."""
        log_p, log_not_p = F.logsigmoid(logits), F.logsigmoid(-logits)
        positive = -torch.exp(self.gamma * log_not_p) * log_p
        negative = -torch.exp(self.gamma * log_p) * log_not_p
        if self.alpha is not None:
            positive, negative = self.alpha * positive, (1.0 - self.alpha) * negative
        return {"focal": mean_or_zero(labels * positive + (1.0 - labels) * negative)}
