"""Logits by OpenVINO, from the exported float32 graph."""

from __future__ import annotations

from threading import local
from typing import Any

import numpy as np

from ...alignment_stacked_emotion import INPUTS
from ...common.errors import UserError
from ..model_files import ModelFiles
from .onnx import ONNX_DTYPES, available_cores, exported

OPENVINO_DTYPES = ("float32", "bfloat16", "int8")
_SMALLEST = 1 << 14
_GROUP = 128  # 0, 128 and 768 were tried: 16, 27 and 23 texts/s a core


def export_for(files: ModelFiles, backend: str, dtype: str) -> tuple[dict[str, Any], str]:
    """The report of the export that a backend needs, and which graph it reads; torch is not needed.

    Raises:
        ModelError: there is no usable export.
        UserError: a dtype the backend does not have.
    """
    kinds = ONNX_DTYPES if backend == "onnx" else OPENVINO_DTYPES
    if dtype not in (*kinds, "auto"):
        raise UserError(f"dtype={dtype!r} is not one of {backend}'s; there are {kinds}.")
    kind = "int8" if (backend, dtype) == ("onnx", "int8") else "float32"
    return exported(files, kind), kind


class OpenVinoRunner:
    """Logits by OpenVINO on the CPU.

    Args:
        path: the float32 graph.
        dtype: "float32", "bfloat16", or "int8": the encoders' linear layers in int8, with one scale
            per output channel for the weights, and one for 128 values of one sub-word for the
            activations; everything else in bfloat16 where the processor has it.
        threads: threads in all; None for one per core.
        workers: batches at a time, which share the threads.

    Raises:
        UserError: OpenVINO is not installed.
    """

    backend = "openvino"
    device = "cpu"
    batch_tokens = 1024

    def __init__(self, path: str, dtype: str, threads: int | None = None, workers: int = 1) -> None:
        try:
            import openvino
        except ImportError as error:
            raise UserError(
                "backend 'openvino' needs OpenVINO: pip install 'stacked_emotion[openvino]'."
            ) from error
        core = openvino.Core()
        graph = core.read_model(path)
        if dtype == "int8":
            compress_weights(graph)
        native = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        half = dtype != "float32" and native
        self.dtype = dtype if native or dtype != "bfloat16" else "float32"
        self.workers = workers
        self.compiled = core.compile_model(
            graph,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": "bf16" if half else "f32",
                "INFERENCE_NUM_THREADS": threads or available_cores(),
                "NUM_STREAMS": workers,
                "DYNAMIC_QUANTIZATION_GROUP_SIZE": _GROUP if dtype == "int8" else 0,
                "ENABLE_CPU_PINNING": False,
            },
        )
        self._requests = local()

    def __call__(self, batch: dict[str, np.ndarray]) -> np.ndarray:
        """(texts, sequence, encoders) arrays to (texts, labels) float32 logits."""
        return self.infer(["logits"], {name: batch[name] for name in INPUTS})[0]

    def infer(self, outputs: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Outputs of the graph by name, float32, for its inputs by name."""
        request = getattr(self._requests, "request", None)
        if request is None:
            request = self._requests.request = self.compiled.create_infer_request()
        inputs = {name: np.ascontiguousarray(values) for name, values in inputs.items()}
        found = request.infer(inputs)
        return [np.array(found[name], np.float32) for name in outputs]


def compress_weights(graph: Any) -> int:
    """Put the encoders' linear layers of an `openvino.Model` into int8, in place, and count them.

    A layer's weight w becomes round(w / s) with s = max |w| / 127 over its output channel.
    """
    from openvino import opset13 as ops

    changed = 0
    for node in graph.get_ordered_ops():
        if node.get_type_name() != "MatMul" or "encoder_" not in node.get_friendly_name():
            continue
        constant = node.input_value(1).get_node()
        if constant.get_type_name() != "Constant":
            continue
        weights = constant.get_data()
        if weights.ndim != 2 or weights.size < _SMALLEST:
            continue
        attributes = node.get_attributes()
        if not attributes["transpose_b"]:
            weights = weights.T
        scales = np.maximum(np.abs(weights).max(1, keepdims=True), 1e-12) / 127
        whole = np.ascontiguousarray(np.rint(weights / scales).astype(np.int8))
        scaled = ops.multiply(
            ops.convert(ops.constant(whole), "f32"), ops.constant(scales.astype(np.float32))
        )
        new = ops.matmul(node.input_value(0), scaled, attributes["transpose_a"], True)
        node.output(0).replace(new.output(0))
        changed += 1
    return changed
