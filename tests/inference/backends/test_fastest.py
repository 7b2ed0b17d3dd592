"""Which backend `auto` takes, and the numpy decisions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from stacked_emotion.decisions_stacked_emotion import (
    decide_by_expected_jaccard,
    decide_by_thresholds,
)
from stacked_emotion.inference.backends.fastest import exact_enough, fastest
from stacked_emotion.inference.decisions import Decision, sigmoid


def measured(**agreements: float) -> dict[str, Any]:
    return {
        "differences": {
            name.replace("_", " "): {"label_agreement": value, "jaccard_difference": 0.001}
            for name, value in agreements.items()
        }
    }


GOOD = measured(onnx_int8=0.99, openvino_int8=0.99, openvino_bfloat16=0.999, torch_bfloat16=0.999)


@pytest.mark.parametrize(
    ("report", "flags", "installed", "taken"),
    [
        (GOOD, {"amx_tile", "avx512_bf16"}, {"openvino", "onnxruntime"}, "openvino bfloat16"),
        (GOOD, {"amx_tile"}, {"onnxruntime"}, "onnx int8"),
        (GOOD, {"avx512_bf16"}, {"openvino", "onnxruntime"}, "onnx int8"),
        (GOOD, {"avx512_bf16"}, {"openvino"}, "openvino int8"),
        (GOOD, {"avx512_bf16"}, set(), "torch bfloat16"),
        (GOOD, set(), {"onnxruntime"}, "onnx int8"),
        (GOOD, set(), set(), "torch float32"),
        (None, {"avx512_bf16"}, {"openvino", "onnxruntime"}, "torch bfloat16"),
        (measured(onnx_int8=0.98), {"avx512_bf16"}, {"onnxruntime"}, "torch bfloat16"),
        (measured(torch_bfloat16=0.99), {"avx512_bf16"}, set(), "torch float32"),
        (measured(onnx_float32=1.0), set(), {"onnxruntime"}, "onnx float32"),
    ],
)
def test_fastest_that_is_installed_and_exact_enough(
    report: dict[str, Any] | None, flags: set[str], installed: set[str], taken: str
) -> None:
    assert fastest(report, lambda: flags, installed.__contains__) == taken


def test_int8_needs_labeled_texts_and_their_jaccard() -> None:
    report = measured(onnx_int8=0.99)
    found = report["differences"]["onnx int8"]
    assert exact_enough(report, "onnx int8")
    found["jaccard_difference"] = -0.006
    assert not exact_enough(report, "onnx int8")
    del found["jaccard_difference"]
    assert not exact_enough(report, "onnx int8")
    assert not exact_enough(None, "onnx int8")


@pytest.mark.parametrize("rule", ["threshold", "expected_jaccard"])
def test_decisions_are_the_models(rule: str) -> None:
    torch.manual_seed(0)
    logits = 4 * torch.randn(500, 7, dtype=torch.float64)
    logits[:3] = torch.tensor([60.0, -60.0, 0.0])[:, None]
    thresholds = [0.5, 0.3, 0.9, 0.01, 0.99, 0.5, 0.4]
    scores = torch.sigmoid(logits)
    found = Decision([*"abcdefg"], thresholds, rule, 0.8)(scores.numpy())
    if rule == "threshold":
        expected = decide_by_thresholds(torch.logit(scores, eps=1e-9), thresholds)
    else:
        expected = decide_by_expected_jaccard(torch.logit(scores, eps=1e-9), thresholds, 0.8)
    np.testing.assert_array_equal(found, expected.numpy())
    np.testing.assert_allclose(sigmoid(logits.numpy()), scores.numpy(), atol=1e-15)
