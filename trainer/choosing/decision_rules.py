"""From probabilities to labels: thresholds, or the label set of the highest expected Jaccard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...common.numerics import logit, sigmoid
from ..metrics.scores import jaccard_per_row
from .calibration import cross_calibrated, fit_calibration
from .folds import stratified_folds
from .thresholds import Decision as Decision
from .thresholds import best_global_threshold, choose_thresholds, mean_scores

DECISIONS = ("global", "shrunk", "expected_jaccard")
TILTS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
SHIFTS = (-0.6, -0.4, -0.2, 0.0, 0.2)
FOLDS = 5
SCALE = 0.8
TEMPERATURE = 0.25
OBJECTIVE_WEIGHTS = {"jaccard": 1.0, "micro_f1": 1.0, "macro_f1": 0.5}


def tilted_thresholds(
    prevalence: np.ndarray, tilt: float, shift: float, scale: float
) -> np.ndarray:
    """Thresholds that are lower for rare labels, by their (labels,) prevalence in training.

    On the log-odds scale: tilt * (logit(prevalence) - its mean) - shift / scale. A tilt of 0 gives
    all labels the same threshold, a shift below 0 raises all; the scale is that of `Decision`.
    """
    odds = logit(prevalence, 1e-3)
    return sigmoid(tilt * (odds - odds.mean()) - shift / scale)


def decision_objective(labels: np.ndarray, decisions: np.ndarray) -> float:
    """Jaccard + micro-F1 + macro-F1 / 2 (`OBJECTIVE_WEIGHTS`): what a decision is chosen by."""
    jaccard, micro_f1, macro_f1 = mean_scores(labels, decisions)
    return jaccard + micro_f1 + macro_f1 / 2


def choose_decision(
    logits: np.ndarray,
    labels: np.ndarray,
    candidates: Sequence[str] = DECISIONS,
    objective: str = "jaccard+macro_f1",
) -> Decision:
    """Choose a decision on out-of-fold logits by cross-validation.

    Each candidate is fitted on all folds but one and decides the rows of that fold. The candidates
    are compared by `decision_objective` of all these decisions, and the winner is fitted on all
    rows. With fewer rows than folds, each candidate decides the rows it was fitted on.

    Args:
        logits: (rows, labels), out of fold.
        labels: (rows, labels) of 0 and 1.
        candidates: some of `DECISIONS`.
        objective: what the thresholds of `global` and `shrunk` maximize.

    Raises:
        ValueError: an unknown candidate.
    """
    return _chosen(logits, labels, candidates, objective)[0]


def choose_calibrated_decision(
    logits: np.ndarray,
    labels: np.ndarray,
    candidates: Sequence[str] = DECISIONS,
    objective: str = "jaccard+macro_f1",
    min_labels: int = 1,
) -> Decision:
    """Calibrate out-of-fold logits, and choose a decision on the calibrated ones.

    The decision is chosen on logits that were calibrated on other folds (`cross_calibrated`). If
    its cross-validated Jaccard is lower than that of the decision chosen without calibration, the
    latter stays: then all labels share one scale and bias, under which the rule can be rewritten so
    that every text keeps its labels. The arguments are those of `choose_decision`, and the fewest
    labels of a text in `expected_jaccard`.

    Returns:
        The decision with its `calibration`, for uncalibrated logits.
    """
    return cross_fitted_decision(logits, labels, candidates, objective, min_labels)[0]


def cross_fitted_decision(
    logits: np.ndarray, labels: np.ndarray, candidates: Sequence[str], objective: str,
    min_labels: int = 1,
) -> tuple[Decision, np.ndarray]:  # fmt: skip
    """What `choose_calibrated_decision` returns, and the labels of the same rows out of fold.

    Returns:
        The decision; and (rows, labels) of 0 and 1: the labels of each row by the calibration, if
        it won, and the winning rule, both fitted without the row's fold.
    """
    labels = np.asarray(labels, np.int64)
    calibrated, options = cross_calibrated(logits, labels), (candidates, objective, min_labels)
    plain, without = _chosen(logits, labels, *options)
    found, decided = _chosen(calibrated, labels, *options)
    if jaccard_per_row(labels, decided).mean() >= jaccard_per_row(labels, without).mean():
        return replace(found, calibration=fit_calibration(logits, labels)), decided
    shared = fit_calibration(logits, labels, per_label=False)
    same = replace(
        plain,
        thresholds=sigmoid(shared(logit(plain.thresholds, 1e-6))),
        scale=plain.scale / float(shared.scale[0]),
        calibration=shared,
    )
    return same, without


def _chosen(
    logits: np.ndarray, labels: np.ndarray, candidates: Sequence[str], objective: str,
    min_labels: int = 1,
) -> tuple[Decision, np.ndarray]:  # fmt: skip
    """The decision, and the (rows, labels) that its kind gives out of fold, as 0 and 1."""
    if unknown := sorted(set(candidates) - set(DECISIONS)):
        raise ValueError(f"Unknown decisions {', '.join(unknown)}; known: {', '.join(DECISIONS)}.")
    labels = np.asarray(labels, np.int64)
    folded = len(labels) >= FOLDS
    fold_of_row = stratified_folds(labels, FOLDS) if folded else np.zeros(len(labels), int)
    scores: dict[str, float] = {}
    by_kind = {kind: np.zeros_like(labels) for kind in candidates}
    for kind, decided in by_kind.items():
        for fold in np.unique(fold_of_row):
            inside = fold_of_row == fold
            rest = ~inside if folded else inside
            fitted = _fit(kind, logits[rest], labels[rest], objective, min_labels)
            decided[inside] = fitted.decide(logits[inside])
        scores[kind] = decision_objective(labels, decided)
    best = max(candidates, key=lambda kind: scores[kind])
    fitted = _fit(best, logits, labels, objective, min_labels)
    return replace(fitted, kind=best, score=scores[best], out_of_fold=scores), by_kind[best]


def _fit(
    kind: str, logits: np.ndarray, labels: np.ndarray, objective: str, min_labels: int
) -> Decision:
    """A candidate fitted to these rows.

    For `expected_jaccard`, tilt and shift are means over the grid, weighted by
    exp(objective * sqrt(rows) / TEMPERATURE): many pairs are as good as the best one within the
    noise of the rows, and their center is steadier than the one that happens to win.
    """
    if kind != "expected_jaccard":
        probabilities = sigmoid(logits)
        if kind == "shrunk":
            return choose_thresholds(probabilities, labels, objective)
        threshold = best_global_threshold(probabilities, labels, objective)
        return Decision(kind, np.full(labels.shape[1], threshold))
    prevalence = labels.mean(0)
    pairs = np.array([(tilt, shift) for tilt in TILTS for shift in SHIFTS])
    options = [_tilted(prevalence, min_labels, *pair) for pair in pairs]
    scores = np.array([decision_objective(labels, option.decide(logits)) for option in options])
    weights = np.exp((scores - scores.max()) * np.sqrt(len(labels)) / TEMPERATURE)
    return _tilted(prevalence, min_labels, *(weights @ pairs / weights.sum()))


def _tilted(prevalence: np.ndarray, min_labels: int, tilt: float, shift: float) -> Decision:
    thresholds = tilted_thresholds(prevalence, tilt, shift, SCALE)
    return Decision("expected_jaccard", thresholds, SCALE, min_labels=min_labels)
