"""From logits to labels, in numpy: the twin of `decisions_stacked_emotion`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import log, log1p
from typing import Any

import numpy as np

from ..checks_stacked_emotion import abstain_limit
from ..common.errors import UserError
from ..common.numerics import logit, sigmoid

RULES = ("threshold", "expected_jaccard")


def decide(
    logits: Any,
    thresholds: Sequence[float] | np.ndarray,
    rule: str = "threshold",
    scale: float = 1.0,
    has_words: np.ndarray | None = None,
    min_labels: int = 1,
) -> np.ndarray:
    """The labels given to texts.

    * "threshold": every label whose probability is at or above its threshold.
    * "expected_jaccard": the k most likely labels, for the k of the highest expected Jaccard. Each
      label counts as likely as not at its threshold, see `expected_jaccard`. The empty set has the
      probability that the true set is empty, if the labels are independent.

    Args:
        logits: (…, labels).
        thresholds: (labels,) probabilities.
        rule: one of `RULES`.
        scale: slope of the log-odds in "expected_jaccard".
        has_words: (…,) bool; a text without words gets no label. None if all have words.
        min_labels: the smallest k in "expected_jaccard", 1 or 0.

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
        odds = log_odds(logits, thresholds, scale)
        given = largest_expected_jaccard(odds)
        if min_labels == 0:
            none = (1 - sigmoid(logits)).prod(-1)
            given &= (none <= expected_jaccard(odds, given) * (1 + 1e-12))[..., None]
    return given if has_words is None else given & np.asarray(has_words, bool)[..., None]


def log_odds(
    logits: np.ndarray, thresholds: Sequence[float] | np.ndarray, scale: float = 1.0
) -> np.ndarray:
    """(…, labels) float64: `scale * logits`, moved so that it is 0 at the thresholds."""
    limits = np.clip(np.asarray(thresholds, np.float64), 1e-6, 1 - 1e-6).tolist()
    return scale * (logits - np.array([log(limit) - log1p(-limit) for limit in limits]))


def largest_expected_jaccard(odds: np.ndarray) -> np.ndarray:
    """The k most likely labels, for the k >= 1 that maximizes Σ_top p / (k + Σ_rest p).

    It is the expected intersection over the expected union, with the labels taken as independent.
    The optimum of expected F-measures has this form too (Lewis 1995; Waegeman et al. 2014).

    Args:
        odds: (…, labels) log-odds of p.

    Returns:
        (…, labels) bool, at least one per text.
    """
    order = np.argsort(-odds, axis=-1, kind="stable")
    sums = sigmoid(np.take_along_axis(odds, order, -1)).cumsum(-1)
    counts = np.arange(1, odds.shape[-1] + 1)
    expected = sums / (counts + sums[..., -1:] - sums)
    # the first of those that are equal but for rounding, which differs between libraries
    best = (expected >= expected.max(-1, keepdims=True) * (1 - 1e-12)).argmax(-1)
    given = np.zeros(odds.shape, bool)
    np.put_along_axis(given, order, np.arange(odds.shape[-1]) <= best[..., None], -1)
    return given


def expected_jaccard(odds: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Expected Jaccard of the labels given with the true set.

    It is taken as the expected intersection over the expected union; for no label, it is the
    probability of the empty set.

    Args:
        odds: (…, labels) log-odds of the labels.
        given: (…, labels) bool.

    Returns:
        (…,) in [0, 1].
    """
    chances = sigmoid(odds)
    inside, outside = (np.where(part, chances, 0.0).sum(-1) for part in (given, ~given))
    expected = inside / (given.sum(-1) + outside).clip(min=1e-300)
    return np.where(given.any(-1), expected, np.prod(1.0 - chances, axis=-1))


@dataclass(frozen=True)
class Decision:
    """How a model turns logits into labels.

    Attributes:
        labels: the labels in the order of the logits.
        thresholds: one probability per label.
        rule: one of `RULES`, see `decide`.
        scale: slope of the log-odds in "expected_jaccard".
        min_labels: the fewest labels of a text in "expected_jaccard", 1 or 0.
        abstain: the share of texts that get labels; None for all.
        abstain_limits: see `checks_stacked_emotion.abstain_limit`.

    Raises:
        ValueError: a value that does not fit, with the name of its field in `config.json`.
    """

    labels: list[str]
    thresholds: list[float]
    rule: str = "threshold"
    scale: float = 1.0
    min_labels: int = 1
    abstain: float | None = None
    abstain_limits: list[float] | None = None

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
        if self.min_labels not in (0, 1) or isinstance(self.min_labels, bool | float):
            raise ValueError(f"min_labels is {self.min_labels!r}; it must be 0 or 1.")
        _ = self.limit  # raises where it does not fit

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
        least = config.get("min_labels")
        return cls(
            labels,
            list(thresholds),
            "threshold" if rule is None else rule,
            1.0 if scale is None else scale,
            1 if least is None else least,
            config.get("abstain"),
            config.get("abstain_limits"),
        )

    def abstaining(self, coverage: float | None) -> Decision:
        """This decision with another `abstain`; None changes nothing.

        Raises:
            UserError: no share of texts, or the model has no limits.
        """
        if coverage is None:
            return self
        if self.abstain_limits is None and coverage != 1:
            raise UserError(
                "This model has no limits for abstaining (no `abstain_limits` in config.json). "
                "Training chooses them with cross-fitting and without stage joint. Predict without "
                "abstain, or train such a model."
            )
        try:
            return replace(self, abstain=coverage)
        except ValueError:
            raise UserError(
                f"abstain is {coverage!r}; it must be above 0 and at most 1, such as 0.9."
            ) from None

    @cached_property
    def limit(self) -> float | None:
        """The highest uncertainty of a text that gets labels; None where every text does."""
        return abstain_limit(self.abstain, self.abstain_limits)

    @property
    def may_abstain(self) -> bool:
        """Whether a text can get no label because the model is not sure."""
        return self.limit is not None

    def __call__(self, logits: Any, has_words: np.ndarray | None = None) -> np.ndarray:
        """The labels given for (…, labels) logits, as (…, labels) bool; see `decide`."""
        given = self._sets(logits, has_words)
        return given & ~self.abstains(logits)[..., None] if self.may_abstain else given

    def _sets(self, logits: Any, has_words: np.ndarray | None = None) -> np.ndarray:
        """What the call gives where no text is left out."""
        return decide(logits, self.thresholds, self.rule, self.scale, has_words, self.min_labels)

    def abstains(self, logits: Any) -> np.ndarray:
        """(…,) bool: the texts of (…, labels) logits that get no label because of `abstain`."""
        return self.uncertainty(logits) > (np.inf if self.limit is None else self.limit)

    def uncertainty(self, logits: Any) -> np.ndarray:
        """1 minus the `expected_jaccard` of the labels given, as if the model never abstained.

        Each label counts as likely as not at its threshold.

        Args:
            logits: (…, labels).

        Returns:
            (…,) in [0, 1].
        """
        scale = self.scale if self.rule == "expected_jaccard" else 1.0
        odds = log_odds(np.asarray(logits, np.float64), self.thresholds, scale)
        return 1.0 - expected_jaccard(odds, self._sets(logits))

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
        if self.may_abstain:
            given = given & ~self.abstains(logit(scores, 1e-9))[..., None]
        return given if has_words is None else given & np.asarray(has_words, bool)[..., None]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e30
