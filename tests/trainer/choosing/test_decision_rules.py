"""Decisions: the numpy rule equals the model's, and a brute force over all label sets."""

from __future__ import annotations

import copy
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig

from stacked_emotion import StackedEmotionConfig
from stacked_emotion.common.numerics import logit, sigmoid
from stacked_emotion.inference.decisions import largest_expected_jaccard
from stacked_emotion.modeling_stacked_emotion import StackedEmotionForSequenceClassification
from stacked_emotion.trainer.choosing.calibration import cross_calibrated
from stacked_emotion.trainer.choosing.decision_rules import (
    DECISIONS,
    FOLDS,
    Decision,
    choose_decision,
    cross_fitted_decision,
    decision_objective,
    tilted_thresholds,
)
from stacked_emotion.trainer.choosing.folds import stratified_folds
from stacked_emotion.trainer.choosing.thresholds import best_global_threshold
from stacked_emotion.trainer.metrics.scores import jaccard_per_row


def model_with(config: Any) -> Any:
    model = StackedEmotionForSequenceClassification.__new__(StackedEmotionForSequenceClassification)
    torch.nn.Module.__init__(model)
    model.config = config
    return model


@pytest.mark.parametrize("kind", DECISIONS)
def test_numpy_and_torch_agree(kind: str, tiny_stack: Any) -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(500, 3)).astype(np.float32)
    decision = Decision(kind, np.array([0.2, 0.5, 0.6]), scale=0.8)
    config = copy.deepcopy(tiny_stack[0].config)
    config.thresholds = decision.thresholds.tolist()
    config.decision = "expected_jaccard" if kind == "expected_jaccard" else "threshold"
    config.decision_scale = decision.scale
    ours = model_with(config).decide(torch.from_numpy(logits)).numpy()
    assert np.array_equal(ours, decision.decide(logits).astype(bool))
    assert np.array_equal(decision.decide(logits[None])[0], decision.decide(logits))


def test_expected_jaccard_is_near_the_best_of_all_sets() -> None:
    generator = np.random.default_rng(1)
    sets = np.array(list(product([0, 1], repeat=4)))
    for probabilities in generator.beta(0.7, 1.5, size=(100, 4)):
        weights = np.prod(np.where(sets == 1, probabilities, 1 - probabilities), axis=1)

        def value(answer: np.ndarray, weights: np.ndarray = weights) -> float:
            return float(weights @ jaccard_per_row(sets, np.tile(answer, (len(sets), 1))))

        best = max(value(answer) for answer in sets if answer.any())
        ours = largest_expected_jaccard(logit(probabilities, 1e-9)).astype(int)
        assert ours.sum() >= 1
        assert value(ours) > best - 0.06
        assert probabilities[ours == 1].min() >= probabilities[ours == 0].max(initial=0)


def test_tilt_lowers_the_thresholds_of_rare_labels() -> None:
    prevalence = np.array([0.4, 0.05, 0.2])
    assert tilted_thresholds(prevalence, 0.0, 0.0, 0.8).tolist() == [0.5, 0.5, 0.5]
    tilted = tilted_thresholds(prevalence, 0.4, -0.4, 0.8)
    assert tilted[1] < tilted[2] < tilted[0]


def test_the_choice_is_made_out_of_fold() -> None:
    generator = np.random.default_rng(2)
    labels = (generator.random((300, 5)) < [0.4, 0.3, 0.2, 0.1, 0.05]).astype(int)
    logits = 2.0 * labels - 2 + generator.normal(size=labels.shape)
    choice = choose_decision(logits, labels)
    assert choice.out_of_fold is not None
    assert set(choice.out_of_fold) == set(DECISIONS)
    assert choice.score == max(choice.out_of_fold.values())
    assert decision_objective(labels, labels) == pytest.approx(2.5)
    assert choose_decision(logits, labels, ["global"]).kind == "global"
    assert len(set(choose_decision(logits, labels, ["global"]).thresholds)) == 1
    with pytest.raises(ValueError, match="nope"):
        choose_decision(logits, labels, ["nope"])
    with pytest.raises(ValueError, match="decision"):
        StackedEmotionConfig(encoders={"a": BertConfig()}, decision="best")


def test_labels_out_of_fold_come_from_thresholds_of_the_other_folds() -> None:
    generator = np.random.default_rng(0)
    labels = (generator.random((120, 3)) < [0.5, 0.3, 0.1]).astype(int)
    logits = 3 * (generator.normal(size=labels.shape) + labels)
    fold_of_row, expected = stratified_folds(labels, FOLDS), []
    for scores in (sigmoid(cross_calibrated(logits, labels)), sigmoid(logits)):
        given = np.zeros_like(labels)
        for fold in range(FOLDS):
            rest = fold_of_row != fold
            limit = best_global_threshold(scores[rest], labels[rest], "jaccard")
            given[~rest] = scores[~rest] >= limit
        expected.append(given)
    assert (expected[0] != expected[1]).any()
    jaccard = [jaccard_per_row(labels, given).mean() for given in expected]
    decision, decided = cross_fitted_decision(logits, labels, ["global"], "jaccard")
    assert (decided == expected[int(np.argmax(jaccard))]).all()
    assert (decided != decision.decide(logits)).any()
