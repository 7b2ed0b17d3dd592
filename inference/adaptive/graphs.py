"""The stack's encoders as ONNX graphs of their own, cut out of the graph of the whole stack.

The parts lie beside the whole graph and share its weights, which are a file of external data. So
they give exactly what the whole graph computes on the way, in int8 as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...alignment_stacked_emotion import INPUTS
from ..model_files import CONFIG, ModelError, ModelFiles, export_command

TOP = "top"


def words_of(place: int) -> str:
    """The name, in every graph, of the word vectors of the encoder at this place."""
    return f"words_{place}"


def logits_of(place: int) -> str:
    """The name, in every graph, of the logits of the encoder at this place."""
    return f"logits_{place}"


def stages_of(dtype: str) -> str:
    """The key of the parts' files in the report of an export."""
    return f"{dtype} stages"


class GraphStages:
    """Runs the parts of an exported stack; see `stack.StagedRunner`.

    Args:
        files: of the model.
        report: of the export.
        dtype: of the graphs.
        load: makes a runner of a graph's path.

    Raises:
        ModelError: the parts were not exported, or are not those that were.
    """

    def __init__(
        self,
        files: ModelFiles,
        report: Mapping[str, Any],
        dtype: str,
        load: Callable[[str], Any],
    ) -> None:
        names = files.read_json(CONFIG)["encoder_names"]
        parts = [f"encoder_{place}" for place in range(len(names))]
        if stages_of(dtype) not in report["files"]:
            raise ModelError(
                f"{files.location}/onnx has no graphs of single encoders, which adaptive stacking "
                f"needs. Run: {export_command(files)}"
            )
        self.runners = [
            load(files.exported_file(report, f"{dtype}.{part}.onnx")) for part in [*parts, TOP]
        ]
        first = self.runners[0]
        self.backend, self.dtype, self.device = first.backend, first.dtype, first.device
        self.batch_tokens, self.workers = first.batch_tokens, first.workers

    def __call__(self, batch: dict[str, np.ndarray]) -> np.ndarray:
        """(texts, sequence, encoders) arrays to (texts, labels) float32 logits, by all parts."""
        found = [self.encode(place, batch) for place in range(len(self.runners) - 1)]
        return self.top(batch, [words for words, _ in found], [logits for _, logits in found])

    def encode(self, place: int, batch: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Word vectors (B, W, h) and logits (B, L) of one encoder."""
        inputs = {name: batch[name] for name in INPUTS}
        words, logits = self.runners[place].infer([words_of(place), logits_of(place)], inputs)
        return words, logits

    def top(
        self, batch: dict[str, np.ndarray], words: list[np.ndarray], logits: list[np.ndarray]
    ) -> np.ndarray:
        """The full stack's logits (B, L) from all encoders."""
        inputs = {name: batch[name] for name in INPUTS}
        inputs |= {words_of(place): part for place, part in enumerate(words)}
        inputs |= {logits_of(place): part for place, part in enumerate(logits)}
        return self.runners[-1].infer(["logits"], inputs)[0]


def write_stages(graph: Path, dtype: str, encoders: int) -> list[str]:
    """Cut a graph into `<dtype>.encoder_<place>.onnx` and `<dtype>.top.onnx` beside it.

    Returns:
        The names of the files.
    """
    import onnx

    whole = onnx.load(graph, load_external_data=False)
    places = range(encoders)
    inner = [name for place in places for name in (words_of(place), logits_of(place))]
    parts = {
        f"encoder_{place}": (list(INPUTS), [words_of(place), logits_of(place)]) for place in places
    }
    parts[TOP] = ([*INPUTS, *inner], ["logits"])  # sizes may be read from any of them
    written = []
    for part, (inputs, outputs) in parts.items():
        name = f"{dtype}.{part}.onnx"
        onnx.save_model(_part(whole, inputs, outputs), graph.with_name(name))
        written.append(name)
    return written


def _part(whole: Any, inputs: list[str], outputs: list[str]) -> Any:
    """The nodes of a graph between these inputs and outputs, with references to its weights."""
    import onnx

    graph = whole.graph
    maker = {output: node for node in graph.node for output in node.output}
    needed, waiting = set[int](), list(outputs)
    values = set[str]()
    while waiting:
        name = waiting.pop()
        if name in values or not name:
            continue
        values.add(name)
        if name in inputs or name not in maker:
            continue
        node = maker[name]
        needed.add(id(node))
        waiting.extend(node.input)
        for attribute in node.attribute:  # what the bodies of loops and branches read
            bodies = [attribute.g, *attribute.graphs]
            waiting.extend(name for body in bodies for inner in body.node for name in inner.input)
    kinds = {value.name: value for value in graph.input}
    made = onnx.helper.make_graph(
        [node for node in graph.node if id(node) in needed],
        graph.name,
        [kinds[name] if name in kinds else _floats(name) for name in inputs],
        [_floats(name) for name in outputs],
        [tensor for tensor in graph.initializer if tensor.name in values],
    )
    model = onnx.helper.make_model(made, functions=whole.functions)
    del model.opset_import[:]
    model.opset_import.extend(whole.opset_import)
    model.ir_version = whole.ir_version
    return model


def _floats(name: str) -> Any:
    """A float32 value: (batch, words, width) of `words_…`, (batch, labels) of logits."""
    import onnx

    shape = ["batch", "words", None] if name.startswith("words") else ["batch", None]
    return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
