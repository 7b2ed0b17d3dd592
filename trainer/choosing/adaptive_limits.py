"""In which order the encoders run, and when the ones that are left can be skipped.

Everything is chosen on out-of-fold logits. After each encoder a ridge regression per label
estimates the full stack's logit from the logits of the encoders run so far; it is fitted on the
other folds. The limits bound the uncertainty of the labels that the estimate gives.

Fresh texts shall keep the asked agreement, not only those that the limits were chosen on. So what
must be low enough is the upper confidence bound of the share of changed cells. This is the test of
Learn then Test (Angelopoulos et al. 2021, arXiv 2110.01052) with a normal approximation over texts.
It is used without a correction for the number of limits tried.

Sizes: N texts, E encoders, L labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any

import numpy as np
from sklearn.linear_model import Ridge

from ...inference.decisions import Decision

STEPS = 100
"""Limits that are tried per stage, as quantiles of the uncertainty."""
MOST_PERMUTED = 5
"""With more encoders only one order is tried: the cheapest first."""
RIDGE = 10.0
CONFIDENCE = 1.645
"""Standard errors of the one-sided 95 % bound."""


def choose_limits(
    encoder_logits: np.ndarray,
    logits: np.ndarray,
    decision: Decision,
    folds: np.ndarray,
    names: Sequence[str],
    costs: Sequence[float],
    agreement: float,
) -> dict[str, Any] | None:
    """The field `adaptive` of a configuration.

    Args:
        encoder_logits: (N, E, L) of the encoders' own heads, out of fold.
        logits: (N, L) of the full stack, calibrated, out of fold.
        decision: how logits become labels.
        folds: (N,) of each text.
        names: the encoders.
        costs: what a text costs by encoder, in any unit.
        agreement: the least share of label cells that must be as the full stack gives them, on
            fresh texts with a confidence of 95 %.

    Returns:
        The order, and the limit, weights and bias after each encoder but the last; None where
        nothing can be skipped.
    """
    count, given = len(names), decision(logits)
    if count < 2 or len(np.unique(folds)) < 2:
        return None
    share = np.asarray(costs, float) / sum(costs)
    cheapest = [int(place) for place in np.argsort(share, kind="stable")]
    orders = permutations(cheapest) if count <= MOST_PERMUTED else [tuple(cheapest)]
    known: dict[frozenset[int], tuple[np.ndarray, np.ndarray]] = {}

    def stage(places: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """The uncertainty of each text after these encoders, and how many labels would change."""
        key = frozenset(places)
        if key not in known:
            part = encoder_logits[:, sorted(places)]
            estimate = np.zeros_like(logits, dtype=np.float64)
            for fold in np.unique(folds):
                weights, bias = _fit(part[folds != fold], logits[folds != fold])
                inside = folds == fold
                estimate[inside] = (part[inside] * weights).sum(1) + bias
            changed = (decision(estimate) != given).sum(1)
            known[key] = decision.uncertainty(estimate), changed
        return known[key]

    budget = (1 - agreement) * given.shape[1] + 1e-9
    best: tuple[float, tuple[int, ...], np.ndarray] | None = None
    for order in orders:
        stages = [stage(order[: step + 1]) for step in range(count - 1)]
        saved, limits = _limits(stages, 1 - np.cumsum(share[list(order)])[:-1], budget)
        if saved > 0 and (best is None or saved > best[0] + 1e-12):
            best = saved, order, limits
    if best is None:
        return None
    _, order, limits = best
    fitted = [_fit(encoder_logits[:, order[: step + 1]], logits) for step in range(count - 1)]
    return {
        "order": [names[place] for place in order],
        "stages": [
            {"limit": float(limit), "weights": weights.tolist(), "bias": bias.tolist()}
            for limit, (weights, bias) in zip(limits, fitted, strict=True)
        ],
    }


def _fit(encoder_logits: np.ndarray, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights (K, L) and bias (L,) that estimate (N, L) logits from (N, K, L)."""
    labels = range(logits.shape[1])
    models = [Ridge(RIDGE).fit(encoder_logits[:, :, label], logits[:, label]) for label in labels]
    weights = np.stack([model.coef_ for model in models], axis=1)
    return weights.astype(float), np.array([float(model.intercept_) for model in models])


def _limits(
    stages: list[tuple[np.ndarray, np.ndarray]], savings: np.ndarray, budget: float
) -> tuple[float, np.ndarray]:
    """What is saved, and the limits: raised step by step, the best ratio first.

    Args:
        stages: uncertainty and changed labels (N,) after each encoder but the last.
        savings: what a text saves that stops there, as a share of the full cost.
        budget: the most that the upper bound of changed labels per text may be.
    """
    grids = [
        np.clip(np.quantile(doubt, np.linspace(0, 1, STEPS + 1)), 0.0, 1.0) for doubt, _ in stages
    ]

    texts = len(stages[0][0])

    def outcome(limits: np.ndarray) -> tuple[float, float]:
        left, changes, saved = np.ones(texts, bool), np.zeros(texts), 0.0
        for (doubt, changed), limit, saving in zip(stages, limits, savings, strict=True):
            stops = left & (doubt < limit)
            saved += saving * stops.mean()
            changes[stops] = changed[stops]
            left &= ~stops
        return saved, changes.mean() + CONFIDENCE * changes.std() / np.sqrt(texts)

    limits = np.zeros(len(stages))
    saved, bound = outcome(limits)
    while True:
        best = None
        for place, grid in enumerate(grids):
            for limit in grid[grid > limits[place]]:
                tried = limits.copy()
                tried[place] = limit
                more, after = outcome(tried)
                if after > budget or more <= saved:
                    continue
                ratio = (more - saved) / max(after - bound, 0.5 / texts)
                if best is None or ratio > best[0]:
                    best = ratio, tried, more, after
        if best is None:
            return saved, limits
        _, limits, saved, bound = best
