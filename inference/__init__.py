"""Inference: a predictor, explanations, and prediction of whole files."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOMES = {
    "ModelError": "model_files",
    "Prediction": "predictions",
    "Predictions": "predictions",
    "TextScores": "predictions",
    "check_request": "limits",
    "OnnxEmotionPredictor": "backends.onnx",
    "export_onnx": "backends.export",
    "StackedEmotionPredictor": "predictor",
    "Explanation": "explanations.explanation",
    "WordExplanation": "explanations.explanation",
    "explain": "explanations.explain",
    "without_word": "explanations.explain",
    "html_page": "explanations.rendering",
    "PartitionPredictor": "partitions",
    "BulkReport": "bulk",
    "predict_file": "bulk",
}

if TYPE_CHECKING:
    from .backends.export import export_onnx
    from .backends.onnx import OnnxEmotionPredictor
    from .bulk import BulkReport, predict_file
    from .explanations.explain import explain, without_word
    from .explanations.explanation import Explanation, WordExplanation
    from .explanations.rendering import html_page
    from .limits import check_request
    from .model_files import ModelError
    from .partitions import PartitionPredictor
    from .predictions import Prediction, Predictions, TextScores
    from .predictor import StackedEmotionPredictor

__all__ = [
    "BulkReport",
    "Explanation",
    "ModelError",
    "OnnxEmotionPredictor",
    "PartitionPredictor",
    "Prediction",
    "Predictions",
    "StackedEmotionPredictor",
    "TextScores",
    "WordExplanation",
    "check_request",
    "explain",
    "export_onnx",
    "html_page",
    "predict_file",
    "without_word",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
