"""From probabilities to labels, in numpy: the same answers as the model's own `decide`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Decision:
    """How a model turns probabilities into labels; read from its `config.json`.

    Attributes:
        labels: the labels in the order of the scores.
        thresholds: one probability a label.
        rule: "threshold" or "expected_jaccard", see `StackedEmotionConfig.decision`.
        scale: slope of the log-odds in "expected_jaccard".
    """

    labels: list[str]
    thresholds: list[float]
    rule: str = "threshold"
    scale: float = 1.0

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """The labels given for (texts, labels) probabilities, as (texts, labels) bool."""
        scores = np.asarray(scores, np.float64)
        if self.rule == "threshold":
            return scores >= np.asarray(self.thresholds)
        return by_expected_jaccard(scores, self.thresholds, self.scale)


def logit(probabilities: np.ndarray, bound: float) -> np.ndarray:
    """Log-odds of probabilities, which are first brought into [bound, 1 - bound]."""
    inside = np.clip(probabilities, bound, 1 - bound)
    return np.log(inside) - np.log1p(-inside)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-logits)), without overflow."""
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1, small) / (1 + small)


def by_expected_jaccard(
    scores: np.ndarray, thresholds: Sequence[float], scale: float = 1.0
) -> np.ndarray:
    """The k most likely labels, for the k >= 1 of the highest expected Jaccard.

    The numpy form of `decisions_stacked_emotion.decide_by_expected_jaccard`.

    Args:
        scores: (texts, labels) probabilities.
        thresholds: (labels,) probabilities at which a label is as likely as not.
        scale: slope of the log-odds.

    Returns:
        (texts, labels) bool, at least one label a text.
    """
    limits = logit(np.asarray(thresholds, np.float64), 1e-6)
    likely = sigmoid(scale * (logit(np.asarray(scores, np.float64), 1e-9) - limits))
    order = np.argsort(-likely, axis=-1, kind="stable")
    sums = np.take_along_axis(likely, order, -1).cumsum(-1)
    counts = np.arange(1, sums.shape[-1] + 1)
    best = (sums / (counts + sums[:, -1:] - sums)).argmax(-1)
    chosen = np.arange(sums.shape[-1]) <= best[:, None]
    given = np.zeros_like(chosen)
    np.put_along_axis(given, order, chosen, -1)
    return given
