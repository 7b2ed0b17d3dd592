"""The sigmoid and its inverse."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stacked_emotion.common.numerics import logit, sigmoid


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
