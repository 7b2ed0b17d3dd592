"""Batches of rows of similar length, so that little is padded."""

from __future__ import annotations

import numpy as np


def batches_by_length(
    lengths: np.ndarray,
    positions: int | None = None,
    size: int | None = None,
    longest_first: bool = False,
) -> list[np.ndarray]:
    """Row numbers sorted by length and cut into batches.

    Args:
        lengths: (rows,) positions of each row.
        positions: most positions of a batch, padding included. A longer row is a batch by itself.
        size: most rows of a batch.
        longest_first: start with the longest rows; the default starts with the shortest.

    Returns:
        One int array per batch; every row is in exactly one.

    Example:
        >>> [batch.tolist() for batch in batches_by_length(np.array([5, 1, 9, 2]), positions=10)]
        [[1, 3], [0], [2]]
    """
    lengths = np.asarray(lengths)
    order = np.argsort(-lengths if longest_first else lengths, kind="stable")
    batches, start = [], 0
    for place, length in enumerate(lengths[order].tolist()):
        count = place + 1 - start
        longest = lengths[order[start]] if longest_first else length
        too_long = positions is not None and longest * count > positions
        if count > 1 and (too_long or (size is not None and count > size)):
            batches.append(order[start:place])
            start = place
    return [*batches, order[start:]] if len(order) else []
