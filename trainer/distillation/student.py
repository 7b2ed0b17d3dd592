"""The student: a stock sequence classifier on a pretrained encoder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from ...common.errors import UserError, counted
from ...common.numerics import logit
from ...inference.model_files import CONFIG, hub_file, local_folder
from ..parameter_groups import grouped_parameters, width_scaled_learning_rate

_LAYERS = ("encoder.layer", "transformer.layer", "layers", "encoder.layers")
HEAD_PARTS = {"classifier", "pooler", "pre_classifier", "score", "head"}


def build_student(
    source: str,
    labels: Sequence[str],
    prevalence: np.ndarray,
    revision: str | None = None,
    layers: int | None = None,
    attn_implementation: str | None = None,
) -> PreTrainedModel:
    """A stock classifier with the pretrained encoder's weights and a new head.

    The output bias starts at the log-odds of each label's prevalence, (labels,). With `layers`,
    only so many of the encoder's are kept; see `keep_layers`.

    Raises:
        UserError: no stock encoder, or one whose layers cannot be chosen.
    """
    check_student(source, revision)
    attention = {"attn_implementation": attn_implementation} if attn_implementation else {}
    model = AutoModelForSequenceClassification.from_pretrained(
        source,
        num_labels=len(labels),
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
        problem_type="multi_label_classification",
        dtype=torch.float32,
        ignore_mismatched_sizes=True,
        revision=revision or "main",
        **attention,
    )
    if layers is not None:
        keep_layers(model, layers)
    with torch.no_grad():
        output_layer(model).bias.copy_(torch.from_numpy(logit(prevalence, 1e-4)))
    return model


def check_student(source: str, revision: str | None = None) -> None:
    """Refuse what cannot be a stock student, before anything is computed.

    Raises:
        UserError: no model is there, or one without a stock sequence classifier.
    """
    try:
        if local_folder(source, revision) is None:
            hub_file(source, CONFIG, revision)
        config = AutoConfig.from_pretrained(source, revision=revision or "main")
    except (OSError, ValueError) as error:
        raise UserError(
            f"--student {source} cannot be loaded: {str(error).strip().splitlines()[0]} "
            "It must be the folder or Hub ID of a stock encoder."
        ) from error
    if type(config) not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING or hasattr(config, "auto_map"):
        raise UserError(
            f"--student {source} is a {config.model_type} model, not a stock encoder: "
            "transformers has no sequence classifier for it."
        )


def student_tokenizer(
    source: str, revision: str | None = None, max_length: int = 128
) -> PreTrainedTokenizerBase:
    """The encoder's stock tokenizer; `max_length` is lowered to the positions that it takes."""
    tokenizer = AutoTokenizer.from_pretrained(source, revision=revision or "main")
    tokenizer.model_max_length = min(max_length, tokenizer.model_max_length)
    return tokenizer


def keep_layers(model: PreTrainedModel, count: int) -> None:
    """Keep some layers of the encoder, evenly spaced from the first to the last.

    As in Sanh et al. (2019) and Turc et al. (2019), a smaller student starts from a larger
    encoder's layers.

    Raises:
        UserError: more layers than there are, or an encoder without a plain list of layers.
    """
    found = (_submodule(model.base_model, path) for path in _LAYERS)
    layers = next((one for one in found if isinstance(one, nn.ModuleList)), None)
    if layers is None or not hasattr(model.config, "num_hidden_layers"):
        raise UserError(
            f"--student_layers: the layers of a {model.config.model_type} encoder are unknown."
        )
    if count > len(layers):
        raise UserError(
            f"--student_layers is {count}; the encoder has {counted(len(layers), 'layer')}."
        )
    places = np.unique(np.linspace(0, len(layers) - 1, count).round().astype(int))
    kept = [layers[place] for place in places]
    del layers[:]
    layers.extend(kept)
    kinds = getattr(model.config, "layer_types", None)
    if kinds is not None:
        model.config.layer_types = [kinds[place] for place in places]
    model.config.num_hidden_layers = len(layers)


def output_layer(model: PreTrainedModel) -> nn.Linear:
    """The layer whose outputs are the logits.

    Raises:
        UserError: it is not among the last layers stock classifiers have.
    """
    for path in ("classifier", "classifier.out_proj", "score"):
        module = _submodule(model, path)
        if isinstance(module, nn.Linear) and module.out_features == model.config.num_labels:
            return module
    raise UserError(f"The output layer of a {model.config.model_type} classifier is unknown.")


def fold_thresholds(model: PreTrainedModel, thresholds: np.ndarray) -> None:
    """Shift the output bias so that a score of 0.5 stands where the (labels,) thresholds were.

    sigmoid(z − logit(t)) >= 0.5 exactly where sigmoid(z) >= t.
    """
    bias = output_layer(model).bias
    with torch.no_grad():
        bias.sub_(torch.from_numpy(logit(thresholds, 1e-6)).to(bias))


def student_groups(
    model: PreTrainedModel, learning_rate: float | None, head_factor: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Optimizer groups: the encoder, and the head with a larger learning rate by `head_factor`.

    Without a learning rate, the encoder's is the one its width gives. Biases and norms have no
    weight decay.
    """
    rate = learning_rate or width_scaled_learning_rate(model.config.hidden_size)
    rates = {
        name: rate * (head_factor if HEAD_PARTS & set(name.split(".")) else 1.0)
        for name, _ in model.named_parameters()
    }
    return grouped_parameters(model, rates, weight_decay)


def save_student(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    thresholds: np.ndarray,
    fold: bool,
) -> list[float]:
    """Write a stock folder: weights, configuration and tokenizer, no code.

    The thresholds stand in the configuration as extra data; a stock pipeline does not read them.
    With `fold` the model is changed in place so that 0.5 is each label's threshold.

    Returns:
        The thresholds of the saved model.
    """
    limits = [float(value) for value in thresholds]
    if fold:
        fold_thresholds(model, thresholds)
        model.config.folded_thresholds = limits
        limits = [0.5] * len(limits)
    model.config.thresholds = limits
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return limits


def _submodule(model: nn.Module, path: str) -> nn.Module | None:
    try:
        return model.get_submodule(path)
    except AttributeError:
        return None
