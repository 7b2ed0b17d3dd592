"""Configuration of the stack: named encoders in a stated order, sizes, labels and thresholds."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field
from typing import Any

from transformers import CONFIG_MAPPING, PreTrainedConfig
from transformers.utils import logging

from .adaptive_stacked_emotion import check_adaptive
from .checks_stacked_emotion import (
    MAX_ENCODERS,
    check_encoder_keys,
    check_encoder_sizes,
    check_fields,
    check_heads,
    check_label_fields,
    refuse_hub_code,
    require,
    safe_labels,
)
from .dynamic_modules_stacked_emotion import findable
from .ngrams_stacked_emotion import HashedNgramsConfig

logger = logging.get_logger(__name__)

AUTO_MAP = {
    "AutoConfig": "configuration_stacked_emotion.StackedEmotionConfig",
    "AutoModel": "modeling_stacked_emotion.StackedEmotionModel",
    "AutoModelForSequenceClassification": (
        "modeling_stacked_emotion.StackedEmotionForSequenceClassification"
    ),
}
TASK = "emotion-classification"
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_LABEL_FIELDS = (
    "thresholds", "label_prevalence", "class_weights", "label_correlation", "adaptive", "abstain",
    "abstain_limits",
)  # fmt: skip
_HEAD_DEFAULTS = {"pooling": "mean", "activation": None}
# Keys of a config.json that are computed here, or that only old versions wrote.
_DERIVED = ("hidden_size", "vocab_size", "stacked_size", "label_names")
_NOT_READ = ("auto_map", "custom_pipelines", "contrastive_dim", *_DERIVED)
# What transformers takes beside its fields, and sets as properties.
_PROPERTIES = ("num_labels", "output_attentions", "name_or_path", "torch_dtype")
_MALFORMED = (AttributeError, KeyError, TypeError, IndexError, OverflowError, RecursionError)


class _SubConfigs:
    """`sub_configs` of an instance: one entry per encoder."""

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
        encoders: the configuration of each encoder, by name (a config or its dict). Each is also
            an attribute: `from_pretrained(folder, marbert={"hidden_dropout_prob": 0.3})`.
        encoder_heads: how each encoder's own head reads its hidden states, by name:
            `{"pooling": "mean" | "first", "activation": None | "tanh" | "gelu" | "relu"}`. With an
            activation the head has a dense layer before its output layer. With `"layers": [6, 12]`
            it reads these hidden layers side by side (0: the embeddings).
        stacking_level: "word", or "sentence" to stack one mean vector per text.
        use_word_embeddings: stack the word vectors; else only the encoders' logits.
        use_meta_learner: learn gates and a meta vector; else every encoder has the same gate.
        use_lstm: run the Bi-LSTM over the words; else they are pooled as they are.
        use_classifier: add the classifier's logits to `meta_logits`; else these are the logits,
            and there is neither Bi-LSTM nor attention pooling.
        ensemble_start: the classifier starts at zero and corrects `meta_logits`; else it alone
            gives the logits.
        meta_hidden_size: width of the meta-learner's hidden layer and of its meta vector.
        lstm_hidden_size: width of each direction of the Bi-LSTM.
        classifier_hidden_size: width of the classifier's hidden layer.
        dropout: probability, on the inputs of the meta-learner, the Bi-LSTM and the classifier.
        encoder_dropout: probability that a whole encoder is left out of a text while training.
        word_dropout: probability that a word is left out of the stack while training.
        initializer_range: standard deviation of the linear layers' initial weights.
        thresholds: one probability per label, at or above which the label is given.
        decision: "threshold": a label is given at or above its threshold. "expected_jaccard": of
            the k most likely labels, the k of the highest expected Jaccard with the true set,
            each label counting as likely as not at its threshold.
        decision_scale: slope of the log-odds in "expected_jaccard".
        min_labels: the smallest k in "expected_jaccard", 1 or 0.
        abstain: the share of texts that get labels, the surest ones; None for all.
        abstain_limits: the highest uncertainty of a text that gets labels, if 1 %, 2 %, …, 99 % of
            the texts do, see `checks_stacked_emotion.abstain_limit`.
        label_prevalence: share of the training texts with each label.
        class_weights: weight of the positives of each label in training.
        label_correlation: (labels, labels) phi coefficients of the training labels.
        adaptive: the order in which the encoders run, and when the ones that are left are skipped,
            see `adaptive_stacked_emotion.check_adaptive`; only predictors use it, on request.

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
    dropout: float = 0.3
    encoder_dropout: float = 0.1
    word_dropout: float = 0.1
    initializer_range: float = 0.02
    thresholds: list[float] | None = None
    decision: str = "threshold"
    decision_scale: float = 1.0
    min_labels: int = 1
    abstain: float | None = None
    abstain_limits: list[float] | None = None
    label_prevalence: list[float] | None = None
    class_weights: list[float] | None = None
    label_correlation: list[list[float]] | None = None
    adaptive: dict[str, Any] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        """Build the encoders' configs, then check every field."""
        for key in _NOT_READ:
            kwargs.pop(key, None)
        own = kwargs.pop("model_type", self.model_type)
        require(own == self.model_type, "model_type", own, repr(self.model_type))
        for key in kwargs:
            if key.startswith("__") or (hasattr(type(self), key) and key not in _PROPERTIES):
                raise ValueError(f"{key} is not a field of the configuration.")
        check_fields(self, kwargs)
        if getattr(self, "problem_type", None) is None:
            self.problem_type = "multi_label_classification"
        if (labels := getattr(self, "label2id", None)) and getattr(self, "id2label", None) is None:
            self.id2label = _inverted(labels)
        self.encoders = {
            name: _encoder_config(name, config) for name, config in self.encoders.items()
        }
        self.encoder_names = list(self.encoder_names) or list(self.encoders)
        self.encoder_heads = {name: {} for name in self.encoder_names} | self.encoder_heads
        self._check_encoders()
        check_heads(self.encoder_heads, self.encoders, self.encoder_names)
        self.encoder_heads = {
            name: _HEAD_DEFAULTS | dict(head or {}) for name, head in self.encoder_heads.items()
        }
        with _one_kind_of_error():
            super().__post_init__(**kwargs)
        self.auto_map = dict(AUTO_MAP)
        self.check()

    def __getattr__(self, name: str) -> Any:
        encoders = self.__dict__.get("encoders") or {}
        if name in encoders:
            return encoders[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, key: str, value: Any) -> None:
        if key in _DERIVED:
            raise ValueError(f"{key} follows from the other fields and cannot be set.")
        if key == "_attn_implementation":
            check_encoder_keys("attn_implementation", value, self.__dict__.get("encoder_names", ()))
        made = "_post_init_done" in self.__dict__
        encoders = self.__dict__.get("encoders")
        if isinstance(encoders, dict) and key in encoders and not hasattr(type(self), key):
            key, value, made = "encoders", {key: value}, True
        if key == "encoders" and made:
            value = _merged(encoders or {}, value)
        if key == "label2id" and made and value is not None:
            self.id2label = _inverted(value)
            return
        if key == "id2label" and value is not None:
            value = safe_labels(value)
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
        if self.use_lstm and self.use_classifier:
            return 2 * self.lstm_hidden_size
        return self.stacked_size + (self.meta_hidden_size if self.use_meta_learner else 0)

    @property
    def vocab_size(self) -> int:
        """Size of the first encoder's vocabulary, whose embeddings `get_input_embeddings` gives."""
        return self.encoders[self.encoder_names[0]].vocab_size if self.encoder_names else 0

    @property
    def label_names(self) -> list[str]:
        """The labels in the order of the logits."""
        return [self.id2label[index] for index in range(len(self.id2label or {}))]

    @property
    def custom_pipelines(self) -> dict[str, dict[str, Any]]:
        """The pipeline that this repository brings along, for `transformers.pipeline`.

        Made again at each access, since `transformers.pipeline` writes into it.
        """
        impl = "pipeline_stacked_emotion.StackedEmotionPipeline"
        return {TASK: {"impl": impl, "pt": ["AutoModelForSequenceClassification"]}}

    @custom_pipelines.setter
    def custom_pipelines(self, value: Any) -> None:
        """Ignored: the pipeline belongs to the code, not to a saved model."""

    def check(self) -> None:
        """Refuse values that do not fit, naming the field.

        Raises:
            ValueError: with the field, the value and what is allowed.
        """
        check_fields(self, {})
        if not self.encoder_names and not self.encoders:
            return  # the bare default, which transformers makes to compare with
        self._check_encoders()
        check_heads(self.encoder_heads, self.encoders, self.encoder_names)
        check_label_fields(self)
        check_adaptive(self.adaptive, self.encoder_names, self.num_labels)

    def _check_encoders(self) -> None:
        names = self.encoder_names
        require(len(names) <= MAX_ENCODERS, "encoder_names", names, f"at most {MAX_ENCODERS} names")
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
        if sorted(set(names)) != sorted(names):
            raise ValueError(f"encoder_names has a name twice: {names}.")
        if set(names) != set(self.encoders):
            raise ValueError(
                f"encoder_names are {names}, but encoders holds {sorted(self.encoders)}; every "
                "name needs one configuration."
            )
        for name in names:
            check_encoder_sizes(name, self.encoders[name])

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """As in `PreTrainedConfig`; what the options change is checked too.

        Raises:
            ValueError: a field that does not fit.
        """
        if not isinstance(config_dict, dict):
            raise ValueError(f"config.json must hold an object, not {type(config_dict).__name__}.")
        with _one_kind_of_error():
            made = super().from_dict(config_dict, **kwargs)
        (made[0] if isinstance(made, tuple) else made).check()
        return made

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """As in `PreTrainedConfig`.

        Raises:
            ValueError: a field that does not fit.
            OSError: there is no `config.json`, or it is not JSON.
        """
        with _one_kind_of_error():
            return super().from_pretrained(*args, **kwargs)

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
        output["custom_pipelines"] = self.custom_pipelines
        return output


