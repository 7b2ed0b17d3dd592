from __future__ import annotations

import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stacked_emotion.trainer.choosing.folds import stratified_folds
from stacked_emotion.trainer.choosing.thresholds import (
    OBJECTIVES,
    SHRINKAGE_POSITIVES,
    THRESHOLD_GRID,
    best_global_threshold,
    choose_thresholds,
    objective_score,
)
from stacked_emotion.trainer.metrics import emotion_scores


def example(
    seed: int, rows: int = 80, labels: int = 5, shift: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and labels; `shift` spreads the best thresholds of the labels apart."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((rows, labels)) < np.linspace(0.05, 0.5, labels)).astype(int)
    offset = np.linspace(-shift, shift, labels)
    logits = rng.normal(size=truth.shape) + 2.0 * truth - 1.0 + offset
    return 1 / (1 + np.exp(-logits)), truth


def independent_objective(truth: np.ndarray, decisions: np.ndarray, objective: str) -> float:
    scores = emotion_scores(truth, decisions)
    if objective == "jaccard+macro_f1":
        return (scores["jaccard"] + scores["macro_f1"]) / 2
    return scores[objective]


def test_the_grid() -> None:
    assert THRESHOLD_GRID[0] == 0.05
    assert THRESHOLD_GRID[-1] == 0.95
    assert len(THRESHOLD_GRID) == 181
    assert 0.305 in THRESHOLD_GRID


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("seed", range(4))
def test_global_scan_is_exact(objective: str, seed: int) -> None:
    probabilities, truth = example(seed)
    # Scores on the grid itself: the threshold is reached when the score equals it.
    probabilities = np.round(probabilities / 0.005) * 0.005 if seed % 2 else probabilities
    chosen = best_global_threshold(probabilities, truth, objective)
    scanned = [
        independent_objective(truth, (probabilities >= t).astype(int), objective)
        for t in THRESHOLD_GRID
    ]
    given = (probabilities >= chosen).astype(int)
    assert objective_score(truth, given, objective) == pytest.approx(max(scanned), abs=1e-12)
    best = THRESHOLD_GRID[np.array(scanned) >= max(scanned) - 1e-12]
    assert chosen == best[np.argmin(np.abs(best - 0.5))]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_objective_score_agrees_with_the_metric(objective: str) -> None:
    probabilities, truth = example(9)
    decisions = (probabilities >= 0.4).astype(int)
    decisions[:5], truth[:5] = 0, 0
    assert objective_score(truth, decisions, objective) == pytest.approx(
        independent_objective(truth, decisions, objective), abs=1e-12
    )


def shrunk_thresholds(probabilities: np.ndarray, truth: np.ndarray, start: float) -> np.ndarray:
    """Each label's best F1 threshold nearest `start`, moved by its number of positives."""
    limits = []
    for label in range(truth.shape[1]):
        f1 = [
            emotion_scores(truth[:, [label]], probabilities[:, [label]] >= t)["micro_f1"]
            for t in THRESHOLD_GRID
        ]
        best = THRESHOLD_GRID[np.array(f1) >= max(f1) - 1e-12]
        own = best[np.argmin(np.abs(best - start))]
        positives = truth[:, label].sum()
        share = positives / (positives + SHRINKAGE_POSITIVES)
        limits.append(start + share * (own - start))
    return np.array(limits)


def test_per_label_thresholds_are_kept_when_they_win() -> None:
    probabilities, truth = example(2, rows=1500, shift=1.5)
    truth[:, 2] = 0
    choice = choose_thresholds(probabilities, truth, "macro_f1", seed=0)
    assert choice.kind == "shrunk"
    assert choice.out_of_fold["shrunk"] > choice.out_of_fold["global"]
    start = best_global_threshold(probabilities, truth, "macro_f1")
    given = (probabilities >= start).astype(int)
    assert choice.score > objective_score(truth, given, "macro_f1")
    np.testing.assert_allclose(choice.thresholds, shrunk_thresholds(probabilities, truth, start))
    assert choice.thresholds[2] == start


def test_falls_back_to_global_when_per_label_ones_do_not_carry_over() -> None:
    kinds = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        truth = (rng.random((60, 8)) < 0.1).astype(int)
        choice = choose_thresholds(rng.random(truth.shape), truth, "jaccard")
        expected = (
            "shrunk" if choice.out_of_fold["shrunk"] > choice.out_of_fold["global"] else "global"
        )
        assert choice.kind == expected
        kinds.append(choice.kind)
        if choice.kind == "global":
            assert len(set(choice.thresholds)) == 1
    assert "global" in kinds


def test_out_of_fold_scores_come_from_the_other_folds() -> None:
    probabilities, truth = example(4, rows=120)
    choice = choose_thresholds(probabilities, truth, "micro_f1", folds=3, seed=5)
    folds = stratified_folds(truth, 3, 5)
    decisions = np.zeros_like(truth)
    for fold in range(3):
        rest = folds != fold
        best = best_global_threshold(probabilities[rest], truth[rest], "micro_f1")
        decisions[~rest] = probabilities[~rest] >= best
    assert choice.out_of_fold["global"] == pytest.approx(
        emotion_scores(truth, decisions)["micro_f1"]
    )


def test_the_choice_is_json() -> None:
    probabilities, truth = example(2, rows=400, shift=1.5)
    choice = choose_thresholds(probabilities, truth)
    assert set(choice.out_of_fold) == {"global", "shrunk"}
    assert json.loads(json.dumps(choice.to_dict()))["thresholds"] == choice.thresholds.tolist()


def test_fewer_rows_than_folds_gives_the_global_threshold() -> None:
    choice = choose_thresholds([[0.2, 0.9], [0.7, 0.1]], [[0, 1], [1, 0]], folds=5)
    assert choice.kind == "global"
    assert choice.score == 1.0
    assert choice.out_of_fold == {}


def test_no_positive_label_at_all() -> None:
    choice = choose_thresholds(np.full((20, 3), 0.3), np.zeros((20, 3)), "jaccard")
    assert np.isfinite(choice.thresholds).all()
    assert choice.score == 1.0
    assert (choice.thresholds > 0.3).all()


def test_fast_enough_to_run_inside_training() -> None:
    probabilities, truth = example(0, rows=2300, labels=11)
    start = time.perf_counter()
    choose_thresholds(probabilities, truth)
    assert time.perf_counter() - start < 3.0  # 0.15 s on an idle core


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[0.2]], [[1]], "accuracy"), "known: jaccard, micro_f1"),
        (([[1.2]], [[1]]), "outside"),
        (([[np.nan]], [[1]]), "row 0, label 0 is NaN"),
        (([[0.2]], [[2]]), "row 0, label 0 is 2"),
        (([[0.2, 0.3]], [[1]]), "same shape"),
    ],
)
def test_bad_input_is_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choose_thresholds(*arguments)
    with pytest.raises(ValueError, match=message):
        best_global_threshold(*arguments)


TABLES = st.integers(1, 4).flatmap(
    lambda width: st.lists(
        st.lists(st.tuples(st.booleans(), st.sampled_from(np.linspace(0, 1, 21).tolist())),
                 min_size=width, max_size=width),
        min_size=1, max_size=25,
    )
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(TABLES, st.sampled_from(OBJECTIVES))
def test_thresholds_of_any_table(rows: list[list[tuple[bool, float]]], objective: str) -> None:
    table = np.array(rows, float)
    truth, scores = table[..., 0].astype(int), table[..., 1]
    best = best_global_threshold(scores, truth, objective)
    choice = choose_thresholds(scores, truth, objective)
    reached = objective_score(truth, (scores >= best).astype(int), objective)
    for limit in THRESHOLD_GRID[::20]:
        assert reached >= objective_score(truth, (scores >= limit).astype(int), objective) - 1e-12
    assert THRESHOLD_GRID[0] <= choice.thresholds.min() <= choice.thresholds.max()
    assert choice.thresholds.max() <= THRESHOLD_GRID[-1]
    if choice.kind == "global":
        assert (choice.thresholds == best).all()
    order = np.random.default_rng(0).permutation(len(truth))
    assert best_global_threshold(scores[order], truth[order], objective) == best
