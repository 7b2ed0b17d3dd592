"""Multi-label emotion classification with a stack of fine-tuned encoders.

The names below are loaded on first use, which also registers the classes with the Auto classes of
transformers, so that a saved stack loads without `trust_remote_code`. If transformers is already
loaded, importing this package registers them; `register()` does so at any time.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from .common import lazy_names

__version__ = "0.1.0"

_HOMES = {
    "Run": "runs",
    "StackedEmotionConfig": "configuration_stacked_emotion",
    "StackedEmotionModel": "modeling_stacked_emotion",
    "StackedEmotionForSequenceClassification": "modeling_stacked_emotion",
    "StackedEmotionTokenizer": "tokenization_stacked_emotion",
    "train": "runs",
}

if TYPE_CHECKING:
    from .configuration_stacked_emotion import StackedEmotionConfig
    from .modeling_stacked_emotion import (
        StackedEmotionForSequenceClassification,
        StackedEmotionModel,
    )
    from .runs import Run, train
    from .tokenization_stacked_emotion import StackedEmotionTokenizer

__all__ = [
    "Run",
    "StackedEmotionConfig",
    "StackedEmotionForSequenceClassification",
    "StackedEmotionModel",
    "StackedEmotionTokenizer",
    "__version__",
    "register",
    "train",
]


def register() -> None:
    """Register the classes with AutoConfig, AutoTokenizer and the AutoModel factories."""
    from .inference.auto_classes import register_auto_classes

    register_auto_classes()


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        register()
    return lazy_names(__name__, _HOMES)(name)


if "transformers" in sys.modules:
    register()
