"""The sigmoid, log-odds, batches by length, and text that is safe on a terminal."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stacked_emotion.common.batching import batches_by_length
from stacked_emotion.common.numerics import logit, sigmoid
from stacked_emotion.common.terminal import json_line, printable


def test_sigmoid_is_torchs_and_never_overflows() -> None:
    values = np.concatenate([np.linspace(-800, 800, 4001), [np.inf, -np.inf]])
    with np.errstate(all="raise", under="ignore"):
        found = sigmoid(values)
    expected = torch.sigmoid(torch.from_numpy(values)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=1e-300)
    assert sigmoid(np.float32(0.3)).dtype == np.float64


def test_logit_is_the_inverse_within_its_bounds() -> None:
    values = np.linspace(-10, 10, 101)
    np.testing.assert_allclose(logit(sigmoid(values), 1e-9), values, rtol=1e-9, atol=1e-9)
    assert logit([0.0, 1.0], 1e-6) == pytest.approx([-13.8155, 13.8155], abs=1e-3)


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


@given(st.text(st.characters(), max_size=30))
def test_no_control_character_reaches_a_terminal(text: str) -> None:
    unsafe = {"\x1b", "\x9b", "\x07", "\r", "\n", "\u202e", "\u2066", "\u200f", "\u2028"}
    hostile = f"{text}\x1b[31m\x9b\r\u202e\u2066\ud83d"
    shown = printable(hostile)
    assert not unsafe & set(shown)
    shown.encode("utf-8")
    assert printable("حب 😍 plain") == "حب 😍 plain"
    line = json_line({"text": hostile})
    assert not unsafe & set(line)
    line.encode("utf-8")
    assert json.loads(line) == {"text": hostile}
