"""Inference: a predictor, and prediction of whole files."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOMES = {
    "Prediction": "predictor",
    "StackedEmotionPredictor": "predictor",
    "explain": "explanations",
    "predict_file": "bulk",
}

if TYPE_CHECKING:
    from .bulk import predict_file
    from .explanations import explain
    from .predictor import Prediction, StackedEmotionPredictor

__all__ = ["Prediction", "StackedEmotionPredictor", "explain", "predict_file"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
