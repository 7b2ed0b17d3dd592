"""Scores of multi-label emotion classification: numpy functions, the metric, the bootstrap.

`MultilabelEmotion` is imported on first use, so the numpy functions need neither `evaluate` nor
`datasets`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...common import lazy_names
from .bootstrap import BOOTSTRAP_METRICS, BootstrapResult, paired_bootstrap
from .scores import (
    average_precision,
    decide,
    emotion_scores,
    expected_calibration_error,
    jaccard_per_row,
)

if TYPE_CHECKING:
    from .multilabel_emotion import MultilabelEmotion

__all__ = [
    "BOOTSTRAP_METRICS",
    "BootstrapResult",
    "MultilabelEmotion",
    "average_precision",
    "decide",
    "emotion_scores",
    "expected_calibration_error",
    "jaccard_per_row",
    "paired_bootstrap",
]

__getattr__ = lazy_names(__name__, {"MultilabelEmotion": "multilabel_emotion"})
