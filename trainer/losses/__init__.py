"""Losses for multi-label emotion classification, chosen by name."""

from __future__ import annotations

from typing import Any

from ...data.label_statistics import LabelStatistics
from .asymmetric import AsymmetricLoss
from .base import EmotionLoss
from .binary_cross_entropy import BinaryCrossEntropyLoss, WeightedBinaryCrossEntropyLoss
from .contrastive import ContrastiveLoss
from .correlation import CORRELATION_PRIORS, CorrelationLoss, plutchik_correlation
from .focal import FocalLoss
from .hybrid import HybridLoss
from .label_correlation_aware import LabelCorrelationAwareLoss

LOSSES: dict[str, type[EmotionLoss]] = {
    loss.name: loss
    for loss in (
        BinaryCrossEntropyLoss,
        WeightedBinaryCrossEntropyLoss,
        FocalLoss,
        AsymmetricLoss,
        LabelCorrelationAwareLoss,
        HybridLoss,
    )
}


def loss_options(name: str) -> dict[str, Any]:
    """Options of a loss and their default values.

    Raises:
        ValueError: unknown loss.
    """
    if name not in LOSSES:
        raise ValueError(f"Unknown loss {name!r}; known: {', '.join(LOSSES)}.")
    return LOSSES[name].options()


def build_loss(name: str, statistics: LabelStatistics, **options: Any) -> EmotionLoss:
    """Build a loss by its name, one of `LOSSES`, with its own options; see `loss_options`.

    Raises:
        ValueError: unknown loss or option (the known ones are listed), or a bad value.

    Example:
        >>> import torch
        >>> from stacked_emotion.trainer import LabelStatistics, build_loss
        >>> statistics = LabelStatistics.from_labels([[1, 0], [1, 1], [0, 0], [0, 0]], ["a", "b"])
        >>> loss = build_loss("bce", statistics)
        >>> parts = loss(torch.zeros(4, 2), torch.tensor([[1.0, 0], [1, 1], [0, 0], [0, 0]]))
        >>> {name: round(float(value), 4) for name, value in parts.items()}
        {'bce': 0.6931}
    """
    known = loss_options(name)
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(
            f"Unknown option{'s' if len(unknown) > 1 else ''} {', '.join(unknown)} of the loss "
            f"{name!r}; known: {', '.join(known) or 'none, it has no options'}."
        )
    return LOSSES[name](statistics, **options)


__all__ = [
    "CORRELATION_PRIORS",
    "LOSSES",
    "AsymmetricLoss",
    "BinaryCrossEntropyLoss",
    "ContrastiveLoss",
    "CorrelationLoss",
    "EmotionLoss",
    "FocalLoss",
    "HybridLoss",
    "LabelCorrelationAwareLoss",
    "WeightedBinaryCrossEntropyLoss",
    "build_loss",
    "loss_options",
    "plutchik_correlation",
]
