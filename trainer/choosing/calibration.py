"""Platt scaling per label, shrunk: logits to logits whose sigmoid is a frequency.

Platt (1999), "Probabilistic Outputs for Support Vector Machines"; Guo et al. (2017), "On
Calibration of Modern Neural Networks". The shrinkage is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize

from ...common.numerics import sigmoid
from .folds import stratified_folds

FOLDS = 5
SPREAD = (0.1, 0.2)
"""Standard deviations of the labels' scale and bias around the shared ones."""
LEAST_SCALE = 0.05


@dataclass(frozen=True, eq=False)
class Calibration:
    """Calibrated logits are `scale * logits + bias`, both (labels,)."""

    scale: np.ndarray
    bias: np.ndarray

    def __call__(self, logits: np.ndarray) -> np.ndarray:
        """Calibrated logits of (…, labels) logits, float64."""
        return self.scale * np.asarray(logits, np.float64) + self.bias

    def to_dict(self) -> dict[str, list[float]]:
        """The fields for JSON."""
        return {"scale": self.scale.tolist(), "bias": self.bias.tolist()}


def fit_calibration(logits: Any, labels: Any, per_label: bool = True) -> Calibration:
    """Platt scaling of every label, shrunk toward the scale and bias that fit all labels together.

    A label with few positive rows stays near the shared values, and many rows speak for themselves.
    Every scale is above 0, so the order of a label's texts never changes.

    Args:
        logits: (rows, labels), out of fold.
        labels: (rows, labels) of 0 and 1.
        per_label: False for the shared scale and bias alone.
    """
    scores, truth = np.asarray(logits, np.float64), np.asarray(labels, np.float64)
    shared = _platt(scores.ravel(), truth.ravel(), np.array([1.0, 0.0]), np.ones(2))
    if not per_label:
        return Calibration(*np.repeat(shared[:, None], scores.shape[1], axis=1))
    pairs = [_platt(*column, shared, SPREAD) for column in zip(scores.T, truth.T, strict=True)]
    return Calibration(*np.transpose(pairs))


def _platt(scores: np.ndarray, truth: np.ndarray, center: np.ndarray, spread: Any) -> np.ndarray:
    """The scale and bias of the least log loss of (rows,) logits, with a normal prior around them.

    The problem is convex and has one optimum, also where all rows agree or the classes are apart.

    Args:
        scores: (rows,) logits.
        truth: (rows,) of 0 and 1.
        center: (2,), the scale and bias that the result is shrunk toward.
        spread: (2,), the standard deviations of the prior.
    """
    spread = np.asarray(spread)

    def loss(apart: np.ndarray) -> tuple[float, np.ndarray]:
        scale, bias = center + spread * apart
        z = scale * scores + bias
        error = sigmoid(z) - truth
        slope = spread * [error @ scores, error.sum()] + apart
        return np.logaddexp(0, z).sum() - truth @ z + apart @ apart / 2, slope

    bounds = [((LEAST_SCALE - center[0]) / spread[0], None), (None, None)]
    found = minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B", bounds=bounds)
    return center + spread * found.x


def cross_calibrated(logits: np.ndarray, labels: np.ndarray, per_label: bool = True) -> np.ndarray:
    """(rows, labels) logits, each row calibrated on the folds that it is not in.

    With fewer rows than folds, on all rows.
    """
    if len(labels) < FOLDS:
        return fit_calibration(logits, labels, per_label)(logits)
    found, fold_of_row = np.zeros(logits.shape), stratified_folds(labels, FOLDS)
    for fold in range(FOLDS):
        inside = fold_of_row == fold
        found[inside] = fit_calibration(logits[~inside], labels[~inside], per_label)(logits[inside])
    return found
