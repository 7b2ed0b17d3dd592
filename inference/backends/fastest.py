"""Which backend is the fastest that is installed and exact enough."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

MIN_LABEL_AGREEMENT = {"float32": 1.0, "bfloat16": 0.995, "int8": 0.985}
MAX_JACCARD_DIFFERENCE = 0.005
_MODULES = {"torch": "torch", "onnx": "onnxruntime", "openvino": "openvino"}

# Fastest first, measured as docs/performance.md says. ONNX Runtime's int8 comes before OpenVINO's,
# which is up to 1.3 times as fast, because its scores do not depend on the batch.
_WITH_TILES = ["openvino bfloat16", "openvino int8", "onnx int8", "torch bfloat16"]
_WITH_BFLOAT16 = ["onnx int8", "openvino int8", "openvino bfloat16", "torch bfloat16"]
_WITHOUT = ["onnx int8", "onnx float32", "openvino float32"]


def exact_enough(report: Mapping[str, Any] | None, backend: str) -> bool:
    """Whether the export measured a backend, such as "onnx int8", and found it exact enough.

    bfloat16 has to give 99.5 % of the label cells as float32 does; int8 98.5 %, and a Jaccard
    within 0.005, so it has to be measured on labeled texts.
    """
    found = ((report or {}).get("differences") or {}).get(backend)
    if found is None or "label_agreement" not in found:
        return False
    dtype = backend.split()[1]
    if found["label_agreement"] < MIN_LABEL_AGREEMENT[dtype]:
        return False
    difference = found.get("jaccard_difference")
    if dtype == "int8" and difference is None:
        return False
    return difference is None or abs(difference) <= MAX_JACCARD_DIFFERENCE


def fastest(
    report: Mapping[str, Any] | None,
    flags: Callable[[], set[str]] | None = None,
    installed: Callable[[str], bool] | None = None,
) -> str:
    """The backend and dtype to take on a CPU, such as "openvino bfloat16".

    "torch float32" unless the report of an export measured a faster one to be exact enough. The
    processor's abilities ("amx_tile", "avx512_bf16") and what is installed come from the system by
    default.
    """
    abilities = (flags or processor_flags)()
    there = installed or (lambda module: find_spec(module) is not None)
    if "amx_tile" in abilities:
        order = _WITH_TILES
    else:
        order = _WITH_BFLOAT16 if "avx512_bf16" in abilities else _WITHOUT
    for candidate in order:
        backend = candidate.split()[0]
        if there(_MODULES[backend]) and exact_enough(report, candidate):
            return candidate
    return "torch float32"


def processor_flags() -> set[str]:
    """`amx_tile` and `avx512_bf16`, where the processor has them; torch is asked if it is there."""
    if find_spec("torch") is not None:
        import torch

        found = {
            "avx512_bf16": getattr(torch.cpu, "_is_avx512_bf16_supported", bool)(),
            "amx_tile": getattr(torch.cpu, "_is_amx_tile_supported", bool)(),
        }
        return {name for name, has in found.items() if has}
    info = Path("/proc/cpuinfo")
    words = set(info.read_text(encoding="utf-8").split()) if info.is_file() else set()
    return words & {"amx_tile", "avx512_bf16"}
