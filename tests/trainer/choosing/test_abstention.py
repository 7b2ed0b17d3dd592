"""The limits keep their coverage on new texts, and the record says what was reached."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

import numpy as np
import pytest

from stacked_emotion.checks_stacked_emotion import COVERAGES, SLACK, abstain_limit
from stacked_emotion.inference.decisions import Decision
from stacked_emotion.trainer.choosing.abstention import (
    abstention_lines,
    abstention_record,
    uncertainty_limits,
)
from stacked_emotion.trainer.metrics.scores import jaccard_per_row

DECISIONS = [
    Decision(["a", "b", "c"], [0.3, 0.5, 0.6]),
    Decision(["a", "b", "c"], [0.3, 0.5, 0.6], "expected_jaccard", 0.8),
]


@pytest.mark.parametrize("decision", DECISIONS, ids=["threshold", "expected_jaccard"])
@pytest.mark.parametrize("known", [20, 500])
def test_new_texts_are_answered_as_often_as_asked(decision: Decision, known: int) -> None:
    """The guarantee of split conformal prediction, over many draws of known and new texts."""
    generator, shares = np.random.default_rng(5), (0.05, 0.5, 0.8, 0.9, 0.97)
    answered: list[list[float]] = []
    for _ in range(200):
        logits = generator.standard_t(3, (known + 50, 3))
        limits = uncertainty_limits(logits[:known], decision)
        one = replace(decision, abstain_limits=limits)
        new = logits[known:]
        answered.append([(~one.abstaining(share).abstains(new)).mean() for share in shares])
    for share, found in zip(shares, np.transpose(answered), strict=True):
        error = 3 * found.std() / np.sqrt(len(found))
        assert share - error <= found.mean() <= share + 1 / (known + 1) + error + 1e-3


@pytest.mark.parametrize("share", [0.01, 0.07, 0.29, 0.57, 0.9, 0.99])
def test_a_limit_is_the_conformal_quantile(share: float) -> None:
    logits = np.random.default_rng(1).normal(0, 2, (150, 3))
    limits = uncertainty_limits(logits, DECISIONS[0])
    assert len(limits) == COVERAGES
    assert limits == sorted(limits)
    doubts = np.sort(DECISIONS[0].uncertainty(logits))
    place = ceil(round(151 * share, 9))
    limit = abstain_limit(share, limits)
    assert limit is not None
    assert doubts[place - 1] <= limit <= doubts[place - 1] + 2e-6 + SLACK


def test_few_texts_cannot_bear_a_high_share() -> None:
    limits = uncertainty_limits(np.random.default_rng(1).normal(0, 2, (9, 3)), DECISIONS[0])
    assert limits[89] < 1.0
    assert limits[90:] == [1.0] * 9  # 9 texts part the range in 10


def test_the_record_scores_the_texts_that_are_answered() -> None:
    generator = np.random.default_rng(2)
    logits = generator.normal(0, 2, (400, 3))
    labels = (generator.random(logits.shape) < 1 / (1 + np.exp(-2 * logits))).astype(np.int8)
    decision = DECISIONS[1]
    limits = uncertainty_limits(logits, decision)
    asked = replace(decision, abstain=0.6, abstain_limits=limits)
    record = abstention_record({"test": logits}, {"test": labels}, asked)
    entry = record["splits"]["test"]
    kept = decision.uncertainty(logits) <= abstain_limit(0.6, limits)
    jaccard = jaccard_per_row(labels.astype(int), decision(logits).astype(int))
    assert (record["coverage"], entry["texts"]) == (0.6, 400)
    assert entry["answered"] == kept.mean() == pytest.approx(0.6, abs=0.005)
    assert entry["jaccard"] == {
        "answered": pytest.approx(jaccard[kept].mean()), "all": pytest.approx(jaccard.mean())
    }  # fmt: skip
    assert entry["jaccard"]["answered"] > entry["jaccard"]["all"] + 0.05
    assert entry["micro_precision"]["answered"] > entry["micro_precision"]["all"]
    text = "\n".join(abstention_lines(record))
    assert "labels to 60 % of the texts" in text
    assert f"| test | 400 | {kept.mean():.3f} | {jaccard[kept].mean():.3f} |" in text
    assert abstention_lines(None) == []
    none = abstention_record({"test": -99 + logits * 0}, {"test": labels}, replace(
        asked, rule="threshold", abstain_limits=[0.0] * COVERAGES))["splits"]["test"]  # fmt: skip
    assert none["answered"] == 1.0
