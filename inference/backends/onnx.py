"""Prediction with ONNX Runtime: needs onnxruntime, tokenizers and numpy, no torch."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import numpy as np

from ...alignment_stacked_emotion import INPUTS, AlignedBatchEncoder
from ...common.errors import UserError
from ...tokenizer_files_stacked_emotion import SETTINGS, read_tokenizers
from ..adaptive.graphs import GraphStages
from ..model_files import ONNX_REPORT, ModelError, ModelFiles, export_command
from ..text_predictor import Runner, TextPredictor
from .fastest import exact_enough

ONNX_DTYPES = ("float32", "int8")


class OnnxRunner:
    """Logits by ONNX Runtime on the CPU.

    Args:
        path: the graph.
        dtype: "float32" or "int8", what the graph is.
        threads: threads per batch; None for one per core.
        workers: batches at a time.

    Raises:
        UserError: ONNX Runtime is not installed.
    """

    backend = "onnx"
    device = "cpu"
    batch_tokens = 512

    def __init__(self, path: str, dtype: str, threads: int | None = None, workers: int = 1) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise UserError(
                "backend 'onnx' needs ONNX Runtime: pip install 'stacked_emotion[onnx]'."
            ) from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or available_cores()
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        self.dtype = dtype
        self.workers = workers

    def __call__(self, batch: dict[str, np.ndarray]) -> np.ndarray:
        """(texts, sequence, encoders) arrays to (texts, labels) float32 logits."""
        return self.infer(["logits"], {name: batch[name] for name in INPUTS})[0]

    def infer(self, outputs: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        """Outputs of the graph by name, float32, for its inputs by name."""
        return [np.asarray(found, np.float32) for found in self.session.run(outputs, inputs)]


class OnnxEmotionPredictor(TextPredictor):
    """Predicts emotions with a stack's exported graph, from the folder of the model.

    It has the methods of `StackedEmotionPredictor`, and gives the same labels.

    Example, not run: the model needs its graph, from `stacked-emotion export`.
        >>> predictor = OnnxEmotionPredictor.from_pretrained("user/name")  # doctest: +SKIP
        >>> predictor.predict(["فرحان جدا"])[0].labels  # doctest: +SKIP
        ['joy']
    """

    @classmethod
    def from_pretrained(
        cls,
        path_or_id: str,
        dtype: str = "auto",
        revision: str | None = None,
        threads: int | None = None,
        workers: int = 1,
        long_texts: str = "truncate",
        pooling: str = "max",
        adaptive: bool = False,
        abstain: float | None = None,
        **hub_options: Any,
    ) -> OnnxEmotionPredictor:
        """Load a folder, or a Hub repository (which needs `huggingface_hub`).

        Args:
            path_or_id: the folder that was exported, that of its run, or the id.
            dtype: "float32", "int8", or "auto" for int8 where the export found it exact enough.
            revision: commit, tag or branch of a Hub ID.
            threads: threads per batch; None for one per core.
            workers: batches computed at a time.
            long_texts, pooling: see `TextPredictor`.
            adaptive: skip encoders where the labels are certain enough, by the model's own limits.
            abstain: see `StackedEmotionPredictor.from_pretrained`.
            **hub_options: `token`, `cache_dir`, `local_files_only`.

        Raises:
            ModelError: there is no export, it belongs to other weights, or a file is malformed.
            UserError: a dtype that was not exported, ONNX Runtime is not installed, or `adaptive`
                or `abstain` and the model has no limits.
        """
        files = ModelFiles(path_or_id, revision, **hub_options)
        report = exported(files, dtype)
        if dtype == "auto":
            dtype = "int8" if exact_enough(report, "onnx int8") else "float32"
        path = files.graph(report, dtype)
        with files.reading(f"onnx/{os.path.basename(path)}"):
            load = partial(OnnxRunner, dtype=dtype, threads=threads, workers=workers)
            runner: Runner = GraphStages(files, report, dtype, load) if adaptive else load(path)
        encoder, decision = text_encoder(files), files.decision().abstaining(abstain)
        self = cls(encoder, decision, runner, long_texts, pooling, files.location)
        if adaptive:
            self.adapted(files.config())
        return self.verified(files)


def text_encoder(files: ModelFiles) -> AlignedBatchEncoder:
    """What a model's tokenizer does, read from its files without transformers.

    Raises:
        ModelError: a tokenizer file is missing or malformed.
    """
    files.tokenizer_settings()
    with files.reading(SETTINGS):
        return AlignedBatchEncoder.from_settings(*read_tokenizers(files, files.location))


def exported(files: ModelFiles, dtype: str = "") -> dict[str, Any]:
    """The report of a model's export.

    Args:
        files: of the model.
        dtype: of the graph that is wanted, for the message.

    Raises:
        ModelError: there is no usable export.
    """
    report = files.onnx_report()
    if report is None:
        stale = files.find(ONNX_REPORT) is not None
        why = "an export of other weights, or by an older version" if stale else "no ONNX export"
        raise ModelError(f"{files.location} has {why}. Run: {export_command(files, dtype)}")
    return report


def available_cores() -> int:
    """Cores this process may use: `OMP_NUM_THREADS`, or all that the system gives it."""
    if (given := os.environ.get("OMP_NUM_THREADS", "")).isdigit() and int(given):
        return int(given)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
