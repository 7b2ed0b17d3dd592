from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import config_context
from sklearn import metrics as sk

from stacked_emotion.trainer.metrics import (
    average_precision,
    decide,
    emotion_scores,
    expected_calibration_error,
)

REPOSITORY = Path(__file__).parents[3]


def random_case(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """References, probabilities and thresholds, with edge cases among them."""
    rng = np.random.default_rng(seed)
    rows, labels = int(rng.integers(1, 30)), int(rng.integers(1, 7))
    truth = (rng.random((rows, labels)) < rng.random(labels)).astype(int)
    scores = rng.random((rows, labels))
    if seed % 3 == 0:
        scores = np.round(scores, 1)  # ties, and scores equal to the threshold
    thresholds = np.round(rng.random(labels), 1)
    match seed % 10:
        case 1:
            truth[:] = 0
        case 2:
            thresholds[:] = 2.0  # nothing predicted
        case 3:
            truth[:, 0] = 0
        case 4:
            truth[:], thresholds[:] = 0, 2.0
        case 5:
            scores[:] = 0.5
        case 6:
            truth[:] = 1
        case 7:
            truth, scores = truth[:1], scores[:1]
        case 8:
            truth, scores, thresholds = truth[:, :1], scores[:, :1], thresholds[:1]
    return truth, scores, thresholds


def sklearn_scores(truth: np.ndarray, scores: np.ndarray, decided: np.ndarray) -> dict[str, float]:
    """The same names from scikit-learn.

    It takes a table of one column for a binary task, so one label goes in with an all-zero second
    one, and the means over labels are doubled.
    """
    single = truth.shape[1] == 1
    wide = [np.hstack([t, np.zeros_like(t)]) if single else t for t in (truth, decided, scores)]
    y, d, s = wide
    factor = 2.0 if single else 1.0
    expected = {"jaccard": sk.jaccard_score(y, d, average="samples", zero_division=1)}
    for average in ("micro", "macro", "weighted", "samples"):
        values = sk.precision_recall_fscore_support(y, d, average=average, zero_division=0)
        for name, value in zip(("precision", "recall", "f1"), values, strict=False):
            expected[f"{average}_{name}"] = value * (factor if average == "macro" else 1.0)
    expected["hamming_loss"] = factor * sk.hamming_loss(y, d)
    expected["subset_accuracy"] = sk.accuracy_score(y, d)
    label_ap = sk.average_precision_score(y, s, average=None)
    expected["macro_ap"] = factor * np.mean(label_ap)
    expected["micro_ap"] = sk.average_precision_score(truth.ravel(), scores.ravel())
    expected["brier"] = np.mean(
        [np.mean((scores[:, c] - truth[:, c]) ** 2) for c in range(truth.shape[1])]
    )
    per_class = sk.precision_recall_fscore_support(y, d, average=None, zero_division=0)
    for label in range(truth.shape[1]):
        for name, values in zip(("precision", "recall", "f1", "support"), per_class, strict=True):
            expected[f"{name}_label{label}"] = values[label]
        expected[f"ap_label{label}"] = label_ap[label]
    return expected


@pytest.mark.parametrize("block", range(10))
def test_equal_to_scikit_learn_on_1000_cases(block: int) -> None:
    for seed in range(block, 1000, 10):
        truth, scores, thresholds = random_case(seed)
        names = [f"label{index}" for index in range(truth.shape[1])]
        ours = emotion_scores(truth, scores, thresholds=thresholds, label_names=names)
        decided = (scores >= thresholds).astype(int)
        with warnings.catch_warnings(), config_context(skip_parameter_validation=True):
            warnings.simplefilter("ignore")
            expected = sklearn_scores(truth, scores, decided)
        assert set(ours) - {"ece"} == set(expected)
        for name, value in expected.items():
            assert ours[name] == pytest.approx(value, abs=1e-12), (seed, name)
        from_decisions = emotion_scores(truth, decided, label_names=names)
        for name, value in from_decisions.items():
            assert value == ours[name], (seed, name)


ANY_TABLE = st.tuples(st.integers(1, 12), st.integers(2, 5)).flatmap(
    lambda size: st.tuples(
        *(
            st.lists(st.lists(cell, min_size=size[1], max_size=size[1]),
                     min_size=size[0], max_size=size[0])
            for cell in (st.integers(0, 1), st.sampled_from(np.linspace(0, 1, 11).tolist()))
        ),
        st.sampled_from((0.05, 0.3, 0.5, 0.8)),
    )
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(ANY_TABLE)
def test_equal_to_scikit_learn_on_any_table(case: tuple) -> None:
    truth, scores = np.array(case[0]), np.array(case[1], float)
    decided = (scores >= case[2]).astype(int)
    names = [f"label{index}" for index in range(truth.shape[1])]
    ours = emotion_scores(truth, scores, thresholds=case[2], label_names=names)
    with warnings.catch_warnings(), config_context(skip_parameter_validation=True):
        warnings.simplefilter("ignore")
        for name, value in sklearn_scores(truth, scores, decided).items():
            assert ours[name] == pytest.approx(value, abs=1e-12), name


def test_the_edge_cases_are_among_the_1000() -> None:
    cases = [random_case(seed) for seed in range(1000)]
    assert any(not truth.any() for truth, _, _ in cases)
    assert any(not (scores >= limits).any() for _, scores, limits in cases)
    assert any(truth.shape[1] == 1 for truth, _, _ in cases)
    assert any(len(truth) == 1 and truth.shape[1] > 1 for truth, _, _ in cases)
    assert any(len(np.unique(scores)) < scores.size for _, scores, _ in cases)


def test_jaccard_of_two_empty_sets_is_one() -> None:
    truth, decided = [[0, 0], [1, 1], [0, 0], [1, 0]], [[0, 0], [1, 0], [1, 0], [0, 0]]
    scores = emotion_scores(truth, decided)
    assert scores["jaccard"] == (1 + 0.5 + 0 + 0) / 4
    assert scores["samples_f1"] == pytest.approx((0 + 2 / 3 + 0 + 0) / 4)
    assert "macro_ap" not in scores
    assert "f1_joy" not in scores


@pytest.mark.parametrize("seed", range(20))
def test_ece_by_its_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, scores = rng.integers(0, 2, 60), rng.random(60)
    scores[:3] = 0.0, 1.0, 0.4
    expected = 0.0
    for low in range(15):
        inside = [
            index
            for index in range(60)
            if low <= scores[index] * 15 < low + 1 or (low == 14 and scores[index] == 1.0)
        ]
        if inside:
            gap = np.mean(truth[inside]) - np.mean(scores[inside])
            expected += len(inside) / 60 * abs(gap)
    assert expected_calibration_error(truth, scores) == pytest.approx(expected, abs=1e-12)
    table = emotion_scores(truth[:, None], scores[:, None], thresholds=0.5)
    assert table["ece"] == pytest.approx(expected, abs=1e-12)


def test_perfectly_calibrated_and_perfectly_wrong() -> None:
    truth = np.array([0, 0, 1, 1])
    assert expected_calibration_error(truth, truth.astype(float)) == 0.0
    assert expected_calibration_error(truth, 1.0 - truth) == 1.0


def test_ties_are_one_step_of_average_precision() -> None:
    assert average_precision(np.array([1, 0]), np.array([0.5, 0.5])) == 0.5
    assert average_precision(np.array([0, 1]), np.array([0.5, 0.5])) == 0.5


def test_one_threshold_or_one_per_label() -> None:
    scores = np.array([[0.5, 0.2], [0.4, 0.9]])
    np.testing.assert_array_equal(decide(scores, 0.5), [[1, 0], [0, 1]])
    np.testing.assert_array_equal(decide(scores, [0.4, 0.95]), [[1, 0], [1, 0]])
    with pytest.raises(ValueError, match="one per label"):
        decide(scores, [0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="NaN"):
        decide(scores, np.nan)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([[0, 1]], [[0.2, 0.7]]), {}, "row 0, label 0 is 0.2, not 0 or 1.*thresholds=0.5"),
        (([[0, 1]], [[0.2, 1.7]]), {"thresholds": 0.5}, "row 0, label 1 is 1.7.*sigmoid"),
        (([[0, 1]], [[0.2, np.nan]]), {"thresholds": 0.5}, "row 0, label 1 is NaN"),
        (([[0, 3]], [[0, 1]]), {}, "references: row 0, label 1 is 3"),
        (([[0, 1]], [[0, 1, 1]]), {}, "same shape"),
        (([0, 1], [0, 1]), {}, r"\(rows, labels\) table"),
        (([[0, 1]], [[0, 1]]), {"label_names": ["joy"]}, "1 label names for 2 labels"),
    ],
)
def test_bad_input_is_named(arguments: tuple, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        emotion_scores(*arguments, **options)


def test_scores_need_numpy_alone() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import scores; "
        "heavy = {'torch', 'datasets', 'evaluate', 'sklearn', 'stacked_emotion'}; "
        "loaded = heavy & set(sys.modules); "
        "assert not loaded, loaded; print(scores.emotion_scores([[1, 0]], [[1, 1]])['jaccard'])"
    )
    folder = REPOSITORY / "trainer" / "metrics"
    result = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "0.5"
