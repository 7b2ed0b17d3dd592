"""Binary cross-entropy, plain and weighted by class."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from ...data.label_statistics import LabelStatistics
from .base import EmotionLoss


class BinaryCrossEntropyLoss(EmotionLoss):
    """Mean over rows and labels of −[y·log p + (1 − y)·log(1 − p)], p = sigmoid(logit).

    The same number as `torch.nn.BCEWithLogitsLoss()`, which is what the model's own `forward`
    computes when it is given labels.
    """

    name: ClassVar[str] = "bce"

    def __init__(self, statistics: LabelStatistics) -> None:
        super().__init__(statistics)

    def components(
        self, logits: Tensor, labels: Tensor, embedding: Tensor | None
    ) -> dict[str, Tensor]:
        """`{"bce": scalar}`."""
        pos_weight = self.pos_weight.to(logits) if self.weights_positives else None
        if not logits.numel():
            return {"bce": logits.sum()}
        return {"bce": F.binary_cross_entropy_with_logits(logits, labels, pos_weight=pos_weight)}


class WeightedBinaryCrossEntropyLoss(BinaryCrossEntropyLoss):
    """Mean of −[w·y·log p + (1 − y)·log(1 − p)] with one weight w per label (`pos_weight`).

    The weights come from the label counts: see `stacked_emotion.data.label_statistics.
    class_weights`. The minimum in expectation is at logit(prevalence) + log w. Therefore
    `StackedEmotionTrainer` adds log w to the logits before it computes the loss: the model's own
    logits then have their minimum at logit(prevalence), with no correction after training.

    Args:
        statistics: label statistics of the training split.
        class_weights: `none`, `inverse`, `sqrt_inverse` or `effective_number`.
        class_weight_power: exponent on the class ratio instead of the method's own.
        class_weight_cap: weights are kept within [1/cap, cap].

    Raises:
        ValueError: an unknown method, or an option outside its range.
    """

    name: ClassVar[str] = "weighted_bce"
    effective_number_citation: ClassVar[str] = """@inproceedings{cui2019classbalanced,
  title = {Class-Balanced Loss Based on Effective Number of Samples},
  author = {Cui, Yin and Jia, Menglin and Lin, Tsung-Yi and Song, Yang and Belongie, Serge},
  booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year = {2019}
}"""

    def __init__(
        self,
        statistics: LabelStatistics,
        class_weights: str = "sqrt_inverse",
        class_weight_power: float | None = None,
        class_weight_cap: float = 10.0,
    ) -> None:
        weight = statistics.pos_weight(
            class_weights, power=class_weight_power, cap=class_weight_cap
        )
        EmotionLoss.__init__(self, statistics, pos_weight=weight)
        self.class_weights = class_weights
        self.class_weight_power = class_weight_power
        self.class_weight_cap = class_weight_cap
