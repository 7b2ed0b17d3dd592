"""What a configuration may hold: one place that refuses everything else, naming the field."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from math import ceil, isfinite
from typing import Any

MAX_ENCODERS = 64
MAX_LABELS = 10_000
MAX_WIDTH = 65_536
MAX_WEIGHTS = 10**11
COVERAGES = 99
SLACK = 1e-9  # what rounding may add to an uncertainty
_SIZES = ("meta_hidden_size", "lstm_hidden_size", "classifier_hidden_size")
_SHARES = ("dropout", "encoder_dropout", "word_dropout")
_SWITCHES = (
    "use_word_embeddings", "use_meta_learner", "use_lstm", "use_classifier", "ensemble_start",
    "return_dict",
)  # fmt: skip
_CHOICES = {
    "stacking_level": ("word", "sentence"),
    "decision": ("threshold", "expected_jaccard"),
    "problem_type": (None, "multi_label_classification"),
}
_HEAD_CHOICES = {"pooling": ("mean", "first"), "activation": (None, "tanh", "gelu", "relu")}
_VECTORS = ("thresholds", "label_prevalence", "class_weights")
# Sizes that nearly every encoder has under one of these names, and the most each may be.
_ENCODER_SIZES = {
    "hidden_size": MAX_WIDTH,
    "embedding_size": MAX_WIDTH,
    "intermediate_size": 16 * MAX_WIDTH,
    "num_hidden_layers": 1_000,
    "num_attention_heads": 10_000,
    "vocab_size": 10_000_000,
    "max_position_embeddings": 10_000_000,
    "type_vocab_size": MAX_WIDTH,
    "bucket_bits": 18,
    "piece_length": 64,
    "shortest_ngram": 16,
    "longest_ngram": 16,
}
_MAY_BE_ZERO = ("type_vocab_size",)
# Arguments of `forward` that change nothing here: what the tokenizer adds on request, the count for
# losses that are sums, and what models with a decoder take.
_WITHOUT_EFFECT = ("length", "truncated", "word_offsets", "num_items_in_batch", "use_cache")


def require(holds: bool, name: str, value: Any, allowed: str) -> None:
    """Refuse a value unless the condition holds.

    Raises:
        ValueError: with the field, the value (shortened) and what is allowed.
    """
    if not holds:
        shown = repr(value)
        shown = shown if len(shown) <= 200 else f"{shown[:200]}…"
        raise ValueError(f"{name} is {shown}; it must be {allowed}.")


def is_number(value: Any) -> bool:
    """A finite int or float, and no bool."""
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def is_integer(value: Any) -> bool:
    """An int, and no bool."""
    return isinstance(value, int) and not isinstance(value, bool)


def check_fields(config: Any, others: Mapping[str, Any]) -> None:
    """Types and ranges of the fields that stand by themselves.

    Args:
        config: the configuration.
        others: fields that transformers reads and that are not set yet.

    Raises:
        ValueError: with the field, the value and what is allowed.
    """
    names = config.encoder_names
    listed = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    require(listed, "encoder_names", names, "a list of names")
    require(
        config.is_encoder_decoder is False,
        "is_encoder_decoder", config.is_encoder_decoder, "false: a stack has no decoder",
    )  # fmt: skip
    for name in ("encoders", "encoder_heads"):
        value = getattr(config, name)
        require(
            isinstance(value, dict) and all(isinstance(key, str) for key in value),
            name, value, "an object with one entry per encoder",
        )  # fmt: skip
    for name in _SIZES:
        value = getattr(config, name)
        require(
            is_integer(value) and 1 <= value <= MAX_WIDTH,
            name, value, f"a whole number, at least 1 and at most {MAX_WIDTH}",
        )  # fmt: skip
    for name in _SHARES:
        value = getattr(config, name)
        require(is_number(value) and 0.0 <= value < 1.0, name, value, "a number in [0, 1)")
    for name in ("initializer_range", "decision_scale"):
        value = getattr(config, name)
        require(is_number(value) and 0.0 < value <= 1e6, name, value, "a number above 0")
    value = config.min_labels
    require(is_integer(value) and value in (0, 1), "min_labels", value, "0 or 1")
    abstain_limit(config.abstain, config.abstain_limits)
    for name in _SWITCHES:
        require(
            isinstance(getattr(config, name), bool), name, getattr(config, name), "true or false"
        )
    for name, choices in _CHOICES.items():
        value = getattr(config, name)
        known = (value is None or isinstance(value, str)) and value in choices
        require(known, name, value, f"one of {choices}")
    _check_fields_of_transformers(config, others)


def abstain_limit(abstain: Any, limits: Any) -> float | None:
    """The highest uncertainty at which a text gets labels; None where every text does.

    Args:
        abstain: the share of texts that get labels, rounded up to a whole percent; None for all.
        limits: `COVERAGES` uncertainties, for shares of 1 %, 2 %, …, 99 %; None if not known.

    Raises:
        ValueError: a value that does not fit, with its field in `config.json`.
    """
    if limits is not None:
        fits = isinstance(limits, list | tuple) and len(limits) == COVERAGES
        fits = fits and all(is_number(value) and 0 <= value <= 1 for value in limits)
        require(
            fits and sorted(limits) == list(limits),
            "abstain_limits", limits, f"null, or {COVERAGES} ascending numbers in [0, 1]",
        )  # fmt: skip
    if abstain is None:
        return None
    fits = is_number(abstain) and 0 < abstain <= 1
    require(fits, "abstain", abstain, "null, or a number above 0 and at most 1")
    place = ceil(round((COVERAGES + 1) * abstain, 6)) - 1
    if place == COVERAGES:
        return None
    require(limits is not None, "abstain", abstain, "null where abstain_limits is null")
    return float(limits[place]) + SLACK


def _check_fields_of_transformers(config: Any, others: Mapping[str, Any]) -> None:
    dtype = config.dtype
    if isinstance(dtype, str):
        import torch

        found = isinstance(getattr(torch, dtype, None), torch.dtype)
        require(found, "dtype", dtype, "the name of a torch dtype")
    else:
        require(dtype is None or type(dtype).__name__ == "dtype", "dtype", dtype, "a torch dtype")
    kinds = config.architectures
    listed = isinstance(kinds, list | tuple) and all(isinstance(kind, str) for kind in kinds)
    require(kinds is None or listed, "architectures", kinds, "a list of class names")
    labels = others.get("num_labels", 1)
    require(
        labels is None or (is_integer(labels) and 1 <= labels <= MAX_LABELS),
        "num_labels", labels, f"a whole number, at least 1 and at most {MAX_LABELS}",
    )  # fmt: skip
    value = others.get("output_attentions")
    require(value is None or isinstance(value, bool), "output_attentions", value, "true or false")
    for name in ("attn_implementation", "experts_implementation"):
        value = others.get(name)
        allowed = value is None or isinstance(value, str | dict)
        require(allowed, name, value, "a name, or names by encoder")
        refuse_hub_code(name, value)
    for name in ("quantization_config", "per_layer_config"):
        value = others.get(name)
        require(value is None or not _plain(value), name, value, "an object")


def check_encoder_keys(name: str, value: Any, names: Sequence[str]) -> None:
    """Refuse a setting by encoder for an encoder that is not there; "" is the stack itself.

    Raises:
        ValueError: with the unknown names.
    """
    if isinstance(value, Mapping) and (unknown := sorted(set(value) - {*names, ""})):
        raise ValueError(f"{name} names {unknown}; the encoders are {list(names)}.")


def refuse_hub_code(name: str, value: Any) -> None:
    """Refuse an attention that transformers would download from the Hub and run.

    Raises:
        ValueError: the value of a configuration file names a repository.
    """
    if "/" in str(value):
        raise ValueError(f"{name} is {value!r:.100}: code from the Hub is not run for a config.")


def _plain(value: Any) -> bool:
    return isinstance(value, str | int | float | list | tuple)


def check_heads(heads: Any, encoders: Mapping[str, Any], names: list[str]) -> None:
    """Pooling, activation and layers of each encoder's head.

    Raises:
        ValueError: an unknown encoder, key or value.
    """
    if unknown := sorted(set(heads) - set(names)):
        raise ValueError(f"encoder_heads names {unknown}, which are not among {names}.")
    for name, head in heads.items():
        field = f"encoder_heads[{name!r}]"
        require(head is None or isinstance(head, Mapping), field, head, "an object")
        for key, value in (head or {}).items():
            if key == "layers":
                _check_layers(f"{field}: layers", value, encoders[name])
                continue
            allowed = _HEAD_CHOICES.get(key)
            known = value is None or isinstance(value, str)
            if allowed is None or not known or value not in allowed:
                raise ValueError(
                    f"{field}: {key}={value!r} is not known; allowed are {_HEAD_CHOICES}."
                )


def _check_layers(field: str, layers: Any, encoder: Any) -> None:
    last = getattr(encoder, "num_hidden_layers", None) or 0
    known = isinstance(layers, list | tuple) and all(map(is_integer, layers))
    fits = known and len(set(layers)) == len(layers) and all(0 <= layer <= last for layer in layers)
    require(fits, field, layers, f"a list of different layers from 0 to {last}")


def check_encoder_sizes(name: str, config: Any) -> None:
    """Refuse an encoder of no size, or of one that no machine holds, before memory is taken.

    Raises:
        ValueError: with the encoder and the field.
    """
    sizes: dict[str, int] = {}
    for key, most in _ENCODER_SIZES.items():
        value: Any = getattr(config, key, None)
        needed = key in ("hidden_size", "vocab_size")
        if (value is None or isinstance(value, list)) and not needed:
            continue  # a list is one size per layer
        if value == -1 and key == "max_position_embeddings":
            continue  # no limit
        least = 0 if key in _MAY_BE_ZERO else 1
        require(
            is_integer(value) and least <= value <= most,
            f"encoders[{name!r}].{key}", value,
            f"a whole number, at least {least} and at most {most}",
        )  # fmt: skip
        sizes[key] = value
    _check_encoder_types(name, config)
    width, vocabulary = sizes["hidden_size"], sizes["vocab_size"]
    layers, inner = sizes.get("num_hidden_layers", 0), sizes.get("intermediate_size", 4 * width)
    weights = vocabulary * sizes.get("embedding_size", width) + layers * width * (
        4 * width + 2 * inner
    )
    field = f"encoders[{name!r}]"
    require(weights <= MAX_WEIGHTS, field, f"{weights:.1e} weights", f"at most {MAX_WEIGHTS:.0e}")
    pad = getattr(config, "pad_token_id", None)
    if pad is not None:
        require(
            is_integer(pad) and 0 <= pad < vocabulary,
            f"{field}.pad_token_id", pad, f"a token of the vocabulary, below {vocabulary}",
        )  # fmt: skip


def most_weights(config: Any) -> int:
    """More weights than a stack has; a rough bound from the sizes in its configuration."""
    total = 0
    encoders = list(config.encoders.values())
    for encoder in encoders:
        sizes: dict[str, Any] = {key: getattr(encoder, key, None) for key in _ENCODER_SIZES}
        known: dict[str, int] = {key: size for key, size in sizes.items() if is_integer(size)}
        width = known["hidden_size"]
        inner = known.get("intermediate_size", 4 * width)
        rows = ("vocab_size", "max_position_embeddings", "type_vocab_size")
        widths = ("embedding_size", "piece_length")
        widest = max(width + 1, *(known.get(key, 0) for key in widths))
        table = 1 << known.get("bucket_bits", 0)
        total += (table + sum(known.get(key, 0) for key in rows)) * widest
        total += known.get("num_hidden_layers", 48) * width * (8 * width + 4 * inner + 32)
    widths = sum(encoder.hidden_size for encoder in encoders) + config.num_labels + len(encoders)
    own = config.meta_hidden_size + 8 * config.lstm_hidden_size + config.classifier_hidden_size
    return total + (widths + own) * (own + config.num_labels * (len(encoders) + 2))


def _check_encoder_types(name: str, config: Any) -> None:
    """Every field has the type of its default value; no number is NaN or infinite."""
    defaults = {one.name: one.default for one in fields(config)} if is_dataclass(config) else {}
    for key, value in vars(config).items():
        default, field = defaults.get(key), f"encoders[{name!r}].{key}"
        if isinstance(value, float):
            require(isfinite(value), field, value, "finite")
        if value is None or default is None or default is MISSING:
            continue
        if isinstance(default, bool):
            require(isinstance(value, bool), field, value, "true or false")
        elif isinstance(default, int | float):
            fits = is_number(value) or isinstance(value, list)  # several ids, one size per layer
            require(fits, field, value, "a number")
        elif isinstance(default, str) and default != "auto":
            require(isinstance(value, str), field, value, "a string")


def safe_labels(labels: Any) -> dict[int, str]:
    """`id2label` with whole numbers as keys.

    Raises:
        ValueError: something that is not an object of names by number.
    """
    require(isinstance(labels, Mapping), "id2label", labels, "an object: a name per number")
    require(len(labels) <= MAX_LABELS, "id2label", len(labels), f"at most {MAX_LABELS} labels")
    safe = {}
    for index, label in labels.items():
        number = index if is_integer(index) else None
        if isinstance(index, str) and index.isascii() and index.isdigit():
            number = int(index[:9])
        require(number is not None, "id2label", index, "keyed by whole numbers")
        known = isinstance(label, str) or is_integer(label)
        require(known, f"id2label[{index}]", label, "a name")
        safe[number] = str(label)
    return safe  # type: ignore[return-value]


def check_label_fields(config: Any) -> None:
    """The labels, and what there is per label.

    Raises:
        ValueError: with the field.
    """
    count = config.num_labels or 0
    require(1 <= count <= MAX_LABELS, "num_labels", count, f"at least 1 and at most {MAX_LABELS}")
    if sorted(config.id2label) != list(range(count)):
        raise ValueError(f"id2label must have the keys 0..{count - 1}, not {config.id2label}.")
    names = config.label_names
    if len(set(names)) != count:
        raise ValueError(f"id2label has a label twice: {names}.")
    inverse = {name: index for index, name in enumerate(names)}
    require(config.label2id == inverse, "label2id", config.label2id, "the inverse of id2label")
    for name in _VECTORS:
        values = getattr(config, name)
        if values is None:
            continue
        require(isinstance(values, list | tuple), name, values, "a list of numbers")
        if len(values) != count:
            raise ValueError(
                f"{name} has {len(values)} values for {count} labels; it needs one per label."
            )
        upper = 1e9 if name == "class_weights" else 1.0
        for label, value in zip(names, values, strict=True):
            fits = is_number(value) and 0.0 <= value <= upper
            require(fits, f"{name}[{label!r}]", value, f"in [0, {upper:g}]")
    matrix = config.label_correlation
    if matrix is None:
        return
    square = isinstance(matrix, list | tuple) and len(matrix) == count
    square = square and all(isinstance(row, list | tuple) and len(row) == count for row in matrix)
    require(square, "label_correlation", matrix, f"{count} rows of {count} values")
    for row in matrix:
        for value in row:
            fits = is_number(value) and abs(value) <= 1.0 + 1e-6
            require(fits, "label_correlation", value, "values in [-1, 1]")


def check_options(options: Mapping[str, Any]) -> None:
    """Refuse arguments of `forward` that would have no effect.

    Raises:
        ValueError: with the name of the argument.
    """
    for name, value in options.items():
        if value is not None and name not in _WITHOUT_EFFECT:
            raise ValueError(
                f"{name} is no input of a stack. It takes input_ids, attention_mask and word_index "
                "of its tokenizer, or word_embeddings, word_mask and encoder_logits."
            )


def check_inputs(given: Mapping[str, Any], names: Sequence[str]) -> tuple[Any, ...]:
    """Refuse inputs that are missing, empty or of another tokenizer.

    Args:
        given: the tensors (B, S, E) by name.
        names: the encoders.

    Returns:
        The tensors in their order.

    Raises:
        ValueError: with the name of the input.
    """
    for key, value in given.items():
        if value is None:
            raise ValueError(
                f"{key} is missing: encode the texts with the StackedEmotionTokenizer of this "
                "model."
            )
        if not hasattr(value, "dim"):
            raise ValueError(
                f"{key} is a {type(value).__name__}, not a tensor: encode the texts with "
                "return_tensors='pt'."
            )
        if value.dim() != 3 or value.shape[-1] != len(names):
            raise ValueError(
                f"{key} has the shape {tuple(value.shape)}; it must be (batch, sequence, "
                f"{len(names)}), the last axis being the encoders {list(names)}."
            )
        if 0 in value.shape:
            raise ValueError(f"{key} has the shape {tuple(value.shape)}: there is nothing to read.")
    return tuple(given.values())
