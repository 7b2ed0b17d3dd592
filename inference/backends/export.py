"""Export of a stack to `onnx/` in its folder, with a report of how far the answers differ."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...common.errors import UserError, counted
from ...common.files import file_digest, fingerprint, remove, replace_folder
from ...common.finished import find, finish
from ...common.tables import markdown_table
from ...data.arguments import DataArguments
from ...data.tables import read_table
from ..adaptive.graphs import stages_of, write_stages
from ..adaptive.rule import AdaptiveRule
from ..model_files import CONFIG, EXPORT_FORM, EXPORTED, TOKENIZER, ModelFiles
from ..predictions import TextScores
from ..predictor import SKIPPED, StackedEmotionPredictor, load_model
from ..text_predictor import Runner, TextPredictor
from .fastest import exact_enough, processor_flags
from .onnx import OnnxRunner
from .onnx_graph import trace
from .openvino import OPENVINO_DTYPES, OpenVinoRunner
from .precision import native_dtype
from .row_scales import quantize_by_row

GRAPHS = {"float32": "model.onnx", "int8": "model_int8.onnx"}
MAX_FLOAT32_DIFFERENCE = 1e-5
_LINEAR = ("MatMul",)
REPORT = "report.json"
_VERSIONS = ("torch", "transformers", "onnx", "onnxruntime")


@dataclass(frozen=True)
class CheckTexts:
    """Texts on which the exported graphs are compared with the model.

    Attributes:
        texts: the texts.
        targets: (texts, labels) of 0 and 1, or None.
        source: where they come from.
    """

    texts: list[str]
    targets: np.ndarray | None
    source: str


def export_onnx(
    folder: str | Path,
    quantize: str | None = None,
    check: CheckTexts | None = None,
    progress: Callable[[str], Any] = lambda line: None,
) -> dict[str, Any]:
    """Write `onnx/model.onnx`, `onnx/model_int8.onnx` and `onnx/report.json` into a model's folder.

    The weights lie beside each graph as external data, so protobuf's limit of 2 GB does not apply.
    The int8 graph has the encoders' linear layers in int8, with one scale per output channel;
    activations are quantized while it runs, with one scale per sub-word. What lies on top of the
    encoders stays float32, and so do the kinds of layers without which int8 is not exact enough on
    the check texts. A model with limits for adaptive stacking also gets a graph per encoder; they
    share the weights.

    Args:
        folder: the folder of the model, or of its run.
        quantize: "int8", or None for float32 only.
        check: texts to compare on; by default the bundled synthetic sample.
        progress: called with a line about each step.

    Returns:
        The report: versions, files, `kept_float32`, and for each backend installed the differences
        of its answers from torch in float32.

    Raises:
        ModelError: the folder is not that of a model, or a file of it is malformed.
        UserError: a package is missing, or float32 scores differ by more than 1e-5.
    """
    files = ModelFiles(Path(folder))
    source = Path(files.location)
    files.config()
    for package in ("onnx", "onnxscript", "onnxruntime"):
        if find_spec(package) is None:
            raise UserError(f"The export needs {package}: pip install 'stacked_emotion[onnx]'.")
    if quantize not in (None, "int8"):
        raise UserError(f"--quantize {quantize} is not known; there is int8.")
    check = check or sample_texts()
    target, partial = source / "onnx", source / "onnx.partial"
    key = _key(files, quantize, check)
    found, problem = find(target, key, REPORT, EXPORT_FORM)
    if found is not None:
        progress(f"{target} is finished, of the same weights, texts and packages")
        return found.record
    if problem is not None:
        progress(f"{target} {problem}. It is made again.")
    remove(partial)
    partial.mkdir()
    reference = StackedEmotionPredictor.from_pretrained(
        str(source), dtype="float32", device="cpu", backend="torch"
    )
    progress(
        f"scores of {counted(len(check.texts), 'text')} ({check.source}) with torch in float32"
    )
    comparison = _Comparison(check, reference, reference.score(check.texts))
    del reference
    gc.collect()
    skipped = write_graph(files, partial / GRAPHS["float32"])
    progress(f"traced{f'; {SKIPPED}' if skipped else ''}")
    differences = {"onnx float32": comparison(OnnxRunner(str(partial / "model.onnx"), "float32"))}
    worst = differences["onnx float32"]["largest_score_difference"]
    if worst > MAX_FLOAT32_DIFFERENCE:
        raise UserError(
            f"The exported graph's scores differ from the model's by {worst:.1e}; at most "
            f"{MAX_FLOAT32_DIFFERENCE:.0e} is rounding. Nothing was written to {target}."
        )
    kept: list[str] = []
    if quantize:
        kept, differences["onnx int8"] = _quantize(partial, comparison, progress)
    for name, runner in _other_backends(source, partial):
        progress(f"comparing {name}")
        differences[name] = comparison(runner)
        del runner
        gc.collect()
    rule = AdaptiveRule.from_config(files.config())
    stages = {
        stages_of(dtype): write_stages(partial / name, dtype, len(rule.order))
        for dtype, name in GRAPHS.items()
        if rule is not None and (partial / name).is_file()
    }
    report = {
        "versions": {name: version(name) for name in _VERSIONS},
        "made_of": files.export_inputs(),
        "files": {
            dtype: sorted(path.name for path in partial.glob(f"{name}*"))
            for dtype, name in GRAPHS.items()
            if (partial / name).is_file()
        }
        | stages,
        "texts": {
            "source": check.source,
            "count": len(check.texts),
            "labeled": check.targets is not None,
        },
        "kept_float32": kept,
        "skipped": SKIPPED if skipped else None,
        "differences": differences,
    }
    for path in partial.iterdir():
        path.chmod(0o644)  # external data is written for its owner only
    finish(partial, key, report, name=REPORT)
    replace_folder(partial, target, ours=EXPORTED)
    return report


def _key(files: ModelFiles, quantize: str | None, check: CheckTexts) -> str:
    """Fingerprint of everything that an export depends on."""
    settings = files.tokenizer_settings()
    names = [
        TOKENIZER,
        *(f"tokenizers/{name}/tokenizer.json" for name in settings["encoder_names"]),
    ]
    packages = (*_VERSIONS, "openvino")
    return fingerprint(
        files.export_inputs(),
        files.read_json(CONFIG),
        [file_digest(Path(files(name))) for name in names],
        [check.texts, None if check.targets is None else check.targets.tolist(), check.source],
        [version(name) if find_spec(name) else None for name in packages],
        [quantize, sorted(processor_flags())],
    )


def sample_texts() -> CheckTexts:
    """The bundled synthetic texts."""
    from ...recipes import RECIPES

    table = read_table(RECIPES / "sample/validation.jsonl", DataArguments())
    return CheckTexts(table.columns["text"], None, "bundled synthetic sample")


class _Comparison:
    """Compares a runner's answers with those of torch in float32."""

    def __init__(
        self, check: CheckTexts, predictor: StackedEmotionPredictor, scores: TextScores
    ) -> None:
        self.texts = check.texts
        self.targets = check.targets
        self.encoder, self.decision = predictor.encoder, predictor.decision
        self.scores, self.given = scores.probabilities, scores.given

    def __call__(self, runner: Runner) -> dict[str, Any]:
        """Largest and mean difference of the scores, agreement of the labels, Jaccard."""
        scores = TextPredictor(self.encoder, self.decision, runner).score(self.texts)
        given = scores.given
        gap = np.abs(scores.probabilities - self.scores)
        found: dict[str, Any] = {
            "largest_score_difference": float(gap.max()),
            "mean_score_difference": float(gap.mean()),
            "label_agreement": float((given == self.given).mean()),
            "texts_with_all_labels_equal": float((given == self.given).all(1).mean()),
        }
        if self.targets is not None:
            before, after = (jaccard(self.targets, labels) for labels in (self.given, given))
            found |= {"jaccard": after, "jaccard_difference": after - before}
        return found


