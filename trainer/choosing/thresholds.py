"""Decision thresholds chosen on out-of-fold probabilities.

A label is on where its probability is at least its threshold. One threshold for all labels is the
default; per-label ones are shrunk toward it by the number of positive rows and are kept only if
they win in a cross-validation, since thresholds fitted to rare labels do not carry over to new
rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ...data.label_statistics import check_binary_labels
from ..metrics.scores import check_scores, decide, jaccard_per_row, ratio
from .folds import stratified_folds

OBJECTIVES = ("jaccard", "micro_f1", "macro_f1", "jaccard+macro_f1")
CANDIDATES = ("global", "shrunk")
DEFAULT_OBJECTIVE = "jaccard+macro_f1"
THRESHOLD_GRID: np.ndarray = np.round(np.arange(0.05, 0.9501, 0.005), 3)
THRESHOLD_GRID.setflags(write=False)
SHRINKAGE_POSITIVES = 50.0


@dataclass(frozen=True, eq=False)
class ThresholdChoice:
    """Thresholds and how they were chosen.

    Attributes:
        thresholds: `(labels,)`, one per label.
        kind: `global` (all equal) or `shrunk` (per label, shrunk toward the global one).
        global_threshold: the best single threshold on all rows.
        objective: the score that was maximized.
        score: the objective of `thresholds` on the rows they were chosen on.
        out_of_fold: candidate to objective with thresholds chosen on the other folds; empty where
            no cross-validation was run.
    """

    thresholds: np.ndarray
    kind: str
    global_threshold: float
    objective: str
    score: float
    out_of_fold: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """The fields as lists and numbers, for JSON."""
        return {**self.__dict__, "thresholds": self.thresholds.tolist()}


class _Counts(NamedTuple):
    """Counts at every threshold of the grid, for some rows; they add up over folds.

    Attributes:
        rows: number of rows.
        jaccard: `(grid,)` sum of the rows' Jaccard.
        hits: `(grid, labels)` true positives.
        predicted: `(grid, labels)` predicted positives.
        positives: `(labels,)` positive rows.
    """

    rows: int
    jaccard: np.ndarray
    hits: np.ndarray
    predicted: np.ndarray
    positives: np.ndarray

    def minus(self, other: _Counts) -> _Counts:
        return _Counts(
            rows=self.rows - other.rows,
            jaccard=self.jaccard - other.jaccard,
            hits=self.hits - other.hits,
            predicted=self.predicted - other.predicted,
            positives=self.positives - other.positives,
        )

    def label_f1(self) -> np.ndarray:
        """F1 of each label at each threshold, `(grid, labels)`."""
        return ratio(2 * self.hits, self.predicted + self.positives)

    def objective(self, name: str) -> np.ndarray:
        """The objective with one threshold for all labels, `(grid,)`."""
        if name == "jaccard":
            return self.jaccard / self.rows
        if name == "micro_f1":
            total = self.predicted.sum(axis=1) + self.positives.sum()
            return ratio(2 * self.hits.sum(axis=1), total)
        if name == "macro_f1":
            return self.label_f1().mean(axis=1)
        return (self.jaccard / self.rows + self.label_f1().mean(axis=1)) / 2


def objective_score(labels: np.ndarray, decisions: np.ndarray, objective: str) -> float:
    """The objective of given decisions.

    Args:
        labels: `(rows, labels)` of 0/1.
        decisions: `(rows, labels)` of 0/1.
        objective: one of `OBJECTIVES`; `jaccard+macro_f1` is the mean of the two.

    Returns:
        The score in [0, 1].

    Raises:
        ValueError: unknown objective.
    """
    _check_objective(objective)
    if objective == "jaccard":
        return float(jaccard_per_row(labels, decisions).mean())
    hits, total = (labels & decisions).sum(axis=0), labels.sum(axis=0) + decisions.sum(axis=0)
    if objective == "micro_f1":
        return float(ratio(2 * hits.sum(), total.sum()))
    macro_f1 = float(ratio(2 * hits, total).mean())
    if objective == "macro_f1":
        return macro_f1
    return (float(jaccard_per_row(labels, decisions).mean()) + macro_f1) / 2


def best_global_threshold(
    probabilities: Any,
    labels: Any,
    objective: str = DEFAULT_OBJECTIVE,
    *,
    grid: np.ndarray = THRESHOLD_GRID,
) -> ThresholdChoice:
    """The single threshold that maximizes the objective, by an exact scan of a fixed grid.

    Among equally good thresholds the one nearest 0.5 is taken.

    Args:
        probabilities: `(rows, labels)` in [0, 1].
        labels: `(rows, labels)` of 0/1.
        objective: one of `OBJECTIVES`.
        grid: increasing thresholds to try; 0.05 to 0.95 in steps of 0.005 by default.

    Returns:
        A choice of kind `global`.

    Raises:
        ValueError: values or shapes that do not fit, or an unknown objective.
    """
    _check_objective(objective)
    scores, truth = _check(probabilities, labels)
    counts = _count(scores, truth, grid)
    threshold, score = _best_global(counts, objective, grid)
    return ThresholdChoice(
        thresholds=np.full(truth.shape[1], threshold),
        kind="global",
        global_threshold=threshold,
        objective=objective,
        score=score,
        out_of_fold={},
    )


def label_thresholds(
    probabilities: Any,
    labels: Any,
    global_threshold: float,
    *,
    shrinkage_positives: float = SHRINKAGE_POSITIVES,
    grid: np.ndarray = THRESHOLD_GRID,
) -> np.ndarray:
    """Each label's best F1 threshold, shrunk toward the global one.

    `t = g + n/(n + k)·(t_label − g)` with n positive rows of the label and k =
    `shrinkage_positives`; among equally good thresholds the one nearest g is taken. A label
    without positive rows keeps g.

    Args:
        probabilities: `(rows, labels)` in [0, 1].
        labels: `(rows, labels)` of 0/1.
        global_threshold: g.
        shrinkage_positives: k, the number of positive rows that moves a label half of the way.
        grid: increasing thresholds to try.

    Returns:
        `(labels,)` thresholds.

    Raises:
        ValueError: values or shapes that do not fit, or a negative k.
    """
    if not shrinkage_positives >= 0:
        raise ValueError(f"shrinkage_positives must be at least 0, got {shrinkage_positives}.")
    scores, truth = _check(probabilities, labels)
    counts = _count(scores, truth, grid)
    return _shrunk(counts, global_threshold, shrinkage_positives, grid)


def choose_thresholds(
    probabilities: Any,
    labels: Any,
    objective: str = DEFAULT_OBJECTIVE,
    *,
    folds: int = 5,
    seed: int = 0,
    candidates: Sequence[str] = CANDIDATES,
    shrinkage_positives: float = SHRINKAGE_POSITIVES,
    grid: np.ndarray = THRESHOLD_GRID,
) -> ThresholdChoice:
    """Choose between one global and shrunk per-label thresholds by cross-validation.

    The rows, whose probabilities must be out of fold already, are split again into stratified
    folds; each candidate is fitted on all folds but one and decides the rows of that one; the
    objective of all these decisions together is compared. Per-label thresholds are kept only if
    they are strictly better; the winner is refitted on all rows. With fewer rows than folds the
    global threshold is taken.

    Args:
        probabilities: `(rows, labels)` in [0, 1], out of fold.
        labels: `(rows, labels)` of 0/1.
        objective: one of `OBJECTIVES`.
        folds: number of inner folds, at least 2.
        seed: of the inner folds.
        candidates: some of `CANDIDATES`; `global` is always among them.
        shrinkage_positives: see `label_thresholds`.
        grid: increasing thresholds to try.

    Returns:
        The choice, with the out-of-fold objective of every candidate.

    Raises:
        ValueError: values or shapes that do not fit, an unknown objective or candidate.
    """
    _check_objective(objective)
    unknown = sorted(set(candidates) - set(CANDIDATES))
    if unknown:
        raise ValueError(
            f"Unknown threshold candidates {', '.join(unknown)}; known: {', '.join(CANDIDATES)}."
        )
    if not shrinkage_positives >= 0:
        raise ValueError(f"shrinkage_positives must be at least 0, got {shrinkage_positives}.")
    scores, truth = _check(probabilities, labels)
    rows = len(truth)

    held_out: dict[str, float] = {}
    total = _count(scores, truth, grid)
    if rows >= folds:
        fold_of_row = stratified_folds(truth, folds, seed)
        decisions = {name: np.zeros_like(truth) for name in CANDIDATES}
        for fold in range(folds):
            inside = fold_of_row == fold
            rest = total.minus(_count(scores[inside], truth[inside], grid))
            threshold, _ = _best_global(rest, objective, grid)
            shrunk = _shrunk(rest, threshold, shrinkage_positives, grid)
            decisions["global"][inside] = decide(scores[inside], threshold)
            decisions["shrunk"][inside] = decide(scores[inside], shrunk)
        held_out = {
            name: objective_score(truth, decisions[name], objective)
            for name in CANDIDATES
            if name == "global" or name in candidates
        }

    threshold, _ = _best_global(total, objective, grid)
    kind = "global"
    thresholds = np.full(truth.shape[1], threshold)
    if held_out.get("shrunk", 0.0) > held_out.get("global", 0.0):
        kind = "shrunk"
        thresholds = _shrunk(total, threshold, shrinkage_positives, grid)
    return ThresholdChoice(
        thresholds=thresholds,
        kind=kind,
        global_threshold=threshold,
        objective=objective,
        score=objective_score(truth, decide(scores, thresholds), objective),
        out_of_fold=held_out,
    )


def _check_objective(objective: str) -> None:
    if objective not in OBJECTIVES:
        raise ValueError(f"Unknown objective {objective!r}; known: {', '.join(OBJECTIVES)}.")


def _check(probabilities: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    scores = check_scores(probabilities, "probabilities")
    truth = check_binary_labels(labels)
    if scores.shape != truth.shape:
        raise ValueError(
            f"probabilities {scores.shape} and labels {truth.shape} must have the same shape."
        )
    return scores, truth


def _count(scores: np.ndarray, truth: np.ndarray, grid: np.ndarray) -> _Counts:
    """Counts at every threshold from one histogram: a score passes the first `reached` of them."""
    rows, width = truth.shape
    size = len(grid)
    reached = np.searchsorted(grid, scores, side="right")

    def passing(groups: np.ndarray, number: int, weights: np.ndarray | None) -> np.ndarray:
        """`(number, grid)` entries of each group that pass each threshold."""
        histogram = np.bincount(
            (groups * (size + 1) + reached).ravel(),
            weights=None if weights is None else weights.ravel(),
            minlength=number * (size + 1),
        ).reshape(number, size + 1)
        return np.cumsum(histogram[:, :0:-1], axis=1)[:, ::-1]

    row_of_entry = np.broadcast_to(np.arange(rows)[:, None], (rows, width))
    label_of_entry = np.broadcast_to(np.arange(width), (rows, width))
    intersection = passing(row_of_entry, rows, truth)
    union = passing(row_of_entry, rows, None) + truth.sum(axis=1)[:, None] - intersection
    return _Counts(
        rows=rows,
        jaccard=np.where(union == 0, 1.0, ratio(intersection, union)).sum(axis=0),
        hits=passing(label_of_entry, width, truth).T,
        predicted=passing(label_of_entry, width, None).T,
        positives=truth.sum(axis=0),
    )


def _best_global(counts: _Counts, objective: str, grid: np.ndarray) -> tuple[float, float]:
    values = counts.objective(objective)
    best = np.flatnonzero(values >= values.max() - 1e-12)
    place = best[np.argmin(np.abs(grid[best] - 0.5))]
    return float(grid[place]), float(values[place])


def _shrunk(
    counts: _Counts, global_threshold: float, shrinkage_positives: float, grid: np.ndarray
) -> np.ndarray:
    f1 = counts.label_f1()
    distance = np.abs(grid - global_threshold)[:, None]
    best = f1 >= f1.max(axis=0) - 1e-12
    own = grid[np.argmin(np.where(best, distance, np.inf), axis=0)]
    share = ratio(counts.positives, counts.positives + shrinkage_positives)
    return global_threshold + share * (own - global_threshold)