StackedEmotionConfig._auto_class = "AutoConfig"


@contextmanager
def _one_kind_of_error() -> Iterator[None]:
    """What transformers makes of malformed fields of its own becomes a ValueError."""
    try:
        yield
    except _MALFORMED as error:
        raise ValueError(
            f"The configuration is malformed: {type(error).__name__}: {error}"
        ) from error


def _inverted(label2id: Any) -> dict[int, str]:
    if not isinstance(label2id, Mapping):
        raise ValueError(f"label2id must map labels to numbers, not {label2id!r}.")
    return safe_labels({index: label for label, index in label2id.items()})


def _encoder_config(name: str, config: Any) -> PreTrainedConfig:
    """The config of an encoder from itself or its dict."""
    if isinstance(config, PreTrainedConfig):
        return config
    if not isinstance(config, Mapping):
        raise ValueError(
            f"encoders[{name!r}] must be a config or its dict, not {type(config).__name__}."
        )
    values = copy.deepcopy(dict(config))
    model_type = values.pop("model_type", None)
    lexical = model_type == HashedNgramsConfig.model_type
    known = lexical or (isinstance(model_type, str) and model_type in CONFIG_MAPPING)
    if not known or model_type == StackedEmotionConfig.model_type:
        raise ValueError(
            f"encoders[{name!r}].model_type is {model_type!r}, which this version of transformers "
            "does not know as an encoder."
        )
    for key in [key for key in values if "attn_implementation" in str(key)]:
        refuse_hub_code(f"encoders[{name!r}].{key}", values[key])
    try:
        return (HashedNgramsConfig if lexical else CONFIG_MAPPING[model_type])(**values)
    except Exception as error:  # every model type has checks and errors of its own
        raise ValueError(f"encoders[{name!r}] is malformed: {error}") from error


def _merged(before: Mapping[str, PreTrainedConfig], given: Any) -> dict[str, PreTrainedConfig]:
    """Encoder configs with some replaced, or some of their fields changed."""
    if not isinstance(given, Mapping):
        raise ValueError(f"encoders must be configs by name, not {type(given).__name__}.")
    merged = dict(before)
    for name, config in given.items():
        if before and name not in before:
            raise ValueError(f"encoders has no {name!r} to change; it has {list(before)}.")
        if isinstance(config, Mapping) and "model_type" not in config and name in before:
            config = {**before[name].to_dict(), **config}
        merged[name] = _encoder_config(name, config)
        for request in ("output_hidden_states", "output_attentions"):
            if getattr(merged[name], request) and not getattr(before.get(name), request, True):
                raise ValueError(f"encoders[{name!r}]: set {request} on the stack instead.")
        if name in before and merged[name]._attn_implementation is None:
            merged[name]._attn_implementation = before[name]._attn_implementation
    return merged
