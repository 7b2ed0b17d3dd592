"""The student's loss against an independent computation, and what it reads of each row."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from stacked_emotion.data.label_statistics import LabelStatistics
from stacked_emotion.trainer.losses.distillation import DistillationLoss

STATISTICS = LabelStatistics.from_labels(
    (np.random.default_rng(0).random((60, 3)) < [0.1, 0.3, 0.5]).astype(int), ("a", "b", "c")
)


def batch(rows: int = 6) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    logits = 2 * torch.randn(rows, 3, generator=generator, dtype=torch.float64)
    labels = (torch.rand(rows, 3, generator=generator) < 0.4).double()
    return logits, labels, 2 * torch.randn(rows, 3, generator=generator, dtype=torch.float64)


def total(loss: DistillationLoss, *inputs: torch.Tensor, **options: torch.Tensor) -> torch.Tensor:
    return torch.stack(list(loss(*inputs, **options).values())).sum()


def row_cost(z: list[float], y: list[float] | None, t: list[float] | None, s: float, T: float):
    """One row by the formula of the docstring, in plain Python."""
    weights = STATISTICS.pos_weight("sqrt_inverse")
    hard = soft = 0.0
    for label in range(3):
        if y is not None:
            p = 1 / (1 + math.exp(-(z[label] + math.log(weights[label]))))
            hard -= weights[label] * y[label] * math.log(p) + (1 - y[label]) * math.log(1 - p)
        if t is not None:
            p, q = 1 / (1 + math.exp(-z[label] / T)), 1 / (1 + math.exp(-t[label] / T))
            soft -= q * math.log(p) + (1 - q) * math.log(1 - p)
    hard, soft = hard / 3, T * T * soft / 3
    if y is None:
        return soft
    return hard if t is None else s * soft + (1 - s) * hard


def test_the_formula_by_rows() -> None:
    logits, labels, teacher = batch()
    labeled = torch.tensor([True, True, True, False, False, True])
    teacher[2] = math.nan
    labels[3:5] = math.nan
    loss = DistillationLoss(STATISTICS, soft_weight=0.3, temperature=2.0)
    expected = np.mean(
        [
            row_cost(
                logits[row].tolist(),
                labels[row].tolist() if labeled[row] else None,
                None if row == 2 else teacher[row].tolist(),
                0.3,
                2.0,
            )
            for row in range(6)
        ]
    )
    found = total(loss, logits, labels, teacher_logits=teacher, labeled=labeled)
    assert float(found) == pytest.approx(expected, rel=1e-6)


def test_without_a_teacher_it_is_the_weighted_loss() -> None:
    logits, labels, teacher = batch()
    weight = torch.tensor(STATISTICS.pos_weight("sqrt_inverse"))
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        logits + torch.log(weight), labels, pos_weight=weight
    )
    alone = DistillationLoss(STATISTICS, soft_weight=0.0)
    for options in ({}, {"teacher_logits": teacher}):
        parts = alone(logits, labels, **options)
        assert set(parts) == {"hard"}
        torch.testing.assert_close(parts["hard"], expected, rtol=1e-6, atol=0)
    unscored = torch.full_like(teacher, math.nan)
    torch.testing.assert_close(
        total(DistillationLoss(STATISTICS), logits, labels, teacher_logits=unscored),
        expected, rtol=1e-6, atol=0,
    )  # fmt: skip


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_the_minimum_is_at_the_teacher(temperature: float) -> None:
    _, labels, teacher = batch()
    loss = DistillationLoss(STATISTICS, soft_weight=1.0, temperature=temperature)
    logits = teacher.clone().requires_grad_(True)
    total(loss, logits, labels, teacher_logits=teacher).backward()
    assert logits.grad is not None
    assert float(logits.grad.abs().max()) < 1e-12
    further = total(loss, teacher + 0.1, labels, teacher_logits=teacher)
    assert further > total(loss, teacher, labels, teacher_logits=teacher)


def test_the_gradient_keeps_its_size() -> None:
    logits, labels, teacher = batch()
    logits, teacher, sizes = logits / 200, teacher / 200, []
    for temperature in (1.0, 3.0):
        leaf = logits.clone().requires_grad_(True)
        loss = DistillationLoss(STATISTICS, soft_weight=1.0, temperature=temperature)
        total(loss, leaf, labels, teacher_logits=teacher).backward()
        assert leaf.grad is not None
        sizes.append(leaf.grad)
    torch.testing.assert_close(sizes[0], sizes[1], rtol=1e-3, atol=1e-7)


def test_rows_that_fill_the_batch_do_not_count() -> None:
    logits, labels, teacher = batch()
    loss = DistillationLoss(STATISTICS)
    mask = torch.tensor([True, True, True, True, False, False])
    labeled = torch.tensor([True, False, True, True, True, True])
    masked = total(loss, logits, labels, row_mask=mask, teacher_logits=teacher, labeled=labeled)
    short = total(loss, logits[:4], labels[:4], teacher_logits=teacher[:4], labeled=labeled[:4])
    torch.testing.assert_close(masked, short)
    leaf = logits.clone().requires_grad_(True)
    nothing = total(loss, leaf, labels, row_mask=torch.zeros(6, dtype=torch.bool),
                    teacher_logits=teacher)  # fmt: skip
    nothing.backward()
    assert float(nothing) == 0.0
    assert leaf.grad is not None
    assert not leaf.grad.any()


def test_under_autocast_it_computes_in_float32() -> None:
    logits, labels, teacher = (part.float() for part in batch())
    loss = DistillationLoss(STATISTICS)
    expected = total(loss, logits.bfloat16().float(), labels, teacher_logits=teacher)
    with torch.autocast("cpu", torch.bfloat16):
        found = total(loss, logits.bfloat16(), labels, teacher_logits=teacher)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)


def test_settings_rebuild_it_and_mistakes_are_told() -> None:
    loss = DistillationLoss(STATISTICS, soft_weight=0.7, temperature=3.0, class_weights="none")
    again = DistillationLoss(STATISTICS, **loss.get_config_dict())
    assert again.get_config_dict() == loss.get_config_dict()
    logits, labels, teacher = batch()
    with pytest.raises(ValueError, match="soft_weight"):
        DistillationLoss(STATISTICS, soft_weight=1.5)
    with pytest.raises(ValueError, match="temperature"):
        DistillationLoss(STATISTICS, temperature=0.0)
    with pytest.raises(ValueError, match="teacher_logits"):
        loss(logits, labels, teacher_logits=teacher[:3])
    with pytest.raises(ValueError, match="labeled"):
        loss(logits, labels, labeled=torch.ones(2, dtype=torch.bool))
