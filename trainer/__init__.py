"""Training: data, label statistics, losses, metrics, feature cache, trainer and stages."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOMES = {
    "DataArguments": "..data.arguments",
    "EmotionLoss": ".losses",
    "LabelStatistics": "..data.label_statistics",
    "LabeledTexts": "..data.labeled_texts",
    "StackedEmotionTrainer": ".trainer",
    "TrainingRecipe": ".arguments",
    "UserError": "..common.errors",
    "build_loss": ".losses",
    "choose_thresholds": ".choosing.thresholds",
    "emotion_scores": ".metrics.scores",
    "load_labeled_texts": "..data.labeled_texts",
    "parse_recipe": ".recipe",
    "run_training": ".train",
}

if TYPE_CHECKING:
    from ..common.errors import UserError
    from ..data.arguments import DataArguments
    from ..data.label_statistics import LabelStatistics
    from ..data.labeled_texts import LabeledTexts, load_labeled_texts
    from .arguments import TrainingRecipe
    from .choosing.thresholds import choose_thresholds
    from .losses import EmotionLoss, build_loss
    from .metrics.scores import emotion_scores
    from .recipe import parse_recipe
    from .train import run_training
    from .trainer import StackedEmotionTrainer

__all__ = [
    "DataArguments",
    "EmotionLoss",
    "LabelStatistics",
    "LabeledTexts",
    "StackedEmotionTrainer",
    "TrainingRecipe",
    "UserError",
    "build_loss",
    "choose_thresholds",
    "emotion_scores",
    "load_labeled_texts",
    "parse_recipe",
    "run_training",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)
