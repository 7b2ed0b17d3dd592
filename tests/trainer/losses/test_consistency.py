"""Agreement of two passes."""

from __future__ import annotations

import pytest
import torch

from stacked_emotion.trainer.losses.consistency import dropout_consistency


def test_equals_half_the_symmetric_divergence_of_bernoullis() -> None:
    first, second = torch.randn(6, 4).double(), torch.randn(6, 4).double()
    p, q = (torch.distributions.Bernoulli(logits=logits) for logits in (first, second))
    kl = torch.distributions.kl_divergence
    expected = (kl(p, q) + kl(q, p)).mean() / 2
    assert dropout_consistency(first, second).item() == pytest.approx(expected.item(), rel=1e-9)


def test_is_zero_where_the_passes_agree_and_symmetric() -> None:
    first, second = torch.randn(3, 2), torch.randn(3, 2)
    assert dropout_consistency(first, first).item() == 0.0
    assert torch.equal(dropout_consistency(first, second), dropout_consistency(second, first))
    assert dropout_consistency(first, second).item() > 0


def test_pulls_the_passes_together_and_stays_finite() -> None:
    first = torch.tensor([[400.0, -1.0]], requires_grad=True)
    second = torch.tensor([[-400.0, 1.0]])
    dropout_consistency(first, second).backward()
    assert torch.isfinite(first.grad).all()
    assert first.grad[0, 0] > 0 > first.grad[0, 1]


def test_no_rows_cost_nothing_and_other_shapes_are_refused() -> None:
    empty = torch.zeros(0, 3, requires_grad=True)
    dropout_consistency(empty, torch.zeros(0, 3)).backward()
    assert empty.grad is not None
    with pytest.raises(ValueError, match="same texts and labels"):
        dropout_consistency(torch.zeros(2, 3), torch.zeros(1, 3))


def test_half_precision_is_computed_in_float32() -> None:
    value = dropout_consistency(torch.ones(2, 2, dtype=torch.bfloat16), torch.zeros(2, 2))
    assert value.dtype == torch.float32
