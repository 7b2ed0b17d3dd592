"""Every loss against an independent computation, and what all losses have in common."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch

from stacked_emotion.data.label_statistics import LabelStatistics
from stacked_emotion.trainer.losses import (
    LOSSES,
    ContrastiveLoss,
    CorrelationLoss,
    EmotionLoss,
    build_loss,
    loss_options,
)

NAMES = ("anger", "joy", "love", "sadness")


def training_labels() -> np.ndarray:
    """100 rows: love comes with joy, sadness without it, anger is rare."""
    rng = np.random.default_rng(0)
    joy = rng.random(100) < 0.45
    love = joy & (rng.random(100) < 0.6)
    sadness = ~joy & (rng.random(100) < 0.7)
    anger = rng.random(100) < 0.1
    return np.stack([anger, joy, love, sadness], axis=1).astype(int)


STATISTICS = LabelStatistics.from_labels(training_labels(), NAMES)


def batch(rows: int = 9, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 2.0 * torch.randn(rows, 4, generator=generator)
    labels = (torch.rand(rows, 4, generator=generator) < 0.4).float()
    return logits, labels, torch.randn(rows, 6, generator=generator)


def total(loss: EmotionLoss, *inputs: Any, **options: Any) -> torch.Tensor:
    return torch.stack(list(loss(*inputs, **options).values())).sum()


def every_loss() -> list[EmotionLoss]:
    losses = [build_loss(name, STATISTICS) for name in LOSSES]
    return [*losses, CorrelationLoss(STATISTICS), ContrastiveLoss(STATISTICS)]


def losses_of_probabilities() -> list[EmotionLoss]:
    """Every loss that sees p, with settings that matter."""
    return [
        build_loss("bce", STATISTICS),
        build_loss("weighted_bce", STATISTICS, class_weights="inverse"),
        build_loss("focal", STATISTICS),
        build_loss("focal", STATISTICS, gamma=0.5, alpha=None),
        build_loss("asymmetric", STATISTICS),
        build_loss("asymmetric", STATISTICS, gamma_positive=1.0, margin=0.0),
        build_loss("lca", STATISTICS),
        build_loss("lca", STATISTICS, alpha=1.0),
        CorrelationLoss(STATISTICS, shrinkage=0.0),
        CorrelationLoss(STATISTICS, prior="identity"),
        CorrelationLoss(STATISTICS, prior="plutchik"),
        build_loss("hybrid", STATISTICS, contrastive_weight=0.0),
    ]


def identify(loss: EmotionLoss) -> str:
    settings = json.dumps(loss.get_config_dict())[:40]
    return f"{loss.name}-{settings}"


def sigmoid(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-logit))


def mean_of_entries(logits: torch.Tensor, labels: torch.Tensor, cost: Any) -> float:
    """Mean of `cost(p, y, label index)` over all entries, by plain loops."""
    values = [
        cost(sigmoid(logit), label, column)
        for row, truth in zip(logits.tolist(), labels.tolist(), strict=True)
        for column, (logit, label) in enumerate(zip(row, truth, strict=True))
    ]
    return sum(values) / len(values)


def cross_entropy(p: float, y: float, weight: float = 1.0) -> float:
    return -weight * math.log(p) if y else -math.log(1 - p)


def test_bce_is_that_of_torch() -> None:
    logits, labels, _ = batch()
    components = build_loss("bce", STATISTICS)(logits, labels)
    assert list(components) == ["bce"]
    expected = mean_of_entries(logits, labels, lambda p, y, _: cross_entropy(p, y))
    assert components["bce"].item() == pytest.approx(expected, rel=1e-5)
    assert torch.equal(components["bce"], torch.nn.BCEWithLogitsLoss()(logits, labels))


@pytest.mark.parametrize("method", ["none", "inverse", "sqrt_inverse", "effective_number"])
def test_weighted_bce(method: str) -> None:
    logits, labels, _ = batch()
    loss = build_loss("weighted_bce", STATISTICS, class_weights=method)
    weights = STATISTICS.pos_weight(method)
    expected = mean_of_entries(
        logits, labels, lambda p, y, label: cross_entropy(p, y, weights[label])
    )
    assert loss(logits, labels)["bce"].item() == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(loss.pos_weight.numpy(), weights, rtol=1e-6)


@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, 0.25), (0.5, 0.6), (1.0, None), (0.0, None)])
def test_focal(gamma: float, alpha: float | None) -> None:
    logits, labels, _ = batch()

    def cost(p: float, y: float, _: int) -> float:
        p_t = p if y else 1 - p
        alpha_t = 1.0 if alpha is None else (alpha if y else 1 - alpha)
        return -alpha_t * (1 - p_t) ** gamma * math.log(p_t)

    loss = build_loss("focal", STATISTICS, gamma=gamma, alpha=alpha)
    expected = mean_of_entries(logits, labels, cost)
    assert loss(logits, labels)["focal"].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("settings", [(0.0, 4.0, 0.05), (1.0, 2.0, 0.2), (1.0, 0.5, 0.0)])
def test_asymmetric(settings: tuple[float, float, float]) -> None:
    positive, negative, margin = settings
    logits, labels, _ = batch()

    def cost(p: float, y: float, _: int) -> float:
        if y:
            return -((1 - p) ** positive) * math.log(p)
        p_m = max(p - margin, 0.0)
        return -(p_m**negative) * math.log(1 - p_m)

    loss = build_loss(
        "asymmetric",
        STATISTICS,
        gamma_positive=positive,
        gamma_negative=negative,
        margin=margin,
    )
    expected = mean_of_entries(logits, labels, cost)
    assert loss(logits, labels)["asymmetric"].item() == pytest.approx(expected, rel=1e-4)


def test_lca_is_the_mean_over_absent_and_present_pairs() -> None:
    logits, labels, _ = batch()
    labels[0], labels[1] = 0, 1
    costs = []
    for row, truth in zip(logits.tolist(), labels.tolist(), strict=True):
        absent = [sigmoid(x) for x, y in zip(row, truth, strict=True) if not y]
        present = [sigmoid(x) for x, y in zip(row, truth, strict=True) if y]
        pairs = [math.exp(a - b) for a in absent for b in present]
        costs.append(sum(pairs) / len(pairs) if pairs else 0.0)
    components = build_loss("lca", STATISTICS, alpha=0.3)(logits, labels)
    assert components["lca"].item() == pytest.approx(0.3 * sum(costs) / len(costs), rel=1e-5)
    plain = build_loss("bce", STATISTICS)(logits, labels)["bce"].item()
    assert components["bce"].item() == pytest.approx(0.7 * plain, rel=1e-6)


def test_hybrid_is_the_weighted_sum_of_its_parts() -> None:
    logits, labels, embedding = batch()
    loss = build_loss(
        "hybrid",
        STATISTICS,
        bce_weight=0.7,
        correlation_weight=0.4,
        contrastive_weight=0.2,
        class_weights="inverse",
        correlation_shrinkage=0.3,
        temperature=0.2,
    )
    components = loss(logits, labels, embedding)
    bce = build_loss("weighted_bce", STATISTICS, class_weights="inverse")(logits, labels)
    correlation = CorrelationLoss(STATISTICS, shrinkage=0.3)(logits, labels)
    contrastive = ContrastiveLoss(STATISTICS, 0.2)(logits, labels, embedding)
    assert list(components) == ["bce", "correlation", "contrastive"]
    torch.testing.assert_close(components["bce"], 0.7 * bce["bce"])
    torch.testing.assert_close(components["correlation"], 0.4 * correlation["correlation"])
    torch.testing.assert_close(components["contrastive"], 0.2 * contrastive["contrastive"])


@pytest.mark.parametrize("part", ["bce", "correlation", "contrastive"])
def test_each_part_of_the_hybrid_loss_can_be_switched_off(part: str) -> None:
    logits, labels, embedding = batch()
    loss = build_loss("hybrid", STATISTICS, **{f"{part}_weight": 0.0})
    assert set(loss(logits, labels, embedding)) == {"bce", "correlation", "contrastive"} - {part}
    assert loss.uses_embedding == (part != "contrastive")
    if part == "contrastive":
        assert set(loss(logits, labels)) == {"bce", "correlation"}
    if part == "bce":
        assert (loss.pos_weight == 1).all()


@pytest.mark.parametrize("loss", losses_of_probabilities(), ids=identify)
def test_the_minimum_over_p_is_at_y(loss: EmotionLoss) -> None:
    grid = torch.cartesian_prod(*[torch.tensor([0.001, 0.3, 0.7, 0.999])] * 4)
    logits = torch.logit(grid.double())
    for number in range(16):
        truth = torch.tensor([float(number >> bit & 1) for bit in range(4)]).double()
        at_truth = torch.logit(truth.clamp(1e-9, 1 - 1e-9))[None]
        best = total(loss, at_truth, truth[None]).item()
        costs = torch.stack([total(loss, row[None], truth[None]) for row in logits])
        assert best <= costs.min().item() + 1e-9
        if "lca" not in loss.name and loss.name != "asymmetric":
            far = (grid.double() - truth).abs().amax(dim=1) > 0.2
            assert best < costs[far].min().item()


@pytest.mark.parametrize("loss", losses_of_probabilities(), ids=identify)
def test_a_step_toward_the_labels_lowers_the_loss(loss: EmotionLoss) -> None:
    labels = torch.tensor([[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 1.0, 1.0]]).double()
    logits = torch.zeros(2, 4, dtype=torch.float64, requires_grad=True)
    total(loss, logits, labels).backward()
    step = labels - 0.5
    assert ((logits.grad * step).sum(dim=1) < 0).all()


DEGENERATE = {
    "one row": torch.tensor([[1.0, 0.0, 0.0, 1.0]]),
    "all empty": torch.zeros(5, 4),
    "all full": torch.ones(5, 4),
    "no two alike": torch.eye(4),
    "no rows": torch.zeros(0, 4),
}


@pytest.mark.parametrize("labels", DEGENERATE.values(), ids=DEGENERATE.keys())
@pytest.mark.parametrize("scale", [1.0, 200.0])
@pytest.mark.parametrize("loss", every_loss(), ids=lambda loss: loss.name)
def test_degenerate_batches_are_finite(
    loss: EmotionLoss, labels: torch.Tensor, scale: float
) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = scale * torch.randn(labels.shape, generator=generator)
    logits.requires_grad_()
    embedding = torch.randn(len(labels), 3, generator=generator)
    if len(labels):
        embedding[0] = 0
    embedding.requires_grad_()
    value = total(loss, logits, labels, embedding)
    assert torch.isfinite(value)
    value.backward()
    grads = [tensor.grad for tensor in (logits, embedding) if tensor.grad is not None]
    assert grads
    assert all(torch.isfinite(grad).all() for grad in grads)


@pytest.mark.parametrize("name", LOSSES)
def test_one_label(name: str) -> None:
    statistics = LabelStatistics.from_labels([[1], [0], [0]], ["joy"])
    logits = torch.tensor([[0.3], [-0.2]], requires_grad=True)
    embedding = torch.randn(2, 3, requires_grad=True)
    value = total(build_loss(name, statistics), logits, torch.tensor([[1], [1]]), embedding)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("loss", every_loss(), ids=lambda loss: loss.name)
def test_masked_rows_count_as_dropped(loss: EmotionLoss) -> None:
    mask = torch.tensor([True, True, False, True, True, False, True, True, False])
    results = []
    for masked in (True, False):
        tensors = batch()
        logits, embedding = tensors[0].requires_grad_(), tensors[2].requires_grad_()
        labels = tensors[1]
        if masked:
            components = loss(logits, labels, embedding, row_mask=mask)
        else:
            components = loss(logits[mask], labels[mask], embedding[mask])
        torch.stack(list(components.values())).sum().backward()
        leaf = embedding if loss.name == "contrastive" else logits
        results.append((components, leaf.grad))
    assert results[0][0] == results[1][0]
    assert torch.equal(results[0][1], results[1][1])
    assert (results[0][1][~mask] == 0).all()


@pytest.mark.parametrize("loss", every_loss(), ids=lambda loss: loss.name)
def test_no_row_left_costs_nothing(loss: EmotionLoss) -> None:
    logits, labels, embedding = batch(3)
    logits.requires_grad_()
    embedding.requires_grad_()
    value = total(loss, logits, labels, embedding, row_mask=torch.zeros(3, dtype=torch.bool))
    assert value.item() == 0.0
    value.backward()
    leaf = embedding if loss.name == "contrastive" else logits
    assert (leaf.grad == 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("loss", every_loss(), ids=lambda loss: loss.name)
def test_half_precision_is_computed_in_float32(loss: EmotionLoss, dtype: torch.dtype) -> None:
    logits, labels, embedding = (tensor.to(dtype) for tensor in batch())
    logits.requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = loss(logits, labels, embedding)
    single = loss(logits.float(), labels.float(), embedding.float())
    assert all(value.dtype == torch.float32 for value in half.values())
    assert half == single
    if loss.name != "contrastive":
        sum(half.values()).backward()
        assert logits.grad.dtype == dtype


@pytest.mark.parametrize("name", LOSSES)
def test_settings_rebuild_the_loss(name: str) -> None:
    options: dict[str, Any] = {
        "weighted_bce": {"class_weights": "inverse", "class_weight_cap": 3.0},
        "focal": {"gamma": 1.5, "alpha": None},
        "asymmetric": {"gamma_positive": 1.0, "margin": 0.1},
        "lca": {"alpha": 0.4},
        "hybrid": {"correlation_weight": 0.2, "correlation_prior": np.eye(4), "temperature": 0.3},
    }.get(name, {})
    loss = build_loss(name, STATISTICS, **options)
    settings = json.loads(json.dumps(loss.get_config_dict()))
    assert set(settings) == set(loss_options(name))
    again = build_loss(name, STATISTICS, **settings)
    assert again(*batch()) == loss(*batch())
    assert not list(loss.parameters())
    assert loss.state_dict() == {}
    if name not in ("bce", "weighted_bce"):
        assert loss.citation.startswith("@")


def test_unknown_names_and_options_list_the_known_ones() -> None:
    with pytest.raises(
        ValueError, match="known: bce, weighted_bce, focal, asymmetric, lca, hybrid"
    ):
        build_loss("hinge", STATISTICS)
    with pytest.raises(ValueError, match=r"option alpha .*'hybrid'; known: bce_weight"):
        build_loss("hybrid", STATISTICS, alpha=1.0)
    with pytest.raises(ValueError, match="it has no options"):
        build_loss("bce", STATISTICS, gamma=1.0)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("focal", {"gamma": -1.0}, "at least 0"),
        ("focal", {"alpha": 1.0}, "alpha"),
        ("asymmetric", {"gamma_negative": -1.0}, "at least 0"),
        ("asymmetric", {"margin": 1.0}, "margin"),
        ("lca", {"alpha": 2.0}, "alpha"),
        ("weighted_bce", {"class_weights": "balanced"}, "known: none"),
        ("hybrid", {"bce_weight": -1.0}, "bce_weight"),
        ("hybrid", {"contrastive_weight": float("nan")}, "contrastive_weight"),
        ("hybrid", {"temperature": 0.0}, "temperature"),
        (
            "hybrid",
            {"bce_weight": 0.0, "correlation_weight": 0.0, "contrastive_weight": 0.0},
            "weight above 0",
        ),
    ],
)
def test_bad_options_are_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_loss(name, STATISTICS, **options)


def test_bad_shapes_are_named() -> None:
    logits, labels, embedding = batch()
    loss = build_loss("hybrid", STATISTICS)
    with pytest.raises(ValueError, match=r"\(batch, 4\).*anger, joy, love, sadness"):
        loss(logits[:, :3], labels, embedding)
    with pytest.raises(ValueError, match="same shape"):
        loss(logits, labels[:3], embedding)
    with pytest.raises(ValueError, match="needs the model's `embedding`"):
        loss(logits, labels)
    with pytest.raises(ValueError, match="embedding must have shape"):
        loss(logits, labels, embedding[:4])
    with pytest.raises(ValueError, match="row_mask must have shape"):
        loss(logits, labels, embedding, row_mask=torch.ones(3, dtype=torch.bool))
