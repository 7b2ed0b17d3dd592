"""Inference: a predictor, explanations, and prediction of whole files."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOMES = {
    "Prediction": "text_predictor",
    "OnnxEmotionPredictor": "onnx_predictor",
    "export_onnx": "onnx_export",
    "StackedEmotionPredictor": "predictor",
    "Explanation": "explanations",
    "WordExplanation": "explanations",
    "explain": "explanations",
    "without_word": "explanations",
    "html_page": "explanation_rendering",
    "PartitionPredictor": "partitions",
    "BulkReport": "bulk",
    "predict_file": "bulk",
}

if TYPE_CHECKING:
    from .bulk import BulkReport, predict_file
    from .explanation_rendering import html_page
    from .explanations import Explanation, WordExplanation, explain, without_word
    from .onnx_export import export_onnx
    from .onnx_predictor import OnnxEmotionPredictor
    from .partitions import PartitionPredictor
    from .predictor import StackedEmotionPredictor
    from .text_predictor import Prediction

__all__ = [
    "BulkReport",
    "Explanation",
    "OnnxEmotionPredictor",
    "PartitionPredictor",
    "Prediction",
    "StackedEmotionPredictor",
    "WordExplanation",
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