def jaccard(targets: np.ndarray, given: np.ndarray) -> float:
    """Mean over the texts of intersection over union; 1 where both sets are empty."""
    targets, given = targets.astype(bool), given.astype(bool)
    union = (targets | given).sum(1)
    return float(np.where(union, (targets & given).sum(1) / np.maximum(union, 1), 1.0).mean())


def write_graph(files: ModelFiles, path: Path) -> bool:
    """Trace a model and write its float32 graph.

    Returns:
        Whether the graph leaves out Bi-LSTM, pooling and classifier; see `without_dead_parts`.
    """
    import onnx

    model = load_model(files, torch.float32, attn_implementation="eager")
    graph = trace(model)
    onnx.save_model(
        graph, path, save_as_external_data=True, location=f"{path.name}.data", size_threshold=1024
    )
    return bool(files.config().get("use_classifier", True)) and not model.config.use_classifier


def layer_kind(node: str) -> str | None:
    """The kind of a linear layer by its node's name, such as `layer.output.dense`; None outside
    the encoders."""
    module = node.split("/")[0]
    if not module.startswith("encoder_") or "." not in module:
        return None
    inner = module.split(".", 1)[1]
    return ".".join(part for part in inner.split(".") if not part.isdigit())


def linear_layers(path: Path) -> dict[str, str]:
    """The linear layers of the encoders in a graph: their kind by their node's name."""
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    weights = {tensor.name for tensor in graph.initializer}
    return {
        node.name: kind
        for node in graph.node
        if node.op_type in _LINEAR
        and node.input[1] in weights
        and (kind := layer_kind(node.name)) is not None
    }


