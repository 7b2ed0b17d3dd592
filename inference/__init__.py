"""Inference: a predictor, explanations, and prediction of whole files."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOMES = {
    "Prediction": "text_predictor",
    "OnnxEmotionPredictor": "backends.onnx",
    "export_onnx": "backends.export",
    "StackedEmotionPredictor": "predictor",
    "Explanation": "explanations.explanation",
    "WordExplanation": "explanations.explanation",
    "explain": "explanations.explanation",
    "without_word": "explanations.explanation",
    "html_page": "explanations.rendering",
    "PartitionPredictor": "partitions",
    "BulkReport": "bulk",
    "predict_file": "bulk",
}

if TYPE_CHECKING:
    from .backends.export import export_onnx
    from .backends.onnx import OnnxEmotionPredictor
    from .bulk import BulkReport, predict_file
    from .explanations.explanation import Explanation, WordExplanation, explain, without_word
    from .explanations.rendering import html_page
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
