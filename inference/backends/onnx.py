"""Prediction with ONNX Runtime: needs onnxruntime, tokenizers and numpy, no torch."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from ..encoding import INPUTS, TextEncoder
from ..model_files import ONNX_REPORT, ModelFiles
from ..text_predictor import TextPredictor
from .fastest import exact_enough

ONNX_DTYPES = ("float32", "int8")


class OnnxRunner:
    """Logits by ONNX Runtime on the CPU.

    Args:
        path: the graph.
        dtype: "float32" or "int8", what the graph is.
        threads: threads a batch; None for one a core.
        workers: batches at a time.
    """

    backend = "onnx"
    batch_tokens = 512

    def __init__(self, path: str, dtype: str, threads: int | None = None, workers: int = 1) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise ImportError(
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
        (logits,) = self.session.run(["logits"], {name: batch[name] for name in INPUTS})
        return np.asarray(logits, np.float32)


class OnnxEmotionPredictor(TextPredictor):
    """Predicts emotions with a stack's exported graph, from the folder of the model.

    It has `predict`, `predict_proba`, `stream`, `decide`, `labels` and `thresholds` of
    `StackedEmotionPredictor`, and gives the same labels.

    Example:
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
        **hub_options: Any,
    ) -> OnnxEmotionPredictor:
        """Load a folder, or a Hub repository (which needs `huggingface_hub`).

        Args:
            path_or_id: the folder that was exported, or the id.
            dtype: "float32", "int8", or "auto" for int8 where the export found it exact enough.
            revision: commit, tag or branch of a Hub id.
            threads: threads a batch; None for one a core.
            workers: batches computed at a time.
            **hub_options: `token`, `cache_dir`, `local_files_only`.

        Raises:
            OSError: there is no export, or it belongs to other weights.
            ValueError: a dtype that was not exported.
        """
        files = ModelFiles(path_or_id, revision, **hub_options)
        report = files.onnx_report()
        if report is None:
            raise OSError(missing_export(files))
        if dtype == "auto":
            dtype = "int8" if exact_enough(report, "onnx int8") else "float32"
        runner = OnnxRunner(graph_path(files, report, dtype), dtype, threads, workers)
        return cls(TextEncoder.from_files(files, files.location), files.decision(), runner)


def graph_path(files: ModelFiles, report: dict[str, Any], dtype: str) -> str:
    """The path of an exported graph, its external data beside it.

    Raises:
        ValueError: it was not exported.
    """
    names = report["files"].get(dtype)
    if names is None:
        raise ValueError(
            f"dtype={dtype!r} was not exported to {files.location}/onnx; there are "
            f"{sorted(report['files'])}. Run stacked-emotion export with --quantize int8."
        )
    graph, *_ = [files(f"onnx/{name}") for name in names]  # the data has to lie beside it
    return graph


def missing_export(files: ModelFiles) -> str:
    """What to say where there is no usable export."""
    stale = files.find(ONNX_REPORT) is not None
    why = "an export of other weights" if stale else "no ONNX export"
    return f"{files.location} has {why}. Run: stacked-emotion export {files.location} --format onnx"


def available_cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
