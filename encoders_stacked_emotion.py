"""Where encoders come from: random ones from a config, pretrained ones with their heads."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    MODEL_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.utils import logging

from .configuration_stacked_emotion import StackedEmotionConfig
from .ngrams_model_stacked_emotion import HashedNgramsModel
from .ngrams_stacked_emotion import HashedNgramsConfig

logger = logging.get_logger(__name__)

# Where stock classifiers keep their heads: dense layer, output layer, activation.
_STOCK_HEADS = {
    "bert": ("bert.pooler.dense", "classifier", "tanh"),
    "roberta": ("classifier.dense", "classifier.out_proj", "tanh"),
    "xlm-roberta": ("classifier.dense", "classifier.out_proj", "tanh"),
    "camembert": ("classifier.dense", "classifier.out_proj", "tanh"),
    "electra": ("classifier.dense", "classifier.out_proj", "gelu"),
    "distilbert": ("pre_classifier", "classifier", "relu"),
    "deberta-v2": ("pooler.dense", "classifier", "gelu"),
}


@dataclass
class LoadedEncoder:
    """A pretrained encoder, and the head it was fine-tuned with, if any."""

    encoder: PreTrainedModel
    head_config: dict[str, Any] | None = None
    head_state: dict[str, Tensor] | None = None


def build_encoder(name: str, config: PreTrainedConfig) -> PreTrainedModel:
    """An encoder with random weights, on the default device, in the default dtype.

    It has no pooling layer: no logit depends on one.

    Raises:
        ValueError: a config from which no encoder can be made.
    """
    if config.model_type == HashedNgramsConfig.model_type:  # remote code may load twice
        model_class: Any = HashedNgramsModel
    elif type(config) in MODEL_MAPPING:
        model_class = MODEL_MAPPING[type(config)]
    else:
        raise ValueError(f"encoders[{name!r}]: there is no model of type {config.model_type!r}.")
    asked = config._attn_implementation
    if asked == "sdpa" and not model_class._supports_sdpa:
        logger.warning("The encoder %r (%s) has no sdpa attention: eager.", name, config.model_type)
        config._attn_implementation = "eager"
    try:
        encoder = model_class(config, **_without_pooler(model_class))
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # every model type has errors of its own
        raise ValueError(f"encoders[{name!r}] cannot be built: {error!r}") from error
    if isinstance(getattr(encoder, "pooler", None), nn.Module):
        encoder.pooler = nn.Identity()
    return encoder


def _without_pooler(model_class: type[PreTrainedModel]) -> dict[str, Any]:
    """The argument that leaves the pooler out, where the model class has it."""
    arguments = inspect.signature(model_class.__init__).parameters
    return {"add_pooling_layer": False} if "add_pooling_layer" in arguments else {}


@contextmanager
def eager_attention(encoder: PreTrainedModel, wanted: bool) -> Iterator[None]:
    """Run an encoder with eager attention if wanted: only that one gives attention weights."""
    before = encoder.config._attn_implementation
    if not wanted or before in (None, "eager"):
        yield
        return
    encoder.set_attn_implementation("eager")
    try:
        yield
    finally:
        encoder.set_attn_implementation(before)


@contextmanager
def readable_errors(name: str, encoder: PreTrainedModel, ids: Tensor) -> Iterator[None]:
    """Say what is wrong where an encoder cannot read its input.

    Args:
        name: of the encoder.
        encoder: runs inside.
        ids: (B, S), its input.

    Raises:
        ValueError: texts that are too long for it, or tokens that it does not have.
    """
    try:
        yield
    except (IndexError, RuntimeError) as error:
        config, length = encoder.config, ids.shape[1]
        positions = getattr(config, "max_position_embeddings", None)
        # Some kinds of encoders, such as roberta, do not use their first positions.
        too_long = positions is not None and length > positions - 2
        outside = int(ids.max()) >= config.vocab_size or int(ids.min()) < 0
        if isinstance(error, IndexError) and (outside or not too_long):
            raise ValueError(
                f"input_ids of {name!r} reach {int(ids.max())}, and its vocabulary has "
                f"{config.vocab_size} tokens: are the tokenizer and the model from the same folder?"
            ) from error
        if not too_long or isinstance(error, torch.OutOfMemoryError):
            raise
        raise ValueError(
            f"A text has {length} tokens for the encoder {name!r}, which has {positions} "
            "positions. Leave truncation on in the tokenizer, and max_length at most as long as "
            "its model_max_length."
        ) from error


def selected_layers(layers: Any, request: bool | int | Sequence[int] | None) -> Any:
    """The layers asked for, None in the place of others.

    Args:
        layers: one tensor per layer.
        request: True for all, or the places of some, counted from the end if negative.

    Raises:
        ValueError: a layer that is not there.
    """
    if layers is None or isinstance(request, bool | None):
        return layers
    asked, count = [request] if isinstance(request, int) else list(request), len(layers)
    if any(not -count <= place < count for place in asked):
        raise ValueError(f"Layers {asked} are asked for, and an encoder has {count}.")
    places = {place % count for place in asked}
    return tuple(layer if place in places else None for place, layer in enumerate(layers))


def load_encoder(
    name: str,
    source: str | os.PathLike[str] | PreTrainedModel,
    labels: Sequence[str] | None,
    dtype: torch.dtype,
    hub_options: dict[str, Any],
    stack_class: type[PreTrainedModel],
) -> LoadedEncoder:
    """Load an encoder from a Hub ID, a folder or a model.

    Args:
        name: its name in the stack, for messages.
        source: a bare encoder, a stock sequence classifier, or a stack of one encoder.
        labels: the labels its head has to have.
        dtype: of the weights.
        hub_options: `revision`, `token`, `cache_dir`, `local_files_only`.
        stack_class: a class that loads a stack, with or without its classifier.

    Raises:
        ValueError: a head for other labels, or a stack of several encoders.
    """
    if isinstance(source, PreTrainedModel):
        return _take_apart(name, source, labels)
    config = AutoConfig.from_pretrained(source, **hub_options)
    kinds = " ".join(config.architectures or [])
    options: dict[str, Any] = {}
    loader: Any = AutoModel
    if config.model_type == StackedEmotionConfig.model_type:
        loader = stack_class
    elif "ForSequenceClassification" in kinds and config.model_type in _STOCK_HEADS:
        loader = AutoModelForSequenceClassification
    else:
        options = _without_pooler(MODEL_MAPPING[type(config)])
    model = loader.from_pretrained(source, dtype=dtype, **options, **hub_options)
    return _take_apart(name, model, labels)


def _take_apart(name: str, model: PreTrainedModel, labels: Sequence[str] | None) -> LoadedEncoder:
    """The encoder of a model, and its head if it was fine-tuned on these labels."""
    config = model.config
    if config.model_type == StackedEmotionConfig.model_type:
        if len(config.encoder_names) != 1:
            raise ValueError(
                f"The source of {name!r} is a stack of {config.encoder_names}; only a stack of one "
                "encoder can be stacked again."
            )
        inner = config.encoder_names[0]
        _check_labels(name, config, labels)
        head = model.get_encoder_head(inner)
        return LoadedEncoder(
            model.get_encoder(inner), dict(config.encoder_heads[inner]), head.state_dict()
        )
    layout = _STOCK_HEADS.get(config.model_type)
    if layout is None or "ForSequenceClassification" not in type(model).__name__:
        return LoadedEncoder(model.base_model)
    _check_labels(name, config, labels)
    dense, output, activation = layout
    state = model.state_dict()
    head_state = {
        f"{part}.{kind}": state[f"{key}.{kind}"]
        for part, key in (("dense", dense), ("output", output))
        for kind in ("weight", "bias")
    }
    head_config = {"pooling": "first", "activation": activation}
    return LoadedEncoder(model.base_model, head_config, head_state)


def _check_labels(name: str, config: PreTrainedConfig, labels: Sequence[str] | None) -> None:
    own = [config.id2label[index] for index in range(config.num_labels)]
    if labels is not None and list(labels) != own:
        raise ValueError(
            f"The source of {name!r} was fine-tuned on the labels {own}, not on {list(labels)}; "
            "give its bare encoder, or the labels in its order."
        )
