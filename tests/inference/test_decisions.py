"""Decisions in numpy: the same as the model's own on any logits, by every rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from stacked_emotion.common.numerics import sigmoid
from stacked_emotion.decisions_stacked_emotion import (
    decide_by_expected_jaccard,
    decide_by_thresholds,
)
from stacked_emotion.inference.decisions import RULES, Decision, decide


def by_torch(logits: np.ndarray, limits: Any, rule: str, scale: float) -> np.ndarray:
    given = torch.from_numpy(np.asarray(logits))
    if rule == "threshold":
        return decide_by_thresholds(given, limits).numpy()
    return decide_by_expected_jaccard(given, limits, scale).numpy()


@st.composite
def cases(draw: Any) -> tuple[np.ndarray, list[float], float]:
    texts, labels = draw(st.integers(1, 8)), draw(st.integers(1, 12))
    kind = draw(st.sampled_from([np.float32, np.float64]))
    numbers = st.floats(-80, 80, width=32)
    logits = draw(arrays.arrays(kind, (texts, labels), elements=numbers))
    limits = draw(st.lists(st.floats(0, 1), min_size=labels, max_size=labels))
    return logits, limits, draw(st.floats(0.01, 10))


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=300, deadline=None)
@given(case=cases())
def test_equal_to_the_models_own(rule: str, case: Any) -> None:
    logits, limits, scale = case
    found = decide(logits, limits, rule, scale)
    np.testing.assert_array_equal(found, by_torch(logits, limits, rule, scale))
    names = [str(place) for place in range(len(limits))]
    decision = Decision(names, limits, rule, scale)
    np.testing.assert_array_equal(decision(logits), found)
    np.testing.assert_array_equal(decide(logits[None], limits, rule, scale)[0], found)
    if rule == "expected_jaccard":
        assert found.any(1).all()
    none = decide(logits, limits, rule, scale, has_words=np.zeros(len(logits), bool))
    assert not none.any()
    only_first = np.arange(len(logits)) == 0
    mixed = decision(logits, only_first)
    np.testing.assert_array_equal(mixed, found & only_first[:, None])


@pytest.mark.parametrize("rule", RULES)
def test_equal_on_many_random_logits(rule: str) -> None:
    generator = np.random.default_rng(0)
    for labels in (1, 2, 11, 100):
        logits = (4 * generator.standard_normal((20_000, labels))).astype(np.float32)
        limits = generator.uniform(0, 1, labels).tolist()
        found = decide(logits, limits, rule, 0.8)
        np.testing.assert_array_equal(found, by_torch(logits, limits, rule, 0.8))


@pytest.mark.parametrize("rule", RULES)
def test_probabilities_are_decided_as_their_logits(rule: str) -> None:
    torch.manual_seed(0)
    logits = 4 * torch.randn(500, 7, dtype=torch.float64)
    logits[:3] = torch.tensor([60.0, -60.0, 0.0])[:, None]
    thresholds = [0.5, 0.3, 0.9, 0.01, 0.99, 0.5, 0.4]
    scores = torch.sigmoid(logits)
    found = Decision([*"abcdefg"], thresholds, rule, 0.8).of_probabilities(scores.numpy())
    if rule == "threshold":
        expected = decide_by_thresholds(torch.logit(scores, eps=1e-9), thresholds)
    else:
        expected = decide_by_expected_jaccard(torch.logit(scores, eps=1e-9), thresholds, 0.8)
    np.testing.assert_array_equal(found, expected.numpy())
    np.testing.assert_allclose(sigmoid(logits.numpy()), scores.numpy(), atol=1e-15)
    half = np.arange(500) % 2 == 0
    masked = Decision([*"abcdefg"], thresholds, rule, 0.8).of_probabilities(scores.numpy(), half)
    np.testing.assert_array_equal(masked, found & half[:, None])


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("id2label", None, "id2label"),
        ("id2label", ["joy", "fear"], "id2label"),
        ("id2label", {"0": "joy", "2": "fear"}, "id2label"),
        ("id2label", {}, "id2label"),
        ("thresholds", [0.5], "thresholds has 1"),
        ("thresholds", [0.5, float("nan")], r"thresholds\['fear'\]"),
        ("thresholds", [0.5, 10**400], r"thresholds\['fear'\]"),
        ("thresholds", "0.5", "thresholds"),
        ("decision", "vote", "decision"),
        ("decision_scale", float("inf"), "decision_scale"),
        ("decision_scale", 0, "decision_scale"),
    ],
)
def test_malformed_fields_are_named(field: str, value: Any, named: str) -> None:
    config = {"id2label": {"1": "fear", "0": "joy"}, "thresholds": [0.25, 0.75]}
    whole = Decision.from_config(config)
    assert (whole.labels, whole.thresholds) == (["joy", "fear"], [0.25, 0.75])
    with pytest.raises(ValueError, match=named):
        Decision.from_config(config | {field: value})
