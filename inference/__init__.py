"""Inference: a predictor, explanations, and prediction of whole files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..common import lazy_names

_HOMES = {
    "ModelError": "model_files",
    "Prediction": "predictions",
    "Predictions": "predictions",
    "TextScores": "predictions",
    "Limits": "limits",
    "OnnxEmotionPredictor": "backends.onnx",
    "export_onnx": "backends.export",
    "StackedEmotionPredictor": "predictor",
    "Explanation": "explanations.explanation",
    "WordExplanation": "explanations.explanation",
    "Summary": "summary",
    "explain": "explanations.explain",
    "without_word": "explanations.explain",
    "html_page": "explanations.rendering",
    "PartitionPredictor": "partitions",
    "BulkReport": "bulk",
    "predict_file": "bulk",
}

if TYPE_CHECKING:
    from .backends.export import export_onnx as export_onnx
    from .backends.onnx import OnnxEmotionPredictor as OnnxEmotionPredictor
    from .bulk import BulkReport as BulkReport
    from .bulk import predict_file as predict_file
    from .explanations.explain import explain as explain
    from .explanations.explain import without_word as without_word
    from .explanations.explanation import Explanation as Explanation
    from .explanations.explanation import WordExplanation as WordExplanation
    from .explanations.rendering import html_page as html_page
    from .limits import Limits as Limits
    from .model_files import ModelError as ModelError
    from .partitions import PartitionPredictor as PartitionPredictor
    from .predictions import Prediction as Prediction
    from .predictions import Predictions as Predictions
    from .predictions import TextScores as TextScores
    from .predictor import StackedEmotionPredictor as StackedEmotionPredictor
    from .summary import Summary as Summary

__all__ = list(_HOMES)
__getattr__ = lazy_names(__name__, _HOMES)
