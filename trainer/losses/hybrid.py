"""The hybrid loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from torch import Tensor

from ...data.label_statistics import LabelStatistics
from .base import EmotionLoss, number_in
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
        bce = WeightedBinaryCrossEntropyLoss(
            statistics, class_weights, class_weight_power, class_weight_cap
        )
        super().__init__(statistics, pos_weight=bce.pos_weight.numpy() if bce_weight else None)
        self.bce_weight = number_in("[0, inf)", bce_weight, "bce_weight")
        self.correlation_weight = number_in("[0, inf)", correlation_weight, "correlation_weight")
        self.contrastive_weight = number_in("[0, inf)", contrastive_weight, "contrastive_weight")
        if not (bce_weight or correlation_weight or contrastive_weight):
            raise ValueError("At least one part of the hybrid loss must have a weight above 0.")
        self.class_weights = class_weights
        self.class_weight_power = class_weight_power
        self.class_weight_cap = class_weight_cap
        self.bce = bce
        self.correlation = CorrelationLoss(statistics, correlation_prior, correlation_shrinkage)
        self.correlation_prior = self.correlation.prior
        self.correlation_shrinkage = self.correlation.shrinkage
        self.contrastive = ContrastiveLoss(statistics, temperature)
        self.temperature = self.contrastive.temperature

    @property
    def uses_embedding(self) -> bool:
        """Whether the contrastive part has a weight."""
        return self.contrastive_weight > 0

    @property
    def gathered_components(self) -> frozenset[str]:
        """The component of the contrastive part."""
        return self.contrastive.gathered_components

    def components(
        self, logits: Tensor, labels: Tensor, embedding: Tensor | None
    ) -> dict[str, Tensor]:
        """The parts whose weight is not 0: `bce`, `correlation`, `contrastive`."""
        parts: dict[str, EmotionLoss] = {
            "bce": self.bce, "correlation": self.correlation, "contrastive": self.contrastive
        }  # fmt: skip
        return {
            name: getattr(self, f"{name}_weight") * part.components(logits, labels, embedding)[name]
            for name, part in parts.items()
            if getattr(self, f"{name}_weight")
        }
