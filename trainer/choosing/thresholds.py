"""Decision thresholds chosen on out-of-fold probabilities.

A label is given where its probability is at least its threshold. The default is one threshold for
all labels. Per-label thresholds are shrunk toward it by the number of positive rows, and are kept
only if they win a cross-validation: thresholds fitted to rare labels do not carry over to new rows.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from types import NoneType
from typing import Any, NamedTuple

import numpy as np

from ...common.finished import NUMBER
from ...data.label_statistics import check_binary_labels
from ...inference.decisions import decide
from ..metrics.scores import check_scores, jaccard_per_row, ratio
from .calibration import Calibration
from .folds import stratified_folds

OBJECTIVES = ("jaccard", "micro_f1", "macro_f1", "jaccard+macro_f1")
DEFAULT_OBJECTIVE = "jaccard+macro_f1"
THRESHOLD_GRID: np.ndarray = np.round(np.arange(0.05, 0.9501, 0.005), 3)
THRESHOLD_GRID.setflags(write=False)
SHRINKAGE_POSITIVES = 50.0
DECISION_FORM = {
    "kind": str, "thresholds": [NUMBER], "scale": NUMBER, "score": (*NUMBER, NoneType),
    "out_of_fold": (dict, NoneType),
}  # fmt: skip
"""What `Decision.to_dict` gives, see `finished.Form`."""


@dataclass(frozen=True, eq=False)
class Decision:
    """How a system gives labels, and how that was chosen.

    Attributes:
        kind: `global` (one threshold), `shrunk` (per label, shrunk toward the global one) or
            `expected_jaccard`; `teacher_rates` for a distilled student.
        thresholds: (labels,) probabilities. In `expected_jaccard`, a label counts as likely as not
            at its threshold.
        scale: slope of the log-odds in `expected_jaccard`.
        score: the objective that the choice was made by (NaN if there was nothing to choose).
        out_of_fold: objective of each candidate, fitted on the other folds; None or empty without
            a cross-validation.
        calibration: of the logits, before the labels are decided; None for logits as they are.
        min_labels: the fewest labels of a text in `expected_jaccard`, 1 or 0.
    """

    kind: str
    thresholds: np.ndarray
    scale: float = 1.0
    score: float = float("nan")
    out_of_fold: dict[str, float] | None = None
    calibration: Calibration | None = None
    min_labels: int = 1

    def calibrated(self, logits: np.ndarray) -> np.ndarray:
        """(…, labels) logits as the finished model gives them."""
        return logits if self.calibration is None else self.calibration(logits)

    def decide(self, logits: np.ndarray) -> np.ndarray:
        """Labels of (…, labels) uncalibrated logits, as 0 and 1."""
        rule = "expected_jaccard" if self.kind == "expected_jaccard" else "threshold"
        calibrated, least = self.calibrated(logits), self.min_labels
        given = decide(calibrated, self.thresholds, rule, self.scale, min_labels=least)
        return given.astype(np.int64)

    def to_dict(self) -> dict[str, Any]:
        """The fields for JSON, which knows no NaN: a missing score is null."""
        score = None if np.isnan(self.score) else self.score
        return asdict(self) | {
            "thresholds": self.thresholds.tolist(),
            "score": score,
            "calibration": self.calibration and self.calibration.to_dict(),
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Decision:
        """The decision that `to_dict` gave."""
        score = float("nan") if record["score"] is None else record["score"]
        fitted = record.get("calibration")
        return cls(
            record["kind"],
            np.array(record["thresholds"]),
            record["scale"],
            score,
            record["out_of_fold"],
            Calibration(*map(np.array, (fitted["scale"], fitted["bias"]))) if fitted else None,
            record.get("min_labels", 1),
        )


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
        pairs: Any = zip(self, other, strict=True)
        return _Counts(*(one - two for one, two in pairs))

    def label_f1(self) -> np.ndarray:
        """F1 of each label at each threshold, `(grid, labels)`."""
        return ratio(2 * self.hits, self.predicted + self.positives)

    def objective(self, name: str) -> np.ndarray:
        """The objective with one threshold for all labels, `(grid,)`."""
        total = self.predicted.sum(axis=1) + self.positives.sum()
        micro_f1 = ratio(2 * self.hits.sum(axis=1), total)
        return _objective(name, self.jaccard / self.rows, micro_f1, self.label_f1().mean(axis=1))


def mean_scores(labels: np.ndarray, decisions: np.ndarray) -> tuple[float, float, float]:
    """Mean per-row Jaccard, micro-F1 and macro-F1 of (rows, labels) decisions of 0 and 1."""
    hits, total = (labels & decisions).sum(axis=0), labels.sum(axis=0) + decisions.sum(axis=0)
    micro_f1, macro_f1 = ratio(2 * hits.sum(), total.sum()), ratio(2 * hits, total).mean()
    return float(jaccard_per_row(labels, decisions).mean()), float(micro_f1), float(macro_f1)


def objective_score(labels: np.ndarray, decisions: np.ndarray, objective: str) -> float:
    """The objective, one of `OBJECTIVES`, of (rows, labels) decisions of 0 and 1, in [0, 1].

    `jaccard+macro_f1` is the mean of the two.

    Raises:
        ValueError: unknown objective.
    """
    return _objective(objective, *mean_scores(labels, decisions))


def best_global_threshold(
    probabilities: Any, labels: Any, objective: str = DEFAULT_OBJECTIVE
) -> float:
    """The single threshold that maximizes the objective, by an exact scan of `THRESHOLD_GRID`.

    Among equally good thresholds, the one nearest 0.5 wins. Probabilities in [0, 1] and labels of 0
    and 1 are (rows, labels).

    Raises:
        ValueError: values or shapes that do not fit, or an unknown objective.
    """
    return _best_global(_count(*_check(probabilities, labels)), objective)


def choose_thresholds(
    probabilities: Any,
    labels: Any,
    objective: str = DEFAULT_OBJECTIVE,
    *,
    folds: int = 5,
    seed: int = 0,
) -> Decision:
    """Choose between one global and shrunk per-label thresholds by cross-validation.

    The probabilities must be out of fold already. The rows are split again into stratified folds;
    each candidate is fitted on all folds but one and decides the rows of that fold; the objective
    of all these decisions together is compared. Per-label thresholds are kept only if they are
    strictly better. The winner is refitted on all rows. With fewer rows than folds, the global
    threshold is used.

    A shrunk threshold is `g + n/(n + k)·(t − g)`: g is the global threshold, t the label's own best
    threshold for F1 (the one nearest g among equals), n its number of positive rows and k =
    `SHRINKAGE_POSITIVES`. A label without positive rows keeps g.

    Args:
        probabilities: `(rows, labels)` in [0, 1], out of fold.
        labels: `(rows, labels)` of 0/1.
        objective: one of `OBJECTIVES`.
        folds: number of inner folds, at least 2.
        seed: of the inner folds.

    Returns:
        A decision of kind `global` or `shrunk`; its score is the objective on the given rows.

    Raises:
        ValueError: values or shapes that do not fit, or an unknown objective.
    """
    scores, truth = _check(probabilities, labels)
    total = _count(scores, truth)
    threshold = _best_global(total, objective)
    kind, thresholds = "global", np.full(truth.shape[1], threshold)
    held_out: dict[str, float] = {}
    if len(truth) >= folds:
        fold_of_row = stratified_folds(truth, folds, seed)
        decided = {name: np.zeros_like(truth) for name in ("global", "shrunk")}
        for fold in range(folds):
            inside = fold_of_row == fold
            rest = total.minus(_count(scores[inside], truth[inside]))
            limit = _best_global(rest, objective)
            decided["global"][inside] = scores[inside] >= limit
            decided["shrunk"][inside] = scores[inside] >= _shrunk(rest, limit)
        held_out = {
            name: objective_score(truth, given, objective) for name, given in decided.items()
        }
        if held_out["shrunk"] > held_out["global"]:
            kind, thresholds = "shrunk", _shrunk(total, threshold)
    score = objective_score(truth, (scores >= thresholds).astype(np.int64), objective)
    return Decision(kind, thresholds, score=score, out_of_fold=held_out)


def _objective(name: str, jaccard: Any, micro_f1: Any, macro_f1: Any) -> Any:
    both = (jaccard + macro_f1) / 2
    values = dict(zip(OBJECTIVES, (jaccard, micro_f1, macro_f1, both), strict=True))
    if name not in values:
        raise ValueError(f"Unknown objective {name!r}; known: {', '.join(OBJECTIVES)}.")
    return values[name]


def _check(probabilities: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    scores = check_scores(probabilities, "probabilities")
    truth = check_binary_labels(labels)
    if scores.shape != truth.shape:
        raise ValueError(
            f"probabilities {scores.shape} and labels {truth.shape} must have the same shape."
        )
    return scores, truth


def _count(scores: np.ndarray, truth: np.ndarray) -> _Counts:
    """Counts at every threshold from one histogram: a score passes the first `reached` of them."""
    rows, width = truth.shape
    size = len(THRESHOLD_GRID)
    reached = np.searchsorted(THRESHOLD_GRID, scores, side="right")

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


def _best_global(counts: _Counts, objective: str) -> float:
    values = counts.objective(objective)
    best = THRESHOLD_GRID[values >= values.max() - 1e-12]
    return float(best[np.argmin(np.abs(best - 0.5))])


def _shrunk(counts: _Counts, global_threshold: float) -> np.ndarray:
    f1 = counts.label_f1()
    distance = np.abs(THRESHOLD_GRID - global_threshold)[:, None]
    best = f1 >= f1.max(axis=0) - 1e-12
    own = THRESHOLD_GRID[np.argmin(np.where(best, distance, np.inf), axis=0)]
    share = ratio(counts.positives, counts.positives + SHRINKAGE_POSITIVES)
    return global_threshold + share * (own - global_threshold)
