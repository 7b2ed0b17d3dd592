"""Which epoch of the layers on top is kept."""

from __future__ import annotations

import numpy as np

from stacked_emotion.trainer.stages.top import choose_epoch

CANDIDATES = ["global", "expected_jaccard"]


def epochs(better: float, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits of a start and of one epoch, nearer to the labels by `better` but for `noise`."""
    generator = np.random.default_rng(seed)
    labels = (generator.random((400, 4)) < 0.4).astype(np.int8)
    start = 2.0 * labels - 1 + generator.normal(size=labels.shape)
    after = start + better * (2.0 * labels - 1) + noise * generator.normal(size=labels.shape)
    return np.stack([start, after]).astype(np.float32), labels


def test_a_real_gain_is_kept() -> None:
    logits, labels = epochs(1.0, 0.1)
    epoch, scores, decision = choose_epoch(logits, labels, "jaccard", CANDIDATES, gain_in_errors=1)
    assert epoch == 1
    assert scores[1] > scores[0]
    assert decision.score == scores[1]


def test_a_gain_within_its_error_is_kept_only_without_the_rule() -> None:
    logits, labels = epochs(0.05, 0.5, seed=7)
    epoch, scores, decision = choose_epoch(logits, labels, "jaccard", CANDIDATES, gain_in_errors=1)
    assert scores[1] > scores[0]
    assert epoch == 0
    assert decision.score == scores[0]
    assert choose_epoch(logits, labels, "jaccard", CANDIDATES)[0] == 1
