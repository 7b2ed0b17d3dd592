"""Registration of the classes with the Auto classes and the pipelines of transformers."""

from __future__ import annotations


def register_auto_classes() -> None:
    """Register config, models and tokenizer with AutoConfig, AutoModel… and AutoTokenizer.

    And the task "emotion-classification", so that `pipeline` takes a loaded model, too.
    """
    from transformers import (
        AutoConfig,
        AutoModel,
        AutoModelForSequenceClassification,
        AutoTokenizer,
    )
    from transformers.pipelines import PIPELINE_REGISTRY

    from ..configuration_stacked_emotion import TASK, StackedEmotionConfig
    from ..modeling_stacked_emotion import (
        StackedEmotionForSequenceClassification,
        StackedEmotionModel,
    )
    from ..pipeline_stacked_emotion import StackedEmotionPipeline
    from ..tokenization_stacked_emotion import StackedEmotionTokenizer

    AutoConfig.register(StackedEmotionConfig.model_type, StackedEmotionConfig, exist_ok=True)
    AutoModel.register(StackedEmotionConfig, StackedEmotionModel, exist_ok=True)
    AutoModelForSequenceClassification.register(
        StackedEmotionConfig, StackedEmotionForSequenceClassification, exist_ok=True
    )
    AutoTokenizer.register(StackedEmotionConfig, StackedEmotionTokenizer, exist_ok=True)
    if TASK not in PIPELINE_REGISTRY.get_supported_tasks():
        PIPELINE_REGISTRY.register_pipeline(
            TASK,
            pipeline_class=StackedEmotionPipeline,
            pt_model=AutoModelForSequenceClassification,
            type="text",
        )
