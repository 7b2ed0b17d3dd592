"""Learning rates by part of the model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from torch import nn

from ..common.errors import UserError
from ..modeling_stacked_emotion import StackedEmotionForSequenceClassification
from .training_sections import PARTS

REFERENCE_WIDTH = 768
REFERENCE_LEARNING_RATE = 2.5e-5
LABEL_TRUST = "label_trust"
_LAYER = re.compile(r"(?:^|\.)(?:layer|layers)\.(\d+)\.")


def width_scaled_learning_rate(hidden_size: int) -> float:
    """Learning rate of an encoder from its width: 2.5e-5 * (768 / width)^2.

    Our choice: it gives the usual 2.5e-5 for BERT-base, and the 1e-4 and 2e-4 that small encoders
    of width 384 and 256 were seen to want.
    """
    return REFERENCE_LEARNING_RATE * (REFERENCE_WIDTH / hidden_size) ** 2


def layer_of(parameter_name: str) -> int | None:
    """The encoder layer a parameter is in, counted from 0; None for embeddings and other parts."""
    match = _LAYER.search(parameter_name)
    return int(match.group(1)) if match else None


def parts_of(model: StackedEmotionForSequenceClassification) -> dict[str, list[nn.Module]]:
    """The modules by the names a recipe may freeze them by."""
    names = model.config.encoder_names
    encoders = {name: model.get_encoder(name) for name in names}
    parts: dict[str, list[nn.Module]] = {name: [encoder] for name, encoder in encoders.items()}
    parts["encoders"] = list(encoders.values())
    parts["heads"] = [model.get_encoder_head(name) for name in names]
    for name in PARTS[2:]:
        child = model.classifier if name == "classifier" else getattr(model.stack, name, None)
        if child is not None and next(child.parameters(), None) is not None:
            parts[name] = [child]
    return parts


def freeze_parts(model: StackedEmotionForSequenceClassification, names: list[str]) -> None:
    """Leave parts of the stack, by names in `parts_of`, out of training; absent ones are ignored.

    Raises:
        UserError: nothing is left to be trained.
    """
    parts = parts_of(model)
    for name in names:
        for module in parts.get(name, []):
            module.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise UserError("joint.frozen_parts leaves nothing to be trained in stage joint.")


def parameter_groups(
    model: StackedEmotionForSequenceClassification,
    encoder_learning_rates: dict[str, float],
    head_factor: float,
    weight_decay: float,
    layer_decay: float = 1.0,
) -> list[dict[str, Any]]:
    """Optimizer groups: one per learning rate and weight decay.

    Args:
        model: the stack.
        encoder_learning_rates: by encoder name, of its top layer.
        head_factor: learning rate of everything else over the largest of them.
        weight_decay: on matrices; biases and norms have none.
        layer_decay: learning rate of a layer over that of the layer above it.
    """
    rates: dict[str, float] = {}
    other = head_factor * max(encoder_learning_rates.values())
    for name, _ in model.named_parameters():
        rate = other
        for encoder, base in encoder_learning_rates.items():
            if f"encoder_{encoder}." in name:
                depth = getattr(model.get_encoder(encoder).config, "num_hidden_layers", 0)
                layer = layer_of(name)
                below = depth if layer is None else depth - 1 - layer
                rate = base * layer_decay**below
            elif f"head_{encoder}." in name:
                rate = base * head_factor
        rates[name] = rate
    return grouped_parameters(model, rates, weight_decay)


def top_parameter_groups(
    model: StackedEmotionForSequenceClassification,
    learning_rate: float,
    trust_factor: float,
    weight_decay: float,
) -> list[dict[str, Any]]:
    """Optimizer groups of the layers on top of the encoders.

    The learning rate of `label_trust` is larger by `trust_factor`: these few numbers, on the scale
    of log-weights, have a way to go that a rate for matrices would not cover.
    """
    rates = {
        name: learning_rate * (trust_factor if name.endswith(LABEL_TRUST) else 1.0)
        for name, _ in model.named_parameters()
    }
    return grouped_parameters(model, rates, weight_decay)


def grouped_parameters(
    model: nn.Module, rates: dict[str, float], weight_decay: float
) -> list[dict[str, Any]]:
    """Optimizer groups of the parameters that are trained, by their learning rates by name.

    The weight decay is on matrices; biases, norms and `label_trust` have none.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        decays = parameter.dim() > 1 and not name.endswith(LABEL_TRUST)
        groups.setdefault((rates[name], weight_decay if decays else 0.0), []).append(parameter)
    return [
        {"params": members, "lr": rate, "weight_decay": decay}
        for (rate, decay), members in groups.items()
    ]


def top_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters that are neither an encoder's nor an encoder head's, with their names."""
    for name, parameter in model.named_parameters():
        if ".encoder_" not in f".{name}" and ".head_" not in f".{name}":
            yield name, parameter
