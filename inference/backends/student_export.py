"""A stock student as ONNX: float32, and int8 with activations quantized by row."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel

from ...common.errors import UserError
from ...common.files import fingerprint, remove, replace_folder
from ...common.finished import finish
from ..model_files import EXPORTED, ModelFiles
from .export import quantize_graph

OPSET = 18
GRAPHS = {"float32": "model.onnx", "int8": "model_quantized.onnx"}
"""Names in `onnx/`, those of transformers.js."""
_TEXTS = ("نص قصير", "نص آخر أطول قليلا من الأول 😍", "كلمة " * 40, "!")


@dataclass(frozen=True)
class StudentExport:
    """What was written, and how far it is from the model in PyTorch.

    Attributes:
        fp32: the file.
        int8: the quantized file, or None.
        fp32_difference: largest absolute difference of a logit, over batches of other sizes and
            lengths than the traced one.
        int8_difference: the same for int8, or None.
    """

    fp32: Path
    int8: Path | None
    fp32_difference: float
    int8_difference: float | None


class _Logits(torch.nn.Module):
    """The model as a function of `input_ids` and `attention_mask` alone."""

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids=input_ids, attention_mask=attention_mask).logits


def export_student(model: str | Path, int8: bool = True) -> StudentExport:
    """Export a stock sequence classifier, check it against PyTorch, and quantize it.

    Both graphs take `input_ids` and `attention_mask` (batch, sequence) int64, of any size, and give
    `logits` (batch, labels). In int8, the weights of linear layers have one scale per column.
    Activations are quantized while the graph runs, with one scale per sub-word, so a text's scores
    do not depend on its batch. The folder is then laid out as transformers.js expects a model: its
    names for the graphs are `dtype: "fp32"` and `"q8"`.

    Args:
        model: the folder of the student; `onnx/model.onnx` and `onnx/model_quantized.onnx` go
            into it.
        int8: quantize too.

    Raises:
        UserError: a package is missing, or the graph does not give the model's logits.
    """
    onnxruntime = _onnxruntime()
    folder = Path(model)
    partial = folder / "onnx.partial"
    remove(partial)
    partial.mkdir()
    network = AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    file = partial / GRAPHS["float32"]
    _trace(network, tokenizer, file)
    difference = _difference(onnxruntime, file, network, tokenizer)
    if difference > 1e-3:
        raise UserError(
            f"The exported graph differs from the model by {difference:.4f} in a logit. Nothing "
            f"was written to {folder / 'onnx'}."
        )
    quantized, quantized_difference = None, None
    if int8:
        quantized = folder / "onnx" / GRAPHS["int8"]
        quantize_graph(file, partial / quantized.name, external_data=False)
        quantized_difference = _difference(
            onnxruntime, partial / quantized.name, network, tokenizer
        )
    made_of = ModelFiles(folder).export_inputs()
    graphs = {dtype: [name] for dtype, name in GRAPHS.items() if (partial / name).is_file()}
    report = {"made_of": made_of, "files": graphs, "differences": {}}
    finish(partial, fingerprint(made_of, int8), report, name="report.json")
    replace_folder(partial, folder / "onnx", ours=EXPORTED)
    return StudentExport(folder / "onnx" / file.name, quantized, difference, quantized_difference)


def _trace(network: PreTrainedModel, tokenizer: Any, file: Path) -> None:
    """Write the float32 graph."""
    import onnx

    example = tokenizer(["نص واحد", "نص ثان"], padding=True, return_tensors="pt")
    dynamic = {0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO}
    with torch.no_grad():
        program = torch.onnx.export(
            _Logits(network).eval(),
            (example["input_ids"], example["attention_mask"]),
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_shapes={"input_ids": dynamic, "attention_mask": dynamic},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    graph = program.model_proto
    del graph.graph.value_info[:]  # stale shapes stop the quantizer's shape inference
    onnx.save_model(graph, file)


def _difference(onnxruntime: Any, file: Path, network: PreTrainedModel, tokenizer: Any) -> float:
    """Largest absolute difference of a logit over batches of several sizes and lengths."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    largest = 0.0
    for count in range(1, len(_TEXTS) + 1):
        batch = tokenizer(list(_TEXTS[:count]), padding=True, truncation=True, return_tensors="pt")
        ids, mask = batch["input_ids"], batch["attention_mask"]
        with torch.no_grad():
            expected = network(input_ids=ids, attention_mask=mask).logits.numpy()
        inputs = {"input_ids": ids.numpy(), "attention_mask": mask.numpy()}
        (found,) = session.run(["logits"], inputs)
        largest = max(largest, float(np.abs(found - expected).max()))
    return largest


def _onnxruntime() -> Any:
    try:
        import onnx  # noqa: F401
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"The export needs {error.name}: python -m pip install 'stacked_emotion[onnx]'"
        ) from error
    return onnxruntime
