"""From logits to the labels given to each text.

Sizes: B texts, L labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log, log1p

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
        (B, L) bool, at least one label per text.
    """
    # Only exact operations decide the order: a vectorized sigmoid or logarithm may round the same
    # number differently at another place of a tensor.
    limits = [min(max(limit, 1e-6), 1 - 1e-6) for limit in thresholds]
    odds = torch.tensor([log(limit) - log1p(-limit) for limit in limits], dtype=torch.float64)
    shifted = scale * (logits.double() - odds.to(logits.device))
    ranked, order = shifted.sort(dim=-1, descending=True, stable=True)
    sums = torch.sigmoid(ranked).cumsum(-1)
    counts = torch.arange(1, sums.shape[-1] + 1, device=sums.device)
    expected = sums / (counts + sums[:, -1:] - sums)
    # the first of those that are equal but for rounding, which differs between libraries
    near = expected >= expected.amax(-1, keepdim=True) * (1 - 1e-12)
    best = near.int().argmax(-1, keepdim=True)
    chosen = torch.arange(sums.shape[-1], device=sums.device) <= best
    return torch.zeros_like(chosen).scatter(-1, order, chosen)


def decide(
    logits: Tensor,
    thresholds: Sequence[float],
    rule: str = "threshold",
    scale: float = 1.0,
    has_words: Tensor | None = None,
) -> Tensor:
    """The labels given to each text.

    Args:
        logits: (B, L).
        thresholds: (L,) probabilities.
        rule: "threshold" or "expected_jaccard", see `StackedEmotionConfig.decision`.
        scale: slope of the log-odds in "expected_jaccard".
        has_words: (B,) bool; a text without any word gets no label. None: every text has one.

    Returns:
        (B, L) bool.

    Example:
        >>> decide(torch.tensor([[2.0, -1.0, 0.1]]), [0.5, 0.5, 0.7]).tolist()
        [[True, False, False]]
        >>> decide(torch.tensor([[-1.0, -3.0, -4.0]]), [0.5] * 3, "expected_jaccard").tolist()
        [[True, False, False]]
    """
    if rule == "threshold":
        given = decide_by_thresholds(logits, thresholds)
    else:
        given = decide_by_expected_jaccard(logits, thresholds, scale)
    if has_words is None:
        return given
    return given & torch.as_tensor(has_words, device=given.device).bool().unsqueeze(-1)
