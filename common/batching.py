"""Batches of rows of similar length, so that little is padded."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys

import numpy as np

_M_MMAP_THRESHOLD = -3  # of mallopt, in malloc.h
_LARGE = 128 << 10


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


def return_large_blocks() -> None:
    """Let glibc give blocks of 128 KiB and more back to the system as soon as they are freed.

    Every batch has another length, so its tensors have other sizes. By default glibc keeps freed
    blocks of up to 32 MiB, and those that fit no later tensor pile up. Results are the same. Where
    the user has set the threshold, or the C library is another one, nothing changes.
    """
    if sys.platform == "linux" and "MALLOC_MMAP_THRESHOLD_" not in os.environ:
        with contextlib.suppress(AttributeError, OSError):  # musl has no mallopt
            ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)
