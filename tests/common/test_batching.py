"""Batches by length: every row once, as full as allowed."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stacked_emotion.common.batching import batches_by_length


@given(
    st.lists(st.integers(1, 60), max_size=80),
    st.one_of(st.none(), st.integers(1, 200)),
    st.one_of(st.none(), st.integers(1, 9)),
    st.booleans(),
)
def test_every_row_is_in_one_batch_that_is_as_full_as_allowed(
    lengths: list[int], positions: int | None, size: int | None, longest_first: bool
) -> None:
    rows = np.array(lengths, int)
    batches = batches_by_length(rows, positions, size, longest_first)
    order = np.concatenate([*batches, np.zeros(0, int)]).tolist()
    assert order == sorted(
        range(len(rows)), key=lambda row: -rows[row] if longest_first else rows[row]
    )

    def allowed(batch: np.ndarray) -> bool:
        fits = positions is None or rows[batch].max() * len(batch) <= positions
        return len(batch) == 1 or (fits and (size is None or len(batch) <= size))

    assert all(allowed(batch) for batch in batches)
    for batch, following in itertools.pairwise(batches):
        assert not allowed(np.append(batch, following[0]))
