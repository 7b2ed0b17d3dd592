"""Multi-label emotion classification with a stack of fine-tuned encoders.

The names below are loaded on first use. Where torch and transformers are installed the classes are
registered with the Auto* factories, so that a saved stack loads without `trust_remote_code` in a
process that has this package.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "StackedEmotionConfig": "configuration_stacked_emotion",
    "StackedEmotionModel": "modeling_stacked_emotion",
    "StackedEmotionForSequenceClassification": "modeling_stacked_emotion",
    "StackedEmotionTokenizer": "tokenization_stacked_emotion",
}

if TYPE_CHECKING:
    from .configuration_stacked_emotion import StackedEmotionConfig
    from .modeling_stacked_emotion import (
        StackedEmotionForSequenceClassification,
        StackedEmotionModel,
    )
    from .tokenization_stacked_emotion import StackedEmotionTokenizer

__all__ = [
    "StackedEmotionConfig",
    "StackedEmotionForSequenceClassification",
    "StackedEmotionModel",
    "StackedEmotionTokenizer",
    "__version__",
    "register",
]


def register() -> None:
    """Register the classes with AutoConfig, AutoTokenizer and the AutoModel factories."""
    from transformers import (
        AutoConfig,
        AutoModel,
        AutoModelForSequenceClassification,
        AutoTokenizer,
    )

    from .configuration_stacked_emotion import StackedEmotionConfig
    from .modeling_stacked_emotion import (
        StackedEmotionForSequenceClassification,
        StackedEmotionModel,
    )
    from .tokenization_stacked_emotion import StackedEmotionTokenizer

    AutoConfig.register(StackedEmotionConfig.model_type, StackedEmotionConfig, exist_ok=True)
    AutoModel.register(StackedEmotionConfig, StackedEmotionModel, exist_ok=True)
    AutoModelForSequenceClassification.register(
        StackedEmotionConfig, StackedEmotionForSequenceClassification, exist_ok=True
    )
    AutoTokenizer.register(StackedEmotionConfig, StackedEmotionTokenizer, exist_ok=True)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


if find_spec("torch") is not None and find_spec("transformers") is not None:
    register()
