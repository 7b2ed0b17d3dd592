"""The model's decision and its numpy twin give the same labels, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stacked_emotion.decisions_stacked_emotion import decide
from stacked_emotion.inference.decisions import decide as numpy_decide

RULES = ["threshold", "expected_jaccard"]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("labels", [1, 2, 11, 100])
def test_the_numpy_twin_agrees(rule: str, labels: int) -> None:
    generator = np.random.default_rng(labels)
    logits = generator.normal(-1, 2.5, (400, labels))
    logits[:40] = np.round(logits[:40])  # ties between labels
    logits[40] = 0.0
    logits[41], logits[42] = 15.0, -15.0
    thresholds = generator.uniform(0.05, 0.95, labels).round(2).tolist()
    for scale in (0.5, 0.8, 1.0, 2.0):
        ours = decide(torch.from_numpy(logits), thresholds, rule, scale).numpy()
        np.testing.assert_array_equal(ours, numpy_decide(logits, thresholds, rule, scale))
    words = generator.random(len(logits)) < 0.5
    ours = decide(torch.from_numpy(logits), thresholds, rule, 0.8, torch.from_numpy(words))
    twin = numpy_decide(logits, thresholds, rule, 0.8, words)
    np.testing.assert_array_equal(ours.numpy(), twin)
    assert not twin[~words].any()


@pytest.mark.parametrize("rule", RULES)
def test_extreme_logits_are_decided_alike(rule: str) -> None:
    for size in (30.0, 60.0, 800.0):
        logits = np.array([[size, -size, 0.1], [-size, -size, size], [size, size, -size]])
        ours = decide(torch.from_numpy(logits), [0.5, 0.3, 0.4], rule).numpy()
        np.testing.assert_array_equal(ours, numpy_decide(logits, [0.5, 0.3, 0.4], rule, 1.0))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_properties_of_a_decision(data: Any) -> None:
    labels = data.draw(st.integers(1, 6))
    row = st.lists(st.floats(-40, 40), min_size=labels, max_size=labels)
    logits = torch.tensor(data.draw(st.lists(row, min_size=1, max_size=5)), dtype=torch.float64)
    limit = st.floats(0.01, 0.99)
    thresholds = data.draw(st.lists(limit, min_size=labels, max_size=labels))
    words = torch.tensor(
        data.draw(st.lists(st.booleans(), min_size=len(logits), max_size=len(logits)))
    )
    for rule in RULES:
        every = decide(logits, thresholds, rule)
        assert torch.equal(decide(logits, thresholds, rule, has_words=words)[words], every[words])
        assert not decide(logits, thresholds, rule, has_words=words)[~words].any()
        for place, one in enumerate(logits):  # no text changes what another is given
            assert torch.equal(decide(one[None], thresholds, rule)[0], every[place])
        if rule == "expected_jaccard":
            assert every.any(-1).all()


def test_one_label_is_a_yes_or_no_question() -> None:
    logits = torch.tensor([[-0.1], [0.0], [0.1]])
    assert decide(logits, [0.5]).tolist() == [[False], [True], [True]]
