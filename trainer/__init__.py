"""Training: data, label statistics, losses, metrics, feature cache, trainer and stages."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOMES = {
    "DataArguments": "data_arguments",
    "EmotionLoss": "losses",
    "LabelStatistics": "label_statistics",
    "LabelledTexts": "data",
    "StackedEmotionTrainer": "stacked_emotion_trainer",
    "TrainingRecipe": "arguments",
    "UserError": "errors",
    "build_loss": "losses",
    "choose_thresholds": "thresholds",
    "emotion_scores": "metrics.scores",
    "load_labelled_texts": "data",
    "parse_recipe": "arguments",
    "run_training": "train",
}

if TYPE_CHECKING:
    from .arguments import TrainingRecipe, parse_recipe
    from .data import LabelledTexts, load_labelled_texts
    from .data_arguments import DataArguments
    from .errors import UserError
    from .label_statistics import LabelStatistics
    from .losses import EmotionLoss, build_loss
    from .metrics.scores import emotion_scores
    from .stacked_emotion_trainer import StackedEmotionTrainer
    from .thresholds import choose_thresholds
    from .train import run_training

__all__ = [
    "DataArguments",
    "EmotionLoss",
    "LabelStatistics",
    "LabelledTexts",
    "StackedEmotionTrainer",
    "TrainingRecipe",
    "UserError",
    "build_loss",
    "choose_thresholds",
    "emotion_scores",
    "load_labelled_texts",
    "parse_recipe",
    "run_training",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
