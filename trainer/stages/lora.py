"""LoRA adapters on an encoder while it is fine-tuned; the finished weights are plain ones."""

from __future__ import annotations

from typing import Any

from ...common.errors import UserError
from ...modeling_stacked_emotion import StackedEmotionForSequenceClassification


def add_lora(
    model: StackedEmotionForSequenceClassification, name: str, rank: int, alpha: float
) -> Any:
    """Put adapters on every linear layer of an encoder and freeze its own weights.

    Hu et al. (2022), "LoRA: Low-Rank Adaptation of Large Language Models": W + (alpha / rank) BA,
    B starting at zero.

    Args:
        model: the stack; its encoder is changed in place.
        name: of the encoder.
        rank: of the adapters, at least 1.
        alpha: their scale.

    Returns:
        The `peft` model around the encoder, for `merge_lora`.

    Raises:
        UserError: `peft` is not installed.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise UserError("lora_rank needs peft: pip install 'stacked_emotion[peft]'.") from error
    options = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules="all-linear")
    return get_peft_model(model.get_encoder(name), options)


def merge_lora(adapted: Any) -> None:
    """Add the adapters to the weights they belong to and take them off again, in place."""
    adapted.merge_and_unload()
