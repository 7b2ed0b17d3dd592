"""From logits to the labels given to each text.

Sizes: B texts, L labels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def decide_by_thresholds(logits: Tensor, thresholds: Sequence[float]) -> Tensor:
    """Every label at or above its threshold.

    Args:
        logits: (B, L).
        thresholds: (L,) probabilities.

    Returns:
        (B, L) bool.
    """
    logits = logits.double()
    limits = torch.tensor(thresholds, device=logits.device, dtype=logits.dtype)
    return torch.sigmoid(logits) >= limits


def decide_by_expected_jaccard(
    logits: Tensor, thresholds: Sequence[float], scale: float = 1.0
) -> Tensor:
    """The k most likely labels, for the k >= 1 of the highest expected Jaccard.

    The expected Jaccard of the k most likely labels is taken as their expected intersection with
    the true set over the expected union, each label counting as likely as not at its threshold.

    Args:
        logits: (B, L).
        thresholds: (L,) probabilities.
        scale: slope of the log-odds.

    Returns:
        (B, L) bool, at least one label a text.
    """
    logits = logits.double()
    limits = torch.tensor(thresholds, device=logits.device, dtype=logits.dtype)
    shifted = logits - torch.logit(limits.clamp(1e-6, 1 - 1e-6))
    likely = torch.sigmoid(scale * shifted)
    ranked, order = likely.sort(dim=-1, descending=True, stable=True)
    sums = ranked.cumsum(-1)
    counts = torch.arange(1, sums.shape[-1] + 1, device=sums.device)
    best = (sums / (counts + sums[:, -1:] - sums)).argmax(-1, keepdim=True)
    chosen = torch.arange(sums.shape[-1], device=sums.device) <= best
    return torch.zeros_like(chosen).scatter(-1, order, chosen)
