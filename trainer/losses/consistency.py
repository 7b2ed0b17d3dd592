"""How far apart two passes over the same texts are, when dropout differs."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import at_least_float32, mean_or_zero


def dropout_consistency(first: Tensor, second: Tensor) -> Tensor:
    """Half the symmetric Kullback-Leibler divergence of two passes, one Bernoulli per label.

    R-Drop (Liang et al. 2021, NeurIPS), for sigmoids: with (batch, labels) logits z, z' and
    p = σ(z), p' = σ(z'), KL(p‖p') + KL(p'‖p) = (p − p')(z − z'). It is at least 0, and 0 only where
    the passes agree.

    Returns:
        Mean over rows and labels, a float32 scalar (float64 stays); 0 for no rows.

    Raises:
        ValueError: the two passes have different shapes.
    """
    if first.shape != second.shape:
        raise ValueError(
            f"The two passes have shapes {tuple(first.shape)} and {tuple(second.shape)}; they must "
            "be of the same texts and labels."
        )
    first, second = at_least_float32(first), at_least_float32(second)
    divergence = (torch.sigmoid(first) - torch.sigmoid(second)) * (first - second)
    return mean_or_zero(divergence) / 2
