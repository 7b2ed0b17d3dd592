"""Training: data, label statistics, losses, metrics, feature cache, trainer and stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..common import lazy_names

_HOMES = {
    "DataArguments": ".data.arguments",
    "EmotionLoss": "losses",
    "LabelStatistics": ".data.label_statistics",
    "LabeledTexts": ".data.labeled_texts",
    "StackedEmotionTrainer": "trainer",
    "TrainingRecipe": "arguments",
    "UserError": ".common.errors",
    "build_loss": "losses",
    "choose_thresholds": "choosing.thresholds",
    "emotion_scores": "metrics.scores",
    "load_labeled_texts": ".data.labeled_texts",
    "parse_recipe": "recipe",
    "run_training": "train",
}

if TYPE_CHECKING:
    from ..common.errors import UserError as UserError
    from ..data.arguments import DataArguments as DataArguments
    from ..data.label_statistics import LabelStatistics as LabelStatistics
    from ..data.labeled_texts import LabeledTexts as LabeledTexts
    from ..data.labeled_texts import load_labeled_texts as load_labeled_texts
    from .arguments import TrainingRecipe as TrainingRecipe
    from .choosing.thresholds import choose_thresholds as choose_thresholds
    from .losses import EmotionLoss as EmotionLoss
    from .losses import build_loss as build_loss
    from .metrics.scores import emotion_scores as emotion_scores
    from .recipe import parse_recipe as parse_recipe
    from .train import run_training as run_training
    from .trainer import StackedEmotionTrainer as StackedEmotionTrainer

__all__ = list(_HOMES)
__getattr__ = lazy_names(__name__, _HOMES)
