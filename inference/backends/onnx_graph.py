"""The whole stack as one ONNX graph: any batch, any length.

Its inputs are the tokenizer's `input_ids`, `attention_mask` and `word_index`, each (batch,
sequence, encoders) int64; its output `logits` is (batch, labels). As in torch, each encoder runs on
its own longest text of the batch: nodes in front of the traced graph cut its inputs.
"""

from __future__ import annotations

import logging
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from ...alignment_stacked_emotion import INPUTS
from ...layers_stacked_emotion import pool_words
from ...modeling_stacked_emotion import StackedEmotionForSequenceClassification
from ..adaptive.graphs import logits_of, words_of

_TRACED_WORDS = 5
_TRACED_LENGTHS = (7, 9, 8)


class _FlatStack(nn.Module):
    """The stack with one triple of inputs per encoder, each of its own length, and a word mask."""

    def __init__(self, model: StackedEmotionForSequenceClassification) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, word_mask: Tensor, columns: list[tuple[Tensor, Tensor, Tensor]]
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """(B, W) and for each encoder ids, mask and word index (B, S_e), to logits (B, L).

        Also returns what each encoder gives, so that these values have names in the graph.
        """
        config = self.model.config
        parts, logits = [], []
        for name, (ids, mask, index) in zip(config.encoder_names, columns, strict=True):
            encoder = self.model.get_encoder(name)
            pad = encoder.config.pad_token_id
            ids = ids.masked_fill(mask == 0, 0 if pad is None else pad)
            head = self.model.get_encoder_head(name)
            options = {"output_hidden_states": True} if head.layers else {}
            output = encoder(input_ids=ids, attention_mask=mask, return_dict=True, **options)
            logits.append(head(head.read(output), mask))
            parts.append(pool_words(output.last_hidden_state, index, word_mask.shape[1]))
        output = self.model(
            word_embeddings=torch.cat(parts, dim=-1),
            word_mask=word_mask,
            encoder_logits=torch.stack(logits, dim=1),
            return_dict=True,
        )
        return output.logits, parts, logits


def trace(model: StackedEmotionForSequenceClassification) -> Any:
    """The graph, an `onnx.ModelProto`, of a float32 model with eager attention, not training."""
    names = model.config.encoder_names
    places = range(len(names))
    generator = torch.Generator().manual_seed(0)
    columns = []
    for place, name in enumerate(names):
        length = _TRACED_LENGTHS[place % len(_TRACED_LENGTHS)]
        rows = min(model.config.encoders[name].vocab_size, 100)
        ids = torch.randint(0, rows, (2, length), generator=generator)
        mask = torch.ones_like(ids)
        mask[1, -1] = 0
        index = torch.arange(length).clamp(max=_TRACED_WORDS).expand(2, -1).contiguous()
        columns.append((ids, mask, index))
    word_mask = torch.ones(2, _TRACED_WORDS, dtype=torch.int64)
    word_mask[1, -1] = 0
    auto = {0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO}
    exporters = logging.getLogger("torch.onnx")
    level = exporters.level
    exporters.setLevel(logging.ERROR)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the exporter's own deprecations
            program = torch.onnx.export(
                _FlatStack(model).eval(),
                (word_mask, columns),
                dynamo=True,
                dynamic_shapes=(auto, [(auto, auto, auto) for _ in names]),
                output_names=["logits", *map(words_of, places), *map(logits_of, places)],
                verbose=False,
            )
    finally:
        exporters.setLevel(level)
    assert program is not None
    graph = program.model_proto
    _name_by_module(graph)
    return _with_front(graph, len(names))


def _name_by_module(model: Any) -> None:
    """Name the nodes after the modules they come from; drop paths of this machine."""
    import ast

    seen: dict[str, int] = {}
    for node in model.graph.node:
        notes = {entry.key: entry.value for entry in node.metadata_props}
        scopes = ast.literal_eval(notes.get("pkg.torch.onnx.name_scopes", "[]"))
        module = scopes[-2] if len(scopes) > 1 else ""
        base = f"{module.removeprefix('model.').removeprefix('stacked.')}/{node.op_type}"
        seen[base] = seen.get(base, 0) + 1
        node.name = base if seen[base] == 1 else f"{base}_{seen[base]}"
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.metadata_props[:]
    del model.metadata_props[:]
    for value in [*model.graph.value_info, *model.graph.input, *model.graph.output]:
        del value.metadata_props[:]
    for tensor in model.graph.initializer:
        del tensor.metadata_props[:]


def _with_front(model: Any, encoders: int) -> Any:
    """Replace the traced inputs by the tokenizer's three, cut for each encoder in the graph."""
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    traced = [value.name for value in graph.input]
    assert len(traced) == 1 + 3 * encoders, traced
    nodes, constants = [], {}

    def constant(*values: int, scalar: bool = False) -> str:
        name = "front/" + "_".join(map(str, values)) + ("_scalar" if scalar else "")
        tensor = torch.tensor(values[0] if scalar else values, dtype=torch.int64).numpy()
        constants[name] = numpy_helper.from_array(tensor, name)
        return name

    def add(op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(op, inputs, [output], name=f"{output}/{op}", **attributes))
        return output

    zero, one = constant(0, scalar=True), constant(1, scalar=True)
    last = add("ReduceMax", ["word_index", constant(1, 2)], "front/words_of_text", keepdims=1)
    last = add("Squeeze", [last, constant(2)], "front/words_of_text_2d")
    words = add("ReduceMax", ["word_index"], "front/longest", keepdims=0)
    words = add("Max", [words, one], "front/words")
    places = add("Range", [zero, words, one], "front/word_places")
    mask = add("Less", [places, last], "front/is_word")
    add("Cast", [mask], traced[0], to=TensorProto.INT64)
    for index in range(encoders):
        at = constant(index, scalar=True)
        prefix = f"front/encoder_{index}"
        full = add("Gather", ["attention_mask", at], f"{prefix}/mask", axis=2)
        seen = add("ReduceMax", [full, constant(0)], f"{prefix}/seen", keepdims=0)
        size = add("Shape", [seen], f"{prefix}/size")
        size = add("Squeeze", [size], f"{prefix}/size_scalar")
        places = add("Range", [zero, size, one], f"{prefix}/places")
        places = add("Add", [places, one], f"{prefix}/counted")
        reach = add("Mul", [seen, places], f"{prefix}/reach")
        length = add("ReduceMax", [reach], f"{prefix}/longest", keepdims=0)
        length = add("Max", [length, one], f"{prefix}/length")
        length = add("Unsqueeze", [length, constant(0)], f"{prefix}/end")
        for offset, source in enumerate(INPUTS):
            column = full
            if source != "attention_mask":
                column = add("Gather", [source, at], f"{prefix}/{source}", axis=2)
            add(
                "Slice",
                [column, constant(0), length, constant(1)],
                traced[1 + 3 * index + offset],
            )
    body = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *body])
    graph.initializer.extend(constants.values())
    del graph.input[:]
    shape = ["batch", "sequence", encoders]
    graph.input.extend(helper.make_tensor_value_info(n, TensorProto.INT64, shape) for n in INPUTS)
    labels = graph.output[0].type.tensor_type.shape.dim[1].dim_value
    del graph.output[:]
    graph.output.append(
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", labels])
    )
    del graph.value_info[:]
    graph.name = "stacked_emotion"
    return model
