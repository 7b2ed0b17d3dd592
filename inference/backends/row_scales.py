"""Activations of an int8 graph quantized row by row, so that no text changes another's scores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def quantize_by_row(path: Path) -> None:
    """Replace the scale of a whole batch by one for each row, in a graph of `quantize_dynamic`.

    A row is what a linear layer reads of one sub-word. With x = low + scale * q of a row, q in
    0..255, x @ W = scale * (q @ W) + low * (the sums of W's columns). ONNX Runtime multiplies
    integers with one zero point only, so the second part is added in float32.

    Args:
        path: of the graph; its weights, which are external data, stay as they are.
    """
    import onnx

    model = onnx.load(path, load_external_data=False)
    graph = model.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    maker = {output: node for node in graph.node for output in node.output}
    user = {name: node for node in graph.node for name in node.input}
    new = {
        "last_axis": np.array([-1]),
        "unit_step": np.array(1 / 255, np.float32),
        "least_step": np.array(1e-12, np.float32),
    }
    lows: dict[str, str] = {}
    added: dict[str, list[Any]] = {}
    nodes: list[Any] = []
    for node in graph.node:
        if node.op_type == "DynamicQuantizeLinear":
            quantized, scale, zero = node.output
            lows[quantized], new[zero] = f"{quantized}_low", np.array(0, np.uint8)
            nodes += _quantization(node.input[0], quantized, scale)
            continue
        nodes.append(node)
        if node.op_type == "MatMulInteger":
            cast = user[node.output[0]]
            scaled = user[cast.output[0]]
            scales = maker[next(name for name in scaled.input if name != cast.output[0])]
            names = (node.input[1], next(name for name in scales.input if name in tensors))
            weights, steps = (
                onnx.numpy_helper.to_array(tensors[name], str(path.parent)) for name in names
            )
            output = scaled.output[0]
            new[f"{output}_sums"] = weights.sum(0, np.int64).astype(np.float32) * steps
            added[output] = [
                _node(f"{output}_low", "Mul", lows[node.input[0]], f"{output}_sums"),
                _node(output, "Add", f"{output}_high", f"{output}_low"),
            ]
        elif node.output[0] in added:
            nodes += added[node.output[0]]
            node.output[0] += "_high"
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(
        onnx.numpy_helper.from_array(values, name) for name, values in new.items()
    )
    onnx.save_model(model, path)


def _quantization(values: str, quantized: str, scale: str) -> list[Any]:
    """Nodes from values (…, width) to uint8 of that shape, their lows and scales (…, 1)."""
    import onnx

    low, high, span, step, above, steps, whole = (
        f"{quantized}_{name}" for name in ("low", "high", "span", "step", "above", "steps", "whole")
    )
    return [
        _node(low, "ReduceMin", values, "last_axis", keepdims=1),
        _node(high, "ReduceMax", values, "last_axis", keepdims=1),
        _node(span, "Sub", high, low),
        _node(step, "Mul", span, "unit_step"),
        _node(scale, "Max", step, "least_step"),
        _node(above, "Sub", values, low),
        _node(steps, "Div", above, scale),
        _node(whole, "Round", steps),
        _node(quantized, "Cast", whole, to=onnx.TensorProto.UINT8),
    ]


def _node(output: str, kind: str, *inputs: str, **attributes: int) -> Any:
    import onnx

    return onnx.helper.make_node(kind, inputs, [output], **attributes)
