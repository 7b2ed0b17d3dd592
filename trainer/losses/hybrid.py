"""The hybrid loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from ...data.label_statistics import LabelStatistics
from .base import EmotionLoss
from .binary_cross_entropy import WeightedBinaryCrossEntropyLoss
from .contrastive import ContrastiveLoss
from .correlation import CorrelationLoss


class HybridLoss(EmotionLoss):
    """w_bce · BCE(class weights) + w_corr · correlation + w_con · contrastive.

    The parts are those named in the abstract of Aslam et al. (2024); their exact form is our own
    choice (`docs/method.md`). A part of weight 0 is not computed and not logged.

    Args:
        statistics: label statistics of the training split.
        bce_weight: weight of `WeightedBinaryCrossEntropyLoss`.
        correlation_weight: weight of `CorrelationLoss`.
        contrastive_weight: weight of `ContrastiveLoss`.
        class_weights: class weighting of the BCE: `none`, `inverse`, `sqrt_inverse` or
            `effective_number`.
        class_weight_power: exponent on the class ratio instead of the method's own.
        class_weight_cap: class weights are kept within [1/cap, cap].
        correlation_prior: `phi`, `identity`, `plutchik` or a `(labels, labels)` matrix.
        correlation_shrinkage: share of the identity in the correlation matrix.
        temperature: temperature of the contrastive part.

    Raises:
        ValueError: a negative weight, all three weights 0, or a bad option of a part.
    """

    name: ClassVar[str] = "hybrid"
    citation: ClassVar[str] = """@misc{aslam2024stacked,
  title = {Improving Arabic Multi-Label Emotion Classification using Stacked Embeddings and Hybrid
           Loss Function},
  author = {Aslam, Muhammad Azeem and Jun, Wang and Ahmed, Nisar and Zaman, Muhammad Imran and
            Yanan, Li and Hongfei, Hu and Shiyu, Wang and Liu, Xin},
  eprint = {2410.03979},
  archivePrefix = {arXiv},
  year = {2024}
}"""

    def __init__(
        self,
        statistics: LabelStatistics,
        bce_weight: float = 1.0,
        correlation_weight: float = 0.5,
        contrastive_weight: float = 0.05,
        class_weights: str = "sqrt_inverse",
        class_weight_power: float | None = None,
        class_weight_cap: float = 10.0,
        correlation_prior: str | Sequence[Sequence[float]] | np.ndarray = "phi",
        correlation_shrinkage: float = 0.1,
        temperature: float = 0.1,
    ) -> None:
        part_weights = {
            "bce": float(bce_weight),
            "correlation": float(correlation_weight),
            "contrastive": float(contrastive_weight),
        }
        for part, weight in part_weights.items():
            if not (np.isfinite(weight) and weight >= 0):
                raise ValueError(f"{part}_weight must be a number of at least 0, got {weight}.")
        if not any(part_weights.values()):
            raise ValueError("At least one part of the hybrid loss must have a weight above 0.")
        bce = WeightedBinaryCrossEntropyLoss(
            statistics, class_weights, class_weight_power, class_weight_cap
        )
        used = bce.pos_weight.double().numpy() if part_weights["bce"] else None
        super().__init__(statistics, pos_weight=used)
        self.part_weights = part_weights
        self.bce = bce
        self.correlation = CorrelationLoss(statistics, correlation_prior, correlation_shrinkage)
        self.contrastive = ContrastiveLoss(statistics, temperature)

    @property
    def uses_embedding(self) -> bool:
        """Whether the contrastive part is on."""
        return self.part_weights["contrastive"] > 0

    @property
    def gathered_components(self) -> frozenset[str]:
        """The contrastive part's."""
        return self.contrastive.gathered_components

    def get_config_dict(self) -> dict[str, Any]:
        """Every option of the constructor."""
        return {
            **{f"{part}_weight": weight for part, weight in self.part_weights.items()},
            **self.bce.get_config_dict(),
            "correlation_prior": self.correlation.prior,
            "correlation_shrinkage": self.correlation.shrinkage,
            "temperature": self.contrastive.temperature,
        }

    def components(
        self, logits: Tensor, labels: Tensor, embedding: Tensor | None
    ) -> dict[str, Tensor]:
        """The parts whose weight is not 0: `bce`, `correlation`, `contrastive`."""
        parts: tuple[EmotionLoss, ...] = (self.bce, self.correlation, self.contrastive)
        weighted: dict[str, Tensor] = {}
        for part, weight in zip(parts, self.part_weights.values(), strict=True):
            if weight:
                for component, value in part.components(logits, labels, embedding).items():
                    weighted[component] = weight * value
        return weighted