def _quantize(
    folder: Path, comparison: _Comparison, progress: Callable[[str], Any]
) -> tuple[list[str], dict[str, Any]]:
    """Quantize what may be; if that is too inexact, keep the kind of layer that helps most, again.

    Returns:
        The kinds of layers kept in float32, and the differences.
    """
    source, target = folder / GRAPHS["float32"], folder / GRAPHS["int8"]
    linear = linear_layers(source)
    kinds = sorted(set(linear.values()))

    def attempt(kept: Sequence[str]) -> dict[str, Any]:
        but = f", except {', '.join(kept)}" if kept else ""
        progress(f"trying int8 for the linear layers of the encoders{but}")
        quantize_graph(source, target, [name for name, kind in linear.items() if kind not in kept])
        return comparison(OnnxRunner(str(target), "int8"))

    kept: list[str] = []
    found = attempt(kept)
    while not _good(found) and len(kept) < min(len(kinds) - 1, 3):
        tried = {kind: attempt([*kept, kind]) for kind in kinds if kind not in kept}
        best = max(tried, key=lambda kind: tried[kind]["label_agreement"])
        kept.append(best)
        found = attempt(kept)
    return kept, found


def _good(found: dict[str, Any]) -> bool:
    measured = {"jaccard_difference": 0.0} | found
    return exact_enough({"differences": {"onnx int8": measured}}, "onnx int8")


def quantize_graph(
    source: Path, target: Path, nodes: list[str] | None = None, external_data: bool = True
) -> None:
    """Write a graph with linear layers in int8, activations quantized by row as it runs.

    Args:
        source: the float32 graph.
        target: the file to write.
        nodes: names of the products to quantize; None for all whose one factor is constant.
        external_data: write the weights into a file beside the graph.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    for path in target.parent.glob(f"{target.name}*"):
        path.unlink()
    with _quiet_logging():
        quantize_dynamic(
            source,
            target,
            op_types_to_quantize=list(_LINEAR),
            nodes_to_quantize=nodes,
            per_channel=True,
            weight_type=QuantType.QInt8,
            use_external_data_format=external_data,
            extra_options={"MatMulConstBOnly": True},
        )
    quantize_by_row(target)


@contextmanager
def _quiet_logging() -> Iterator[None]:
    """ONNX Runtime's quantizer warns through the root logger."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _other_backends(source: Path, folder: Path) -> Iterable[tuple[str, Runner]]:
    """The other ways to run the model on this machine, each loaded when it is asked for."""
    if native_dtype(torch.device("cpu")) == torch.bfloat16:
        yield (
            "torch bfloat16",
            StackedEmotionPredictor.from_pretrained(
                str(source), dtype="bfloat16", device="cpu", backend="torch"
            ).runner,
        )
    if find_spec("openvino") is not None:
        for dtype in OPENVINO_DTYPES:
            runner = OpenVinoRunner(str(folder / GRAPHS["float32"]), dtype)
            if runner.dtype == dtype:
                yield f"openvino {dtype}", runner


def report_table(report: dict[str, Any]) -> str:
    """The report's differences as Markdown, with the Jaccard where the texts are labeled."""
    header = ["backend", "largest score difference", "label agreement", "all labels equal"]
    labeled = ["Jaccard"] if report["texts"]["labeled"] else []
    rows = [
        [
            name,
            f"{found['largest_score_difference']:.1e}",
            f"{100 * found['label_agreement']:.2f} %",
            f"{100 * found['texts_with_all_labels_equal']:.2f} %",
            *(f"{found['jaccard']:.4f} ({found['jaccard_difference']:+.4f})" for _ in labeled),
        ]
        for name, found in report["differences"].items()
    ]
    return markdown_table([*header, *labeled], rows, aligned=True)
