from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stacked_emotion.data.label_statistics import LabelStatistics, shrink_correlation
from stacked_emotion.trainer.losses import CorrelationLoss, plutchik_correlation

NAMES = ("joy", "love", "optimism", "sadness", "surprise", "trust")


def statistics() -> LabelStatistics:
    """joy, love and optimism go together, sadness excludes them; the other two are independent."""
    rng = np.random.default_rng(1)
    joy = rng.random(2000) < 0.4
    together = [joy & (rng.random(2000) < 0.8) for _ in range(2)]
    sadness = ~joy & (rng.random(2000) < 0.8)
    unrelated = [rng.random(2000) < 0.3 for _ in range(2)]
    labels = np.stack([joy, *together, sadness, *unrelated], axis=1)
    return LabelStatistics.from_labels(labels, NAMES)


def cost(loss: CorrelationLoss, truth: list[str], predicted: list[str]) -> float:
    labels = torch.tensor([[float(name in truth) for name in NAMES]])
    decided = torch.tensor([[float(name in predicted) for name in NAMES]])
    return loss(60.0 * (decided - 0.5), labels)["correlation"].item()


@pytest.mark.parametrize("prior", ["phi", "plutchik", "identity"])
def test_equal_to_the_double_sum(prior: str) -> None:
    table = statistics()
    loss = CorrelationLoss(table, prior=prior, shrinkage=0.2)
    matrix = {
        "phi": table.correlation,
        "plutchik": plutchik_correlation(NAMES),
        "identity": np.eye(6),
    }[prior]
    matrix = shrink_correlation(matrix, 0.2)
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(7, 6)), rng.integers(0, 2, size=(7, 6))
    error = 1 / (1 + np.exp(-logits)) - labels
    expected = 0.0
    for row in error:
        for i in range(6):
            for j in range(6):
                expected += matrix[i, j] * row[i] * row[j]
    value = loss(torch.tensor(logits), torch.tensor(labels))["correlation"].item()
    assert value == pytest.approx(expected / (7 * 6), rel=1e-5)


def test_identity_is_the_brier_score() -> None:
    logits, labels = torch.randn(5, 6), torch.randint(0, 2, (5, 6))
    value = CorrelationLoss(statistics(), prior="identity")(logits, labels)["correlation"]
    torch.testing.assert_close(value, ((logits.sigmoid() - labels) ** 2).mean())


@pytest.mark.parametrize("prior", ["phi", "plutchik"])
def test_related_errors_cost_more_than_unrelated_ones(prior: str) -> None:
    loss = CorrelationLoss(statistics(), prior=prior)
    unrelated = cost(loss, ["joy", "love"], ["joy", "love", "surprise", "trust"])
    if prior == "plutchik":  # trust and surprise stand at a right angle there
        assert unrelated == pytest.approx(2 / 6, abs=1e-3)
    missed_group = cost(loss, ["joy", "love"], [])
    swapped = cost(loss, ["joy"], ["sadness"])
    one_error = cost(loss, ["joy", "love"], ["joy"])
    assert missed_group > unrelated + 0.1
    assert swapped > unrelated + 0.1
    assert unrelated > one_error > 0
    assert cost(loss, ["joy", "love"], ["joy", "love"]) == pytest.approx(0, abs=1e-9)


def test_degenerate_labels_do_not_spoil_it() -> None:
    labels = np.array([[1, 0, 1], [1, 0, 0], [1, 0, 1]])
    loss = CorrelationLoss(LabelStatistics.from_labels(labels, "abc"))
    torch.testing.assert_close(loss.correlation, torch.eye(3))


def test_plutchik_geometry() -> None:
    matrix = plutchik_correlation(["joy", "sadness", "Trust", "surprise", "curiosity"])
    assert matrix[0, 1] == pytest.approx(-1)
    assert matrix[0, 2] == pytest.approx(np.sqrt(0.5))
    assert matrix[2, 3] == pytest.approx(0, abs=1e-12)
    np.testing.assert_array_equal(matrix[4], [0, 0, 0, 0, 1])
    assert np.linalg.eigvalsh(matrix)[0] > -1e-9


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ("pmi", "known: phi, identity, plutchik"),
        (np.eye(5), r"shape \(6, 6\)"),
        (np.triu(np.ones((6, 6))), "symmetric"),
        (2 * np.eye(6), "diagonal"),
        (2 * np.eye(6) - np.ones((6, 6)), "positive semi-definite"),
        (np.full((6, 6), np.nan), "NaN"),
    ],
)
def test_bad_priors_are_refused(prior: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CorrelationLoss(statistics(), prior=prior)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.floats(0, 1), st.floats(0.05, 1))
def test_the_minimum_is_at_the_labels(seed: int, width: int, shrinkage: float, size: float) -> None:
    rng = np.random.default_rng(seed)
    table = (rng.random((30, width)) < rng.random(width)).astype(int)
    statistics = LabelStatistics.from_labels(table, [f"label{i}" for i in range(width)])
    loss = CorrelationLoss(statistics, shrinkage=shrinkage).double()
    labels = torch.from_numpy(table[:5]).double()
    step = size * torch.from_numpy(rng.random(labels.shape))
    away = torch.logit((labels - (2 * labels - 1) * step).clamp(1e-9, 1 - 1e-9))
    at_the_labels = loss(60.0 * (labels - 0.5), labels)["correlation"].item()
    assert at_the_labels == pytest.approx(0, abs=1e-12)
    assert loss(away, labels)["correlation"].item() >= -1e-9
    nearer = torch.logit((labels - (2 * labels - 1) * step / 2).clamp(1e-9, 1 - 1e-9))
    found = loss(away, labels)["correlation"].item()
    assert loss(nearer, labels)["correlation"].item() == pytest.approx(
        found / 4, rel=1e-4, abs=1e-7
    )
