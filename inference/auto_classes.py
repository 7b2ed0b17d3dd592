"""Registration of the classes with the Auto classes of transformers."""

from __future__ import annotations


def register_auto_classes() -> None:
    """Register config, models and tokenizer with AutoConfig, AutoModel… and AutoTokenizer."""
    from transformers import (
        AutoConfig,
        AutoModel,
        AutoModelForSequenceClassification,
        AutoTokenizer,
    )

    from ..configuration_stacked_emotion import StackedEmotionConfig
    from ..modeling_stacked_emotion import (
        StackedEmotionForSequenceClassification,
        StackedEmotionModel,
    )
    from ..tokenization_stacked_emotion import StackedEmotionTokenizer

    AutoConfig.register(StackedEmotionConfig.model_type, StackedEmotionConfig, exist_ok=True)
    AutoModel.register(StackedEmotionConfig, StackedEmotionModel, exist_ok=True)
    AutoModelForSequenceClassification.register(
        StackedEmotionConfig, StackedEmotionForSequenceClassification, exist_ok=True
    )
    AutoTokenizer.register(StackedEmotionConfig, StackedEmotionTokenizer, exist_ok=True)
