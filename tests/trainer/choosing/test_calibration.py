"""Calibration: Platt scaling by an independent fit, its shrinkage, and the decision after it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from stacked_emotion.common.numerics import sigmoid
from stacked_emotion.trainer.choosing import calibration
from stacked_emotion.trainer.choosing.calibration import (
    LEAST_SCALE,
    cross_calibrated,
    fit_calibration,
)
from stacked_emotion.trainer.choosing.decision_rules import (
    Decision,
    choose_calibrated_decision,
    choose_decision,
)
from stacked_emotion.trainer.metrics.reliability import reliability
from stacked_emotion.trainer.metrics.scores import jaccard_per_row


def drawn(seed: int, rows: int, scale: Any, bias: Any) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn with the probability sigmoid(scale * logit + bias)."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(-1, 2, (rows, len(scale)))
    chances = sigmoid(np.array(scale) * logits + np.array(bias))
    return logits, (generator.random(logits.shape) < chances).astype(np.int64)


def test_with_many_rows_it_is_platt_scaling(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, labels = drawn(0, 4000, [0.5, 1.0, 1.6], [0.4, -0.5, 0.0])
    monkeypatch.setattr(calibration, "SPREAD", (10.0, 10.0))
    found = fit_calibration(logits, labels)
    for column in range(3):
        peer = LogisticRegression(C=1e6, tol=1e-8).fit(logits[:, [column]], labels[:, column])
        expected = [peer.coef_[0, 0], peer.intercept_[0]]
        assert [found.scale[column], found.bias[column]] == pytest.approx(expected, abs=2e-3)
    again = fit_calibration(logits, labels)
    assert np.array_equal(found.scale, again.scale)
    assert np.array_equal(found.bias, again.bias)


def test_few_rows_stay_near_what_all_labels_share() -> None:
    truth = [0.5, 0.5, 0.5, 1.5], [0.0, 0.0, 0.0, 0.8]
    shared = fit_calibration(*drawn(1, 40, *truth), per_label=False)
    few, many = (fit_calibration(*drawn(1, rows, *truth)) for rows in (40, 20000))
    assert np.ptp(shared.scale) == np.ptp(shared.bias) == 0
    assert np.abs(few.scale - shared.scale).max() < 0.15
    assert many.scale == pytest.approx(truth[0], abs=0.15)
    assert many.bias == pytest.approx(truth[1], abs=0.15)


@pytest.mark.parametrize("rows", [1, 2, 30])
def test_labels_that_platt_scaling_cannot_fit(rows: int) -> None:
    """All positive, none, one positive, the classes apart, upside down, huge, and constant."""
    logits = np.random.default_rng(2).normal(size=(rows, 7))
    logits[:, 5], logits[:, 6] = 1e4 * logits[:, 5], 0.0
    labels = (logits > 0).astype(np.int64)
    labels[:, 0], labels[:, 1], labels[:, 2] = 1, 0, 0
    labels[0, 2] = 1
    labels[:, 4] = logits[:, 4] < 0
    found = fit_calibration(logits, labels)
    assert (found.scale >= LEAST_SCALE - 1e-12).all()
    assert np.isfinite([found.scale, found.bias]).all()
    order = np.argsort(logits, axis=0)
    assert np.array_equal(order, np.argsort(found(logits), axis=0))
    assert np.isfinite(cross_calibrated(logits, labels)).all()


def test_each_row_is_calibrated_by_others() -> None:
    """A row's own labels have no say in its score."""
    logits, labels = drawn(3, 60, [1.0, 1.0], [0.0, 0.0])
    plain = cross_calibrated(logits, labels)
    folds = calibration.stratified_folds(labels, calibration.FOLDS)
    for fold in range(calibration.FOLDS):
        fitted = fit_calibration(logits[folds != fold], labels[folds != fold])
        np.testing.assert_array_equal(plain[folds == fold], fitted(logits[folds == fold]))


def test_overconfident_logits_become_frequencies() -> None:
    logits, labels = drawn(4, 1500, [0.4, 0.6, 0.5], [0.5, -0.5, 0.0])
    before = reliability(labels, sigmoid(logits))
    after = reliability(labels, sigmoid(cross_calibrated(logits, labels)))
    assert max(after["ece"]) < 0.06 < min(before["ece"])
    assert np.mean(after["brier"]) < np.mean(before["brier"])


@pytest.mark.parametrize("kinds", [["expected_jaccard"], ["global"], ["shrunk"]])
@pytest.mark.parametrize("seed", range(4))
def test_the_decision_is_not_worse_for_it(kinds: list[str], seed: int) -> None:
    """On calibrated logits the rule is as good out of fold, or every text keeps its labels."""
    logits, labels = drawn(seed, 120, [0.5, 1.2, 0.8, 0.9], [0.5, 0.0, -1.0, -2.0])
    plain = choose_decision(logits, labels, kinds)
    found = choose_calibrated_decision(logits, labels, kinds)
    assert found.calibration is not None
    if np.ptp(found.calibration.scale) == 0:
        assert np.array_equal(found.decide(logits), plain.decide(logits))
    else:
        held_out = choose_decision(cross_calibrated(logits, labels), labels, kinds)
        assert np.array_equal(found.thresholds, held_out.thresholds)
    again = Decision.from_dict(found.to_dict())
    assert np.array_equal(again.decide(logits), found.decide(logits))
    assert jaccard_per_row(labels, found.decide(logits)).mean() > 0.3
