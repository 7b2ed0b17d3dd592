"""Configuration of the stack: named encoders in a stated order, sizes, labels and thresholds."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from math import isfinite
from typing import Any

from transformers import CONFIG_MAPPING, PreTrainedConfig
from transformers.utils import logging

from .dynamic_modules_stacked_emotion import findable

logger = logging.get_logger(__name__)

AUTO_MAP = {
    "AutoConfig": "configuration_stacked_emotion.StackedEmotionConfig",
    "AutoModel": "modeling_stacked_emotion.StackedEmotionModel",
    "AutoModelForSequenceClassification": (
        "modeling_stacked_emotion.StackedEmotionForSequenceClassification"
    ),
}
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_LABEL_FIELDS = ("thresholds", "label_prevalence", "class_weights", "label_correlation")
_HEAD_DEFAULTS = {"pooling": "mean", "activation": None}
_HEAD_CHOICES = {"pooling": ("mean", "first"), "activation": (None, "tanh", "gelu", "relu")}


class _SubConfigs:
    """`sub_configs` of an instance: one entry an encoder, whatever their number."""

    def __get__(self, instance: Any, owner: type) -> dict[str, type]:
        if instance is None:
            return {}
        encoders = instance.__dict__.get("encoders") or {}
        return {name: type(config) for name, config in encoders.items()}


@findable
class StackedEmotionConfig(PreTrainedConfig):
    """Configuration of `StackedEmotionModel` and `StackedEmotionForSequenceClassification`.

    Args:
        encoder_names: the encoders in the order of the stack. It is the order of the encoder axis,
            of the concatenation, of the gates and of the tokenizers.
        encoders: the configuration of each encoder, by name (a config or its dict).
        encoder_heads: how each encoder's own head reads its hidden states, by name:
            `{"pooling": "mean" | "first", "activation": None | "tanh" | "gelu" | "relu"}`. With an
            activation the head has a dense layer before its output layer.
        stacking_level: "word", or "sentence" to stack one mean vector a text.
        use_word_embeddings: stack the word vectors; else only the encoders' logits.
        use_meta_learner: learn gates and a meta vector; else every encoder has the same gate.
        use_lstm: run the Bi-LSTM over the words; else they are pooled as they are.
        use_classifier: add the classifier's logits to `meta_logits`; else these are the logits.
        ensemble_start: the classifier starts at zero and corrects `meta_logits`; else it alone
            gives the logits.
        meta_hidden_size: width of the meta-learner's hidden layer and of its meta vector.
        lstm_hidden_size: width of each direction of the Bi-LSTM.
        classifier_hidden_size: width of the classifier's hidden layer.
        contrastive_dim: width of `embedding`; 0 for no projection.
        dropout: probability, on the inputs of the meta-learner, the Bi-LSTM and the classifier.
        encoder_dropout: probability that a whole encoder is left out of a text while training.
        word_dropout: probability that a word is left out of the stack while training.
        initializer_range: standard deviation of the linear layers' initial weights.
        thresholds: one probability a label, above or at which the label is given.
        decision: "threshold": a label is given at or above its threshold. "expected_jaccard": of
            the k most likely labels, the k >= 1 of the highest expected Jaccard with the true set,
            each label counting as likely as not at its threshold.
        decision_scale: slope of the log-odds in "expected_jaccard".
        label_prevalence: share of the training texts with each label.
        class_weights: weight of the positives of each label in training.
        label_correlation: (labels, labels) phi coefficients of the training labels.

    Raises:
        ValueError: a value that does not fit, with the name of its field.
    """

    model_type = "stacked_emotion"
    has_no_defaults_at_init = True
    keys_to_ignore_at_inference = [  # noqa: RUF012
        "meta_logits",
        "encoder_logits",
        "embedding",
        "pooler_output",
        "last_hidden_state",
        "gates",
        "word_attention",
        "word_mask",
        "hidden_states",
        "attentions",
    ]
    sub_configs = _SubConfigs()

    encoder_names: list[str] = field(default_factory=list)
    encoders: dict[str, Any] = field(default_factory=dict)
    encoder_heads: dict[str, Any] = field(default_factory=dict)
    stacking_level: str = "word"
    use_word_embeddings: bool = True
    use_meta_learner: bool = True
    use_lstm: bool = True
    use_classifier: bool = True
    ensemble_start: bool = True
    meta_hidden_size: int = 64
    lstm_hidden_size: int = 128
    classifier_hidden_size: int = 128
    contrastive_dim: int = 64
    dropout: float = 0.3
    encoder_dropout: float = 0.1
    word_dropout: float = 0.1
    initializer_range: float = 0.02
    thresholds: list[float] | None = None
    decision: str = "threshold"
    decision_scale: float = 1.0
    label_prevalence: list[float] | None = None
    class_weights: list[float] | None = None
    label_correlation: list[list[float]] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        """Build the encoders' configs, then check every field."""
        if getattr(self, "problem_type", None) is None:
            self.problem_type = "multi_label_classification"
        self.encoders = {
            name: _encoder_config(name, config) for name, config in dict(self.encoders).items()
        }
        self.encoder_names = list(self.encoder_names) or list(self.encoders)
        self.encoder_heads = {
            name: _HEAD_DEFAULTS | dict(self.encoder_heads.get(name) or {})
            for name in self.encoder_names
        } | {
            name: head
            for name, head in self.encoder_heads.items()
            if name not in self.encoder_names
        }
        if self.encoder_names:
            self._check_encoders()
        kwargs.pop("auto_map", None)
        super().__post_init__(**kwargs)
        self.auto_map = dict(AUTO_MAP)
        self.check()

    def __getattr__(self, name: str) -> Any:
        encoders = self.__dict__.get("encoders") or {}
        if name in encoders:
            return encoders[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, key: str, value: Any) -> None:
        if key == "id2label" and value is not None:
            value = {int(index): str(label) for index, label in value.items()}
            before = self.__dict__.get("id2label")
            if before is not None and value != before:
                self._drop_label_fields()
            super().__setattr__("label2id", {label: index for index, label in value.items()})
        super().__setattr__(key, value)

    def _drop_label_fields(self) -> None:
        dropped = [name for name in _LABEL_FIELDS if getattr(self, name) is not None]
        for name in dropped:
            setattr(self, name, None)
        if dropped:
            logger.warning(
                "The labels were changed: %s belonged to the old ones and are dropped.",
                ", ".join(dropped),
            )

    @property
    def stacked_size(self) -> int:
        """Width of the stacked word embeddings: the sum of the encoders' hidden sizes."""
        return sum(self.encoders[name].hidden_size for name in self.encoder_names)

    @property
    def hidden_size(self) -> int:
        """Width of `pooler_output`."""
        if self.use_lstm:
            return 2 * self.lstm_hidden_size
        return self.stacked_size + (self.meta_hidden_size if self.use_meta_learner else 0)

    @property
    def label_names(self) -> list[str]:
        """The labels in the order of the logits."""
        return [self.id2label[index] for index in range(len(self.id2label or {}))]

    def check(self) -> None:
        """Refuse values that do not fit, naming the field.

        Raises:
            ValueError: with the field, the value and what is allowed.
        """
        if not self.encoder_names and not self.encoders:
            return  # the bare default, which transformers makes to compare with
        self._check_encoders()
        for name in ("meta_hidden_size", "lstm_hidden_size", "classifier_hidden_size"):
            _require(int(getattr(self, name)) >= 1, name, getattr(self, name), "at least 1")
        _require(self.contrastive_dim >= 0, "contrastive_dim", self.contrastive_dim, "0 or more")
        for name in ("dropout", "encoder_dropout", "word_dropout"):
            value = getattr(self, name)
            _require(0.0 <= value < 1.0, name, value, "in [0, 1)")
        levels = ("word", "sentence")
        _require(self.stacking_level in levels, "stacking_level", self.stacking_level, f"{levels}")
        ways = ("threshold", "expected_jaccard")
        _require(self.decision in ways, "decision", self.decision, f"one of {ways}")
        _require(self.decision_scale > 0, "decision_scale", self.decision_scale, "above 0")
        self._check_labels()

    def _check_encoders(self) -> None:
        names = self.encoder_names
        if sorted(set(names)) != sorted(names):
            raise ValueError(f"encoder_names has a name twice: {names}.")
        if set(names) != set(self.encoders):
            raise ValueError(
                f"encoder_names are {names}, but encoders holds {sorted(self.encoders)}; every "
                "name needs one configuration."
            )
        for name in names:
            if not _NAME.fullmatch(name):
                raise ValueError(
                    f"encoder_names: {name!r} must match [a-z][a-z0-9_]* (lower case, digits, _)."
                )
            if hasattr(type(self), name) or name in self.__dict__:
                raise ValueError(
                    f"encoder_names: {name!r} clashes with an attribute of the configuration; "
                    "choose another name."
                )
        if unknown := sorted(set(self.encoder_heads) - set(names)):
            raise ValueError(f"encoder_heads names {unknown}, which are not among {names}.")
        for name, head in self.encoder_heads.items():
            for key, value in head.items():
                allowed = _HEAD_CHOICES.get(key)
                if allowed is None or value not in allowed:
                    raise ValueError(
                        f"encoder_heads[{name!r}]: {key}={value!r} is not known; allowed are "
                        f"{_HEAD_CHOICES}."
                    )

    def _check_labels(self) -> None:
        labels = self.num_labels or 0
        if self.id2label is not None and sorted(self.id2label) != list(range(labels)):
            raise ValueError(f"id2label must have the keys 0..{labels - 1}, not {self.id2label}.")
        if self.id2label is not None and len(set(self.id2label.values())) != labels:
            raise ValueError(f"id2label has a label twice: {list(self.id2label.values())}.")
        for name in ("thresholds", "label_prevalence", "class_weights"):
            values = getattr(self, name)
            if values is None:
                continue
            if len(values) != labels:
                raise ValueError(
                    f"{name} has {len(values)} values for {labels} labels; it needs one a label."
                )
            upper = float("inf") if name == "class_weights" else 1.0
            for label, value in zip(self.label_names, values, strict=True):
                if not (isfinite(value) and 0.0 <= value <= upper):
                    raise ValueError(f"{name}[{label!r}] is {value}; it must be in [0, {upper}].")
        matrix = self.label_correlation
        if matrix is None:
            return
        if len(matrix) != labels or any(len(row) != labels for row in matrix):
            raise ValueError(f"label_correlation must be {labels} rows of {labels} values.")
        if any(not isfinite(value) or abs(value) > 1.0 + 1e-6 for row in matrix for value in row):
            raise ValueError("label_correlation holds a value that is not within [-1, 1].")

    def save_pretrained(
        self, save_directory: str | os.PathLike[str], push_to_hub: bool = False, **kwargs: Any
    ) -> None:
        """Check the fields, then write `config.json` and the code file."""
        self.check()
        super().save_pretrained(save_directory, push_to_hub=push_to_hub, **kwargs)

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain values; `encoders` by name, their order is in `encoder_names`."""
        output = super().to_dict()
        output["encoders"] = {}
        for name, config in self.encoders.items():
            plain = config.to_dict()
            for key in ("transformers_version", "_name_or_path"):
                plain.pop(key, None)
            self.dict_dtype_to_str(plain)
            output["encoders"][name] = plain
        output["auto_map"] = dict(AUTO_MAP)
        return output


StackedEmotionConfig._auto_class = "AutoConfig"


def _encoder_config(name: str, config: PreTrainedConfig | Mapping[str, Any]) -> PreTrainedConfig:
    if isinstance(config, PreTrainedConfig):
        return config
    if not isinstance(config, Mapping):
        raise ValueError(f"encoders[{name!r}] must be a config or its dict, not {type(config)}.")
    values = copy.deepcopy(dict(config))
    model_type = values.pop("model_type", None)
    if model_type not in CONFIG_MAPPING:
        raise ValueError(
            f"encoders[{name!r}].model_type is {model_type!r}, which this version of transformers "
            "does not know."
        )
    return CONFIG_MAPPING[model_type](**values)


def _require(holds: bool, name: str, value: Any, allowed: str) -> None:
    if not holds:
        raise ValueError(f"{name} is {value!r}; it must be {allowed}.")


def head_defaults(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The plain head (mean of the sub-words, one linear layer) for each of these encoders."""
    return {name: dict(_HEAD_DEFAULTS) for name in names}
