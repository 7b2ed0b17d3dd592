from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from stacked_emotion.trainer.metrics import BOOTSTRAP_METRICS, emotion_scores, paired_bootstrap
from stacked_emotion.trainer.metrics.bootstrap import _scorer, difference_with_error


def example(rows: int = 60, quality: float = 2.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    truth = (rng.random((rows, 4)) < [0.05, 0.2, 0.4, 0.5]).astype(int)
    noise = np.random.default_rng(seed).normal(size=truth.shape)
    return truth, 1 / (1 + np.exp(-(noise + quality * (truth - 0.5))))


def as_input(scores: np.ndarray, metric: str) -> np.ndarray:
    return scores if metric == "macro_ap" else (scores >= 0.5).astype(int)


@pytest.mark.parametrize("metric", BOOTSTRAP_METRICS)
@pytest.mark.parametrize("rounded", [False, True])
def test_counts_equal_repeated_rows(metric: str, rounded: bool) -> None:
    truth, scores = example(rows=25)
    scores = np.round(scores, 1) if rounded else scores
    score = _scorer(truth, as_input(scores, metric), metric)
    rng = np.random.default_rng(1)
    for _ in range(30):
        drawn = rng.integers(25, size=25)
        counts = np.bincount(drawn, minlength=25).astype(np.float32)[None]
        expected = emotion_scores(truth[drawn], scores[drawn], thresholds=0.5)[metric]
        assert score(counts)[0] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("metric", BOOTSTRAP_METRICS)
def test_a_better_system_is_found(metric: str) -> None:
    truth, good = example(rows=200, quality=4.0)
    _, poor = example(rows=200, quality=1.0, seed=1)
    first, second = as_input(good, metric), as_input(poor, metric)
    result = paired_bootstrap(truth, first, second, metric, resamples=1000)
    assert result.low > 0
    assert result.p_value < 0.01
    assert result.first == pytest.approx(emotion_scores(truth, good, thresholds=0.5)[metric])
    assert result.difference == pytest.approx(result.first - result.second)
    assert result.low < result.difference < result.high
    back = paired_bootstrap(truth, second, first, metric, resamples=1000)
    assert back.high == pytest.approx(-result.low, abs=1e-6)
    assert back.mean_difference == pytest.approx(-result.mean_difference, abs=1e-6)


def test_equal_systems_do_not_differ() -> None:
    truth, scores = example()
    result = paired_bootstrap(truth, scores, scores, "macro_ap", resamples=300)
    assert (result.low, result.high, result.p_value) == (0.0, 0.0, 1.0)


def test_interval_has_the_standard_error_of_the_mean() -> None:
    truth, good = example(rows=300, quality=2.0)
    _, other = example(rows=300, quality=2.0, seed=3)
    first, second = as_input(good, "jaccard"), as_input(other, "jaccard")
    result = paired_bootstrap(truth, first, second, "jaccard", resamples=4000)
    per_row = [
        emotion_scores(truth[i : i + 1], first[i : i + 1])["jaccard"]
        - emotion_scores(truth[i : i + 1], second[i : i + 1])["jaccard"]
        for i in range(300)
    ]
    width = 2 * 1.96 * np.std(per_row) / np.sqrt(300)
    assert result.high - result.low == pytest.approx(width, rel=0.08)


def test_chance_between_seeds_widens_the_interval() -> None:
    truth, base = example(rows=100, quality=2.0)
    flips = np.random.default_rng(2).normal(size=(3, *truth.shape))
    first = np.stack([(base + s * f >= 0.5) for s, f in zip((0.0, 0.3, 0.6), flips, strict=True)])
    second = np.stack([base >= 0.5] * 3)
    many = paired_bootstrap(truth, first, second, "micro_f1", resamples=2000)
    assert many.seeds == 3
    expected = np.mean([emotion_scores(truth, run)["micro_f1"] for run in first.astype(int)])
    assert many.first == pytest.approx(expected, abs=1e-6)
    alone = [paired_bootstrap(truth, run, second[0], "micro_f1", resamples=2000) for run in first]
    assert many.low < np.mean([single.low for single in alone])
    repeated = paired_bootstrap(truth, [first[2]] * 3, second, "micro_f1", resamples=2000)
    assert repeated.low == pytest.approx(alone[2].low)


def test_deterministic_and_json() -> None:
    truth, scores = example()
    _, other = example(seed=9)
    results = [
        asdict(paired_bootstrap(truth, scores, other, "macro_ap", resamples=300, seed=seed))
        for seed in (1, 1, 2)
    ]
    assert results[0] == results[1]
    assert results[0]["low"] != results[2]["low"]


def test_bad_input_is_refused() -> None:
    truth, scores = example()
    with pytest.raises(ValueError, match="known: jaccard"):
        paired_bootstrap(truth, truth, truth, "accuracy")
    with pytest.raises(ValueError, match="apply the thresholds first"):
        paired_bootstrap(truth, scores, scores, "jaccard")
    with pytest.raises(ValueError, match="references' shape"):
        paired_bootstrap(truth, truth[:-1], truth, "jaccard")
    with pytest.raises(ValueError, match="pair them one to one"):
        paired_bootstrap(truth, [truth, truth], [truth], "jaccard")
    with pytest.raises(ValueError, match="confidence"):
        paired_bootstrap(truth, truth, truth, confidence=1.0)


def test_difference_with_error_agrees_with_the_metrics_and_with_plain_resampling() -> None:
    generator = np.random.default_rng(1)
    truth = (generator.random((300, 5)) < 0.3).astype(int)
    first = np.where(generator.random(truth.shape) < 0.1, 1 - truth, truth)
    second = np.where(generator.random(truth.shape) < 0.2, 1 - truth, truth)
    weights = {"jaccard": 1.0, "micro_f1": 1.0, "macro_f1": 0.5}

    def objective(rows: np.ndarray, decisions: np.ndarray) -> float:
        scores = emotion_scores(truth[rows], decisions[rows])
        return sum(weight * scores[metric] for metric, weight in weights.items())

    def gain(rows: np.ndarray) -> float:
        return objective(rows, first) - objective(rows, second)

    difference, error = difference_with_error(truth, first, second, weights, resamples=2000)
    assert difference == pytest.approx(gain(np.arange(300)), abs=1e-6)
    drawn = [gain(generator.integers(300, size=300)) for _ in range(150)]
    assert error == pytest.approx(np.std(drawn), rel=0.25)
