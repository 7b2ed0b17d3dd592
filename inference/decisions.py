"""From probabilities to labels, in numpy: the same answers as the model's own `decide`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..common.numerics import logit, sigmoid


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
    return decide(logit(scores, 1e-9), thresholds, "expected_jaccard", scale)


def decide(
    logits: Any,
    thresholds: Sequence[float] | np.ndarray,
    rule: str = "threshold",
    scale: float = 1.0,
    has_words: np.ndarray | None = None,
) -> np.ndarray:
    """The labels given to texts.

    * "threshold": every label whose probability is at or above its threshold.
    * "expected_jaccard": the k most likely labels, for the k >= 1 of the highest expected
      Jaccard: the expected intersection with the true set over the expected union. Each label
      counts as likely as not at its threshold.

    Args:
        logits: (…, labels).
        thresholds: (labels,) probabilities.
        rule: one of `RULES`.
        scale: slope of the log-odds in "expected_jaccard".
        has_words: (…,) bool; a text without words gets no label. None if all have words.

    Returns:
        (…, labels) bool.
    """
    logits, limits = np.asarray(logits, np.float64), np.asarray(thresholds, np.float64)
    if rule == "threshold":
        given = sigmoid(logits) >= limits
    else:
        given = largest_expected_jaccard(sigmoid(scale * (logits - logit(limits, 1e-6))))
    return given if has_words is None else given & np.asarray(has_words, bool)[..., None]


def largest_expected_jaccard(likely: np.ndarray) -> np.ndarray:
    """The k most likely labels, for the k >= 1 that maximizes Σ_top p / (k + Σ_rest p).

    It is the expected intersection over the expected union, with the labels taken as independent.
    The optimum of expected F-measures has this form too (Lewis 1995; Waegeman et al. 2014).

    Args:
        likely: (…, labels) probabilities.

    Returns:
        (…, labels) bool, at least one per text.
    """
    order = np.argsort(-likely, axis=-1, kind="stable")
    sums = np.take_along_axis(likely, order, -1).cumsum(-1)
    counts = np.arange(1, likely.shape[-1] + 1)
    best = (sums / (counts + sums[..., -1:] - sums)).argmax(-1)
    given = np.zeros(likely.shape, bool)
    np.put_along_axis(given, order, np.arange(likely.shape[-1]) <= best[..., None], -1)
    return given
