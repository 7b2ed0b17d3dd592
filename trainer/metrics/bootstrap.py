"""Paired bootstrap of the difference between two prediction sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .scores import check_binary, check_scores, jaccard_per_row, ratio

BOOTSTRAP_METRICS = ("jaccard", "micro_f1", "macro_f1", "macro_ap")
_CHUNK = 250


@dataclass(frozen=True)
class BootstrapResult:
    """Paired bootstrap of `first − second`.

    Attributes:
        metric: the score compared.
        first: score of the first prediction set on the rows as they are, mean over seeds.
        second: score of the second.
        difference: `first − second`.
        mean_difference: mean of the difference over the resamples.
        low: lower end of the percentile interval.
        high: upper end.
        p_value: two-sided, 2·min(share of differences ≤ 0, share ≥ 0) with one case added to each
            count, at most 1.
        confidence: of the interval, 0.95 by default.
        rows: number of rows.
        seeds: number of seeds.
        resamples: number of resamples.
    """

    metric: str
    first: float
    second: float
    difference: float
    mean_difference: float
    low: float
    high: float
    p_value: float
    confidence: float
    rows: int
    seeds: int
    resamples: int

    def to_dict(self) -> dict[str, Any]:
        """The fields, for JSON."""
        return asdict(self)


def paired_bootstrap(
    references: Any,
    first: Any,
    second: Any,
    metric: str = "jaccard",
    *,
    resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
    groups: int | None = None,
) -> BootstrapResult:
    """Resample the rows with replacement, the same rows for both prediction sets.

    Efron and Tibshirani (1993), percentile interval; paired as in Koehn (2004). Given several
    seeds, each resample also draws the seeds with replacement (the same ones for both sets) and
    takes the mean of their scores, so that the interval covers both sources of chance.

    Args:
        references: `(rows, labels)` of 0/1.
        first: `(rows, labels)`, or `(seeds, rows, labels)`: 0/1 decisions, or probabilities for
            `macro_ap`. Pass some columns alone to compare some labels alone.
        second: the same for the other system, same shape; seed i is paired with seed i.
        metric: one of `BOOTSTRAP_METRICS`, defined as in `emotion_scores`.
        resamples: number of resamples.
        confidence: of the percentile interval, in (0, 1).
        seed: of the random generator; equal seeds draw equal rows for every metric.
        groups: draw whole groups of seeds instead, so many of equal size that follow one another:
            seeds of one group share encoders, which vary too.

    Returns:
        The difference, its interval and p-value.

    Raises:
        ValueError: unknown metric, shapes or values that do not fit.
    """
    if metric not in BOOTSTRAP_METRICS:
        raise ValueError(f"Unknown metric {metric!r}; known: {', '.join(BOOTSTRAP_METRICS)}.")
    if resamples < 1 or not 0.0 < confidence < 1.0:
        raise ValueError("resamples must be at least 1 and confidence must lie in (0, 1).")
    truth = check_binary(references, "references")
    named = {"first": first, "second": second}
    runs = [_check_runs(values, truth, metric, what) for what, values in named.items()]
    seeds, rows = len(runs[0]), len(truth)
    if len(runs[1]) != seeds:
        raise ValueError(
            f"first has {seeds} seeds and second {len(runs[1])}; pair them one to one."
        )

    scorers = [[_scorer(truth, run, metric) for run in system] for system in runs]
    observed = [
        float(np.mean([scorer(np.ones((1, rows), dtype=np.float32))[0] for scorer in system]))
        for system in scorers
    ]
    row_generator, seed_generator = (
        np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2)
    )
    differences = np.empty(resamples)
    for start in range(0, resamples, _CHUNK):
        size = min(_CHUNK, resamples - start)
        counts = _draw_counts(row_generator, size, rows)
        per_seed = np.stack(
            [one(counts) - other(counts) for one, other in zip(*scorers, strict=True)]
        )
        drawn = _draw_counts(seed_generator, size, groups or seeds)
        share = np.repeat(drawn, seeds // drawn.shape[1], axis=1) / seeds
        differences[start : start + size] = (per_seed.T * share).sum(axis=1)

    tail = (1.0 - confidence) / 2
    low, high = np.quantile(differences, [tail, 1.0 - tail])
    extreme = min((differences <= 0).sum(), (differences >= 0).sum())
    return BootstrapResult(
        metric=metric,
        first=observed[0],
        second=observed[1],
        difference=observed[0] - observed[1],
        mean_difference=float(differences.mean()),
        low=float(low),
        high=float(high),
        p_value=float(min(1.0, 2 * (extreme + 1) / (resamples + 1))),
        confidence=confidence,
        rows=rows,
        seeds=seeds,
        resamples=resamples,
    )


def difference_with_error(
    references: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    weights: Mapping[str, float],
    resamples: int = 500,
) -> tuple[float, float]:
    """Difference of a weighted sum of metrics between two decisions, and its standard error.

    Args:
        references: `(rows, labels)` of 0/1, as are `first` and `second`.
        first: one decision.
        second: the other.
        weights: weight of each of `BOOTSTRAP_METRICS`; `macro_ap` would need scores.
        resamples: of the rows, paired, for the standard error.

    Returns:
        `first - second` on the rows as they are, and the standard deviation over the resamples.
    """
    generator = np.random.default_rng(0)
    rows = len(references)
    counts = np.concatenate(
        [np.ones((1, rows), np.float32), _draw_counts(generator, resamples, rows)]
    )
    differences = np.zeros(len(counts))
    for metric, weight in weights.items():
        for sign, decisions in ((1.0, first), (-1.0, second)):
            differences += sign * weight * _scorer(references, decisions, metric)(counts)
    return float(differences[0]), float(differences[1:].std())


def _check_runs(values: Any, truth: np.ndarray, metric: str, what: str) -> list[np.ndarray]:
    array = np.asarray(values)
    runs = array[None] if array.ndim == 2 else array
    if runs.ndim != 3 or runs.shape[1:] != truth.shape or not len(runs):
        raise ValueError(
            f"{what} must have the references' shape {truth.shape}, with the seeds before it if "
            f"there are several, got {array.shape}."
        )
    if metric == "macro_ap":
        return [check_scores(run, what) for run in runs]
    hint = f" {metric} compares decisions: apply the thresholds first."
    return [check_binary(run, what, hint) for run in runs]


def _draw_counts(generator: np.random.Generator, size: int, rows: int) -> np.ndarray:
    """How often each row is drawn: `(size, rows)` float32, each line sums to `rows`."""
    drawn = generator.integers(rows, size=(size, rows))
    drawn += np.arange(size)[:, None] * rows
    counts = np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows)
    return counts.astype(np.float32)


def _scorer(
    truth: np.ndarray, predictions: np.ndarray, metric: str
) -> Callable[[np.ndarray], np.ndarray]:
    """Function from `(resamples, rows)` counts to the `(resamples,)` scores."""
    if metric == "macro_ap":
        columns = [_ap_scorer(truth[:, c], predictions[:, c]) for c in range(truth.shape[1])]
        return lambda counts: np.mean([column(counts) for column in columns], axis=0)
    if metric == "jaccard":
        per_row = jaccard_per_row(truth, predictions)
        return lambda counts: counts.astype(np.float64) @ per_row / counts.shape[1]

    hits = (truth & predictions).astype(np.float32)
    total = (truth + predictions).astype(np.float32)
    if metric == "micro_f1":
        hits, total = hits.sum(axis=1, keepdims=True), total.sum(axis=1, keepdims=True)
    return lambda counts: ratio(2 * (counts @ hits), counts @ total).mean(axis=1)


def _ap_scorer(truth: np.ndarray, scores: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Average precision of one label under row counts.

    Only the score groups that hold a positive row matter: each adds its share of the positives
    times the precision at the end of the group.
    """
    order = np.argsort(-scores, kind="stable")
    sorted_truth, sorted_scores = truth[order], scores[order]
    ends = np.flatnonzero(np.append(np.diff(sorted_scores) != 0, True))
    positive_places = np.flatnonzero(sorted_truth)
    group_of_positive = np.searchsorted(ends, positive_places)
    if not len(positive_places):
        return lambda counts: np.zeros(len(counts))
    groups, group_starts = np.unique(group_of_positive, return_index=True)
    group_ends = ends[groups]
    positive_rows = order[positive_places]

    def score(counts: np.ndarray) -> np.ndarray:
        taken = np.cumsum(counts[:, order], axis=1)[:, group_ends]
        gained = np.add.reduceat(counts[:, positive_rows], group_starts, axis=1)
        found = np.cumsum(gained, axis=1)
        return ratio((gained * ratio(found, taken)).sum(axis=1), found[:, -1])

    return score
