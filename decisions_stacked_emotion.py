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
    logits: Tensor, thresholds: Sequence[float], scale: float = 1.0, min_labels: int = 1
) -> Tensor:
    """The k most likely labels, for the k of the highest expected Jaccard.

    Each label counts as likely as not at its threshold, see `expected_jaccard`. The empty set has
    the probability that the true set is empty, if the labels are independent.

    Args:
        logits: (B, L).
        thresholds: (L,) probabilities.
        scale: slope of the log-odds.
        min_labels: the smallest k, 1 or 0.

    Returns:
        (B, L) bool.
    """
    odds = log_odds(logits, thresholds, scale)
    ranked, order = odds.sort(dim=-1, descending=True, stable=True)
    sums = torch.sigmoid(ranked).cumsum(-1)
    counts = torch.arange(1, sums.shape[-1] + 1, device=sums.device)
    expected = sums / (counts + sums[:, -1:] - sums)
    # the first of those that are equal but for rounding, which differs between libraries
    near = expected >= expected.amax(-1, keepdim=True) * (1 - 1e-12)
    best = near.int().argmax(-1, keepdim=True)
    chosen = torch.arange(sums.shape[-1], device=sums.device) <= best
    given = torch.zeros_like(chosen).scatter(-1, order, chosen)
    if min_labels == 0:
        none = (1 - torch.sigmoid(logits.double())).prod(-1)
        given &= (none <= expected_jaccard(odds, given) * (1 + 1e-12)).unsqueeze(-1)
    return given


def expected_jaccard(odds: Tensor, given: Tensor) -> Tensor:
    """Expected Jaccard of the labels given with the true set.

    It is taken as the expected intersection over the expected union; for no label, it is the
    probability of the empty set.

    Args:
        odds: (B, L) log-odds of the labels.
        given: (B, L) bool.

    Returns:
        (B,) float64 in [0, 1].
    """
    chances = torch.sigmoid(odds)
    inside, outside = ((chances * part).sum(-1) for part in (given, ~given))
    expected = inside / (given.sum(-1) + outside)
    return torch.where(given.any(-1), expected, (1 - chances).prod(-1))


def uncertainty(
    logits: Tensor, thresholds: Sequence[float], given: Tensor, scale: float = 1.0
) -> Tensor:
    """1 minus the `expected_jaccard` of the labels given: (B, L) logits and bool to (B,)."""
    return 1 - expected_jaccard(log_odds(logits, thresholds, scale), given)


def log_odds(logits: Tensor, thresholds: Sequence[float], scale: float = 1.0) -> Tensor:
    """(B, L) float64: 0 at the thresholds.

    Only exact operations decide the order of labels: a vectorized sigmoid or logarithm may round
    the same number differently at another place of a tensor.
    """
    limits = [min(max(limit, 1e-6), 1 - 1e-6) for limit in thresholds]
    odds = torch.tensor([log(limit) - log1p(-limit) for limit in limits], dtype=torch.float64)
    return scale * (logits.double() - odds.to(logits.device))


def decide(
    logits: Tensor,
    thresholds: Sequence[float],
    rule: str = "threshold",
    scale: float = 1.0,
    has_words: Tensor | None = None,
    min_labels: int = 1,
    limit: float | None = None,
) -> Tensor:
    """The labels given to each text.

    Args:
        logits: (B, L).
        thresholds: (L,) probabilities.
        rule: "threshold" or "expected_jaccard", see `StackedEmotionConfig.decision`.
        scale: slope of the log-odds in "expected_jaccard".
        has_words: (B,) bool; a text without any word gets no label. None: every text has one.
        min_labels: the fewest labels of a text in "expected_jaccard", 1 or 0.
        limit: a text gets no label if 1 minus its `expected_jaccard` is higher; None for no limit.

    Returns:
        (B, L) bool.

    Example:
        >>> decide(torch.tensor([[2.0, -1.0, 0.1]]), [0.5, 0.5, 0.7]).tolist()
        [[True, False, False]]
        >>> decide(torch.tensor([[-1.0, -3.0, -4.0]]), [0.5] * 3, "expected_jaccard").tolist()
        [[True, False, False]]
    """
    if rule == "threshold":
        scale = 1.0
        given = decide_by_thresholds(logits, thresholds)
    else:
        given = decide_by_expected_jaccard(logits, thresholds, scale, min_labels)
    if limit is not None:
        sure = uncertainty(logits, thresholds, given, scale) <= limit
        given &= sure.unsqueeze(-1)
    if has_words is None:
        return given
    return given & torch.as_tensor(has_words, device=given.device).bool().unsqueeze(-1)
