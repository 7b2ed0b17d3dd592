"""From probabilities to labels: thresholds, or the label set of the highest expected Jaccard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ...common.numerics import logit, sigmoid
from ..metrics.scores import jaccard_per_row, ratio
from .folds import stratified_folds
from .thresholds import choose_thresholds

DECISIONS = ("global", "shrunk", "expected_jaccard")
TILTS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
SHIFTS = (-0.6, -0.4, -0.2, 0.0, 0.2)
SCALE = 0.8
TEMPERATURE = 0.25
OBJECTIVE_WEIGHTS = {"jaccard": 1.0, "micro_f1": 1.0, "macro_f1": 0.5}


@dataclass(frozen=True, eq=False)
class Decision:
    """How labels are given, and how that was chosen.

    Attributes:
        kind: `global` or `shrunk` thresholds, or `expected_jaccard`.
        thresholds: (labels,) probabilities; in `expected_jaccard` those at which a label counts as
            likely as not.
        scale: slope of the log-odds in `expected_jaccard`.
        score: the objective of this choice out of fold (NaN where there was nothing to choose).
        out_of_fold: candidate to objective.
    """

    kind: str
    thresholds: np.ndarray
    scale: float = 1.0
    score: float = float("nan")
    out_of_fold: dict[str, float] | None = None

    def decide(self, logits: np.ndarray) -> np.ndarray:
        """Labels of (…, labels) logits, as 0 and 1."""
        logits = np.asarray(logits, np.float64)
        if self.kind != "expected_jaccard":
            return (sigmoid(logits) >= self.thresholds).astype(np.int64)
        shifted = self.scale * (logits - logit(self.thresholds, 1e-6))
        return expected_jaccard_labels(sigmoid(shifted))

    def to_dict(self) -> dict[str, Any]:
        """The fields as lists and numbers, for JSON."""
        return asdict(self) | {"thresholds": self.thresholds.tolist()}


def expected_jaccard_labels(probabilities: np.ndarray) -> np.ndarray:
    """The label set with about the highest expected Jaccard with the true one.

    Of the k most likely labels, k >= 1, the k that maximizes Σ_top p / (k + Σ_rest p): the expected
    intersection over the expected union, the labels taken as independent. (The optimum of expected
    F-measures is of this form too: Lewis 1995; Waegeman et al. 2014.) At least one label is given.

    Args:
        probabilities: (…, labels).

    Returns:
        (…, labels) int64 of 0 and 1.
    """
    order = np.argsort(-probabilities, axis=-1, kind="stable")
    ranked = np.take_along_axis(probabilities, order, -1).cumsum(-1)
    counts = np.arange(1, probabilities.shape[-1] + 1)
    best = (ranked / (counts + ranked[..., -1:] - ranked)).argmax(-1)
    chosen = (np.arange(probabilities.shape[-1]) <= best[..., None]).astype(np.int64)
    labels = np.zeros(probabilities.shape, np.int64)
    np.put_along_axis(labels, order, chosen, -1)
    return labels


def tilted_thresholds(
    prevalence: np.ndarray, tilt: float, shift: float, scale: float
) -> np.ndarray:
    """Thresholds that are lower for rare labels.

    On the log-odds scale: tilt * (logit(prevalence) - its mean) - shift / scale.

    Args:
        prevalence: (labels,) of the training split.
        tilt: 0 for the same threshold for all labels.
        shift: below 0 raises all thresholds.
        scale: see `Decision`.
    """
    odds = logit(prevalence, 1e-3)
    return sigmoid(tilt * (odds - odds.mean()) - shift / scale)


def decision_objective(labels: np.ndarray, decisions: np.ndarray) -> float:
    """Jaccard + micro-F1 + macro-F1 / 2: what a decision is chosen by.

    `OBJECTIVE_WEIGHTS` are its weights.
    """
    hits = (labels & decisions).sum(0)
    total = labels.sum(0) + decisions.sum(0)
    micro = float(ratio(2 * hits.sum(), total.sum()))
    macro = float(ratio(2 * hits, total).mean())
    return float(jaccard_per_row(labels, decisions).mean()) + micro + macro / 2


def choose_decision(
    logits: np.ndarray,
    labels: np.ndarray,
    candidates: Sequence[str] = DECISIONS,
    objective: str = "jaccard+macro_f1",
    folds: int = 5,
    seed: int = 0,
) -> Decision:
    """Choose a decision on out-of-fold logits, the candidates compared by cross-validation.

    Every candidate is fitted on all folds but one and decides the rows of that one; the sum of
    Jaccard, micro-F1 and half of macro-F1 of all these decisions is compared, and the winner fitted
    on all rows.

    Args:
        logits: (rows, labels), out of fold.
        labels: (rows, labels) of 0 and 1.
        candidates: some of `DECISIONS`.
        objective: what the thresholds of `global` and `shrunk` maximize.
        folds: of the cross-validation.
        seed: of the folds.

    Raises:
        ValueError: an unknown candidate.
    """
    if unknown := sorted(set(candidates) - set(DECISIONS)):
        raise ValueError(f"Unknown decisions {', '.join(unknown)}; known: {', '.join(DECISIONS)}.")
    labels = np.asarray(labels, np.int64)
    fold_of_row = stratified_folds(labels, folds, seed) if len(labels) >= folds else None
    scores: dict[str, float] = {}
    for kind in candidates:
        if fold_of_row is None:
            scores[kind] = decision_objective(
                labels, _fit(kind, logits, labels, objective).decide(logits)
            )
            continue
        decided = np.zeros_like(labels)
        for fold in range(folds):
            inside = fold_of_row == fold
            fitted = _fit(kind, logits[~inside], labels[~inside], objective)
            decided[inside] = fitted.decide(logits[inside])
        scores[kind] = decision_objective(labels, decided)
    best = max(candidates, key=lambda kind: scores[kind])
    fitted = _fit(best, logits, labels, objective)
    return Decision(best, fitted.thresholds, fitted.scale, scores[best], scores)


def _fit(kind: str, logits: np.ndarray, labels: np.ndarray, objective: str) -> Decision:
    """A candidate with its numbers.

    For `expected_jaccard`, tilt and shift are means over the grid, weighted by
    exp(objective * sqrt(rows) / TEMPERATURE): many pairs are as good as the best within the noise
    of the rows, and their center is steadier than the best one.
    """
    if kind != "expected_jaccard":
        allowed = ["global"] if kind == "global" else ["global", "shrunk"]
        choice = choose_thresholds(sigmoid(logits), labels, objective, candidates=allowed)
        return Decision(kind, choice.thresholds)
    prevalence = labels.mean(0)
    pairs = np.array([(tilt, shift) for tilt in TILTS for shift in SHIFTS])
    options = [_tilted(prevalence, *pair) for pair in pairs]
    scores = np.array([decision_objective(labels, option.decide(logits)) for option in options])
    weights = np.exp((scores - scores.max()) * np.sqrt(len(labels)) / TEMPERATURE)
    return _tilted(prevalence, *(weights @ pairs / weights.sum()))


def _tilted(prevalence: np.ndarray, tilt: float, shift: float) -> Decision:
    return Decision("expected_jaccard", tilted_thresholds(prevalence, tilt, shift, SCALE), SCALE)
