"""Which backend `auto` takes."""

from __future__ import annotations

from typing import Any

import pytest

from stacked_emotion.inference.backends.fastest import exact_enough, fastest


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
        (GOOD, {"avx512_bf16"}, {"torch"}, "torch bfloat16"),
        (GOOD, set(), {"onnxruntime"}, "onnx int8"),
        (GOOD, set(), {"torch"}, "torch float32"),
        (None, {"avx512_bf16"}, {"openvino", "onnxruntime"}, "torch float32"),
        ({"differences": {}}, {"avx512_bf16"}, {"onnxruntime", "torch"}, "torch float32"),
        (measured(onnx_int8=0.98), {"avx512_bf16"}, {"onnxruntime", "torch"}, "torch float32"),
        (measured(torch_bfloat16=0.99), {"avx512_bf16"}, {"torch"}, "torch float32"),
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
