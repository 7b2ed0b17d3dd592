"""From logits to labels, in numpy: the twin of `decisions_stacked_emotion`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log, log1p
from typing import Any

import numpy as np

from ..common.numerics import logit, sigmoid

RULES = ("threshold", "expected_jaccard")


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

    Example:
        >>> decide([[2.0, -1.0, 0.1]], [0.5, 0.5, 0.7]).tolist()
        [[True, False, False]]
        >>> decide([[-1.0, -3.0, -4.0]], [0.5] * 3, "expected_jaccard").tolist()
        [[True, False, False]]
    """
    logits = np.asarray(logits, np.float64)
    if rule == "threshold":
        given = sigmoid(logits) >= np.asarray(thresholds, np.float64)
    else:
        limits = np.clip(np.asarray(thresholds, np.float64), 1e-6, 1 - 1e-6).tolist()
        odds = [log(limit) - log1p(-limit) for limit in limits]
        given = largest_expected_jaccard(scale * (logits - np.array(odds)))
    return given if has_words is None else given & np.asarray(has_words, bool)[..., None]


def largest_expected_jaccard(log_odds: np.ndarray) -> np.ndarray:
    """The k most likely labels, for the k >= 1 that maximizes Σ_top p / (k + Σ_rest p).

    It is the expected intersection over the expected union, with the labels taken as independent.
    The optimum of expected F-measures has this form too (Lewis 1995; Waegeman et al. 2014).

    Args:
        log_odds: (…, labels) log-odds of p.

    Returns:
        (…, labels) bool, at least one per text.
    """
    order = np.argsort(-log_odds, axis=-1, kind="stable")
    sums = sigmoid(np.take_along_axis(log_odds, order, -1)).cumsum(-1)
    counts = np.arange(1, log_odds.shape[-1] + 1)
    expected = sums / (counts + sums[..., -1:] - sums)
    # the first of those that are equal but for rounding, which differs between libraries
    best = (expected >= expected.max(-1, keepdims=True) * (1 - 1e-12)).argmax(-1)
    given = np.zeros(log_odds.shape, bool)
    np.put_along_axis(given, order, np.arange(log_odds.shape[-1]) <= best[..., None], -1)
    return given


@dataclass(frozen=True)
class Decision:
    """How a model turns logits into labels.

    Attributes:
        labels: the labels in the order of the logits.
        thresholds: one probability per label.
        rule: one of `RULES`, see `decide`.
        scale: slope of the log-odds in "expected_jaccard".

    Raises:
        ValueError: a value that does not fit, with the name of its field in `config.json`.
    """

    labels: list[str]
    thresholds: list[float]
    rule: str = "threshold"
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not self.labels:
            raise ValueError("id2label has no label.")
        if len(self.thresholds) != len(self.labels):
            raise ValueError(
                f"thresholds has {len(self.thresholds)} values for {len(self.labels)} labels."
            )
        for label, value in zip(self.labels, self.thresholds, strict=True):
            if not (_is_number(value) and 0 <= value <= 1):
                raise ValueError(f"thresholds[{label!r}] is {value!r}; it must be in [0, 1].")
        if self.rule not in RULES:
            raise ValueError(f"decision is {self.rule!r}; it must be one of {RULES}.")
        if not (_is_number(self.scale) and self.scale > 0):
            raise ValueError(f"decision_scale is {self.scale!r}; it must be above 0.")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Decision:
        """Read the fields of a model's `config.json`.

        Raises:
            ValueError: a field that is missing or does not fit, with its name.
        """
        names = config.get("id2label", {0: "LABEL_0", 1: "LABEL_1"})  # transformers' default
        if not isinstance(names, Mapping) or sorted(map(str, names)) != sorted(
            map(str, range(len(names)))
        ):
            raise ValueError(f"id2label must map 0, 1, … to the labels, not be {names!r:.100}.")
        by_index = {int(index): str(label) for index, label in names.items()}
        labels = [by_index[index] for index in range(len(by_index))]
        thresholds = config.get("thresholds")
        if thresholds is None:
            thresholds = [0.5] * len(labels)
        if not isinstance(thresholds, Sequence) or isinstance(thresholds, str):
            raise ValueError(f"thresholds must be a list of numbers, not {thresholds!r:.100}.")
        rule, scale = config.get("decision"), config.get("decision_scale")
        return cls(
            labels,
            list(thresholds),
            "threshold" if rule is None else rule,
            1.0 if scale is None else scale,
        )

    def __call__(self, logits: Any, has_words: np.ndarray | None = None) -> np.ndarray:
        """The labels given for (…, labels) logits, as (…, labels) bool; see `decide`."""
        return decide(logits, self.thresholds, self.rule, self.scale, has_words)

    def strengths(self, scores: Any) -> np.ndarray:
        """The decision's own score of (…, labels) probabilities, in [0, 1]: what labels rank by.

        It is the sigmoid of `scale * (logit(probability) - logit(threshold))`. By "threshold", a
        label is given from 0.5 on; by "expected_jaccard", where the text's own cut is.
        """
        scale = 1.0 if self.rule == "threshold" else self.scale
        return sigmoid(scale * (logit(scores, 1e-9) - logit(self.thresholds, 1e-6)))

    def of_probabilities(self, scores: Any, has_words: np.ndarray | None = None) -> np.ndarray:
        """As the call, for probabilities; a score equal to its threshold counts as given."""
        scores = np.asarray(scores, np.float64)
        if self.rule != "threshold":
            return self(logit(scores, 1e-9), has_words)
        given = scores >= np.asarray(self.thresholds)
        return given if has_words is None else given & np.asarray(has_words, bool)[..., None]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e30
