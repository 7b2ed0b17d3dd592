"""Label-correlation part of the hybrid loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ...data.label_statistics import LabelStatistics, shrink_correlation
from .base import EmotionLoss, mean_or_zero

CORRELATION_PRIORS: tuple[str, ...] = ("phi", "identity", "plutchik")

# Degrees on Plutchik's wheel (1980): the eight primary emotions stand 45 degrees apart; a dyad
# stands halfway between its two primaries.
PLUTCHIK_ANGLES: dict[str, float] = {
    "joy": 0.0,
    "love": 22.5,
    "trust": 45.0,
    "submission": 67.5,
    "fear": 90.0,
    "awe": 112.5,
    "surprise": 135.0,
    "disapproval": 157.5,
    "sadness": 180.0,
    "remorse": 202.5,
    "disgust": 225.0,
    "pessimism": 247.5,
    "contempt": 247.5,
    "anger": 270.0,
    "aggressiveness": 292.5,
    "anticipation": 315.0,
    "optimism": 337.5,
}


def plutchik_correlation(label_names: Sequence[str]) -> np.ndarray:
    """Cosine of the angle between two emotions on Plutchik's wheel, `(labels, labels)`, diagonal 1.

    It needs no labeled data. Emotions side by side are near 1, opposites −1. A label that is not on
    the wheel (English names) is uncorrelated with the others. It is a Gram matrix, so positive
    semi-definite.
    """
    angles = [PLUTCHIK_ANGLES.get(name.lower()) for name in label_names]
    known = np.array([angle is not None for angle in angles])
    radians = np.deg2rad([0.0 if angle is None else angle for angle in angles])
    matrix = np.cos(radians[:, None] - radians[None, :]) * np.outer(known, known)
    np.fill_diagonal(matrix, 1.0)
    return matrix


class CorrelationLoss(EmotionLoss):
    """Mean over rows of eᵀRe / labels, with e = p − y and R a label-correlation matrix.

    `eᵀRe = Σ_i e_i² + Σ_{i≠j} R_ij·e_i·e_j`: errors of one sign on correlated labels (a missed
    group) and errors of opposite sign on anti-correlated labels (a label taken for its opposite)
    cost more than two unrelated errors. R is shrunk toward the identity and positive
    semi-definite, so the minimum over p is 0, at p = y. R = I gives the Brier score.
    Moving all of p toward y always lowers it; a single label's gradient may point away from y while
    its related labels are still wrong, so the BCE belongs beside it.

    The term is our own choice; see `docs/method.md`.

    Args:
        statistics: label statistics of the training split.
        prior: R before shrinkage: `phi` (of the training labels), the label-free `identity` or
            `plutchik` (`plutchik_correlation`), or a `(labels, labels)` matrix.
        shrinkage: share of the identity in [0, 1].

    Raises:
        ValueError: an unknown prior, or a matrix that is not a correlation matrix of the labels.
    """

    name: ClassVar[str] = "correlation"

    def __init__(
        self,
        statistics: LabelStatistics,
        prior: str | Sequence[Sequence[float]] | np.ndarray = "phi",
        shrinkage: float = 0.1,
    ) -> None:
        super().__init__(statistics)
        matrix = shrink_correlation(_prior_matrix(prior, statistics), shrinkage)
        self.prior = prior if isinstance(prior, str) else np.asarray(prior).tolist()
        self.shrinkage = float(shrinkage)
        self.register_buffer(
            "correlation", torch.tensor(matrix, dtype=torch.float32), persistent=False
        )
        self.correlation: Tensor

    def components(
        self, logits: Tensor, labels: Tensor, embedding: Tensor | None
    ) -> dict[str, Tensor]:
        """`{"correlation": scalar}`."""
        error = torch.sigmoid(logits) - labels
        return {"correlation": mean_or_zero((error @ self.correlation.to(logits)) * error)}


def _prior_matrix(prior: Any, statistics: LabelStatistics) -> np.ndarray:
    width = statistics.num_labels
    if isinstance(prior, str):
        if prior == "phi":
            return statistics.correlation
        if prior == "identity":
            return np.eye(width)
        if prior == "plutchik":
            return plutchik_correlation(statistics.label_names)
        raise ValueError(
            f"Unknown correlation prior {prior!r}; known: {', '.join(CORRELATION_PRIORS)}, "
            "or a matrix."
        )
    matrix = np.asarray(prior, dtype=np.float64)
    if matrix.shape != (width, width):
        raise ValueError(
            f"The correlation prior must have shape ({width}, {width}), got {matrix.shape}."
        )
    if not np.all(np.isfinite(matrix)) or not np.allclose(matrix, matrix.T, atol=1e-6):
        raise ValueError("The correlation prior must be symmetric and without NaN.")
    if not np.allclose(np.diag(matrix), 1.0, atol=1e-6):
        raise ValueError("The diagonal of the correlation prior must be 1.")
    smallest = float(np.linalg.eigvalsh(matrix)[0])
    if smallest < -1e-6:
        raise ValueError(
            "The correlation prior must be positive semi-definite, or the loss would reward "
            f"errors; its smallest eigenvalue is {smallest:.4f}. Shrink it toward the identity."
        )
    return matrix
