"""The choice of order and limits on out-of-fold logits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stacked_emotion.adaptive_stacked_emotion import check_adaptive
from stacked_emotion.inference.adaptive.rule import AdaptiveRule
from stacked_emotion.inference.decisions import Decision
from stacked_emotion.trainer.choosing.adaptive_limits import choose_limits

LABELS = ["a", "b", "c", "d"]
NAMES = ["large", "small", "useless"]
COSTS = [10.0, 1.0, 0.1]


def made_up(rows: int = 600) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits of three encoders, of the stack, and folds; "small" is noisy, "useless" is noise."""
    generator = np.random.default_rng(0)
    truth = generator.normal(0, 3, (rows, 4))
    noise = [0.2, 0.8, 5.0]
    encoders = np.stack([truth + generator.normal(0, one, truth.shape) for one in noise], 1)
    return encoders, 0.8 * encoders[:, 0] + 0.2 * encoders[:, 1], np.arange(rows) % 5


def outcome(chosen: dict[str, Any], encoders: np.ndarray, full: np.ndarray) -> tuple[float, Any]:
    """Share of equal cells, and by how many encoders each text was decided."""
    decision = Decision(LABELS, [0.5] * 4)
    rule = AdaptiveRule.from_config(
        {"adaptive": chosen, "encoder_names": NAMES, "id2label": dict(enumerate(LABELS))}
    )
    assert rule is not None
    given, used = decision(full), np.full(len(full), 3)
    for step, stage in enumerate(rule.stages):
        estimate = stage.estimate(encoders[:, rule.places[: step + 1]])
        stops = (used == 3) & (decision.uncertainty(estimate) < stage.limit)
        given[stops], used[stops] = decision(estimate)[stops], step + 1
    return float((given == decision(full)).mean()), used


@pytest.mark.parametrize("agreement", [0.95, 0.99])
def test_limits_keep_the_agreement(agreement: float) -> None:
    encoders, full, folds = made_up()
    decision = Decision(LABELS, [0.5] * 4)
    chosen = choose_limits(encoders, full, decision, folds, NAMES, COSTS, agreement)
    assert chosen is not None
    check_adaptive(chosen, NAMES, 4)
    assert chosen["order"].index("small") < chosen["order"].index("large")
    equal, used = outcome(chosen, encoders, full)
    assert equal >= agreement - 0.004  # the final weights are those of all rows
    assert (used < 3).mean() > 0.2
    fresh_encoders, fresh, _ = made_up(2000)
    assert outcome(chosen, fresh_encoders, fresh)[0] >= agreement - 0.01


def test_fresh_texts_agree_with_confidence() -> None:
    """Of many choices on small samples, nearly all keep the agreement on texts not chosen on."""
    decision, agreement = Decision(LABELS, [0.5] * 4), 0.97
    everything = made_up(30_000)
    fresh_encoders, fresh = everything[0][20_000:], everything[1][20_000:]
    kept = []
    for start in range(0, 20_000, 1_000):
        part = slice(start, start + 1_000)
        encoders, full, folds = (values[part] for values in everything)
        chosen = choose_limits(
            encoders[:, :2], full, decision, folds, NAMES[:2], COSTS[:2], agreement
        )
        assert chosen is not None
        chosen = {
            "order": [*chosen["order"], "useless"],
            "stages": [*chosen["stages"], {"limit": 0, "weights": [[0] * 4] * 2, "bias": [0] * 4}],
        }
        kept.append(outcome(chosen, fresh_encoders, fresh)[0] >= agreement)
    assert np.mean(kept) >= 0.85


def test_less_agreement_saves_more() -> None:
    encoders, full, folds = made_up()
    decision, saved = Decision(LABELS, [0.5] * 4), []
    for agreement in (0.999, 0.99, 0.95, 0.9):
        chosen = choose_limits(encoders, full, decision, folds, NAMES, COSTS, agreement)
        assert chosen is not None
        cost = np.cumsum([COSTS[NAMES.index(name)] for name in chosen["order"]]) / sum(COSTS)
        saved.append(1 - cost[outcome(chosen, encoders, full)[1] - 1].mean())
    assert np.diff(saved).min() > -0.005
    assert saved[-1] > saved[0] + 0.1


def test_nothing_to_skip() -> None:
    encoders, full, folds = made_up(60)
    decision = Decision(LABELS, [0.5] * 4)
    one = choose_limits(encoders[:, :1], full, decision, folds, ["large"], [1.0], 0.99)
    assert one is None
    generator = np.random.default_rng(1)
    noise, other = generator.normal(0, 1, (60, 3, 20)), generator.normal(0, 0.5, (60, 20))
    decision = Decision([f"label {place}" for place in range(20)], [0.5] * 20)
    assert choose_limits(noise, other, decision, folds, NAMES, [1.0, 1.0, 1.0], 1.0) is None


def test_a_run_stores_limits(finished_run: Path) -> None:
    config = json.loads((finished_run / "model/config.json").read_text())
    check_adaptive(config["adaptive"], config["encoder_names"], len(config["id2label"]))
