"""The sigmoid and its inverse, in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np


def sigmoid(logits: Any) -> np.ndarray:
    """Probabilities of logits, `1 / (1 + exp(-logits))`, in float64 and without overflow."""
    values = np.asarray(logits, np.float64)
    small = np.exp(-np.abs(values))
    return np.where(values >= 0, 1.0, small) / (1.0 + small)


def logit(probabilities: Any, bound: float) -> np.ndarray:
    """Log-odds in float64 of probabilities, after clipping them to [bound, 1 - bound]."""
    inside = np.clip(np.asarray(probabilities, np.float64), bound, 1 - bound)
    return np.log(inside) - np.log1p(-inside)
