"""Texts in, batches out: the checks and the padding around the aligned encoding.

Arrays are (batch, sequence, encoders); a single encoding is (sequence, encoders).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
from transformers.utils import PaddingStrategy

from .alignment_stacked_emotion import pad_rows

_REFUSED = {
    "text_target": "there is no target text",
    "text_pair_target": "there is no target text",
    "is_split_into_words": "each encoder reads the raw text; pass ' '.join(words)",
    "return_offsets_mapping": (
        "each encoder has sub-words of its own; pass return_word_offsets=True for the words"
    ),
    "return_special_tokens_mask": (
        "use word_index, which is 0 for special tokens, padding and prefix"
    ),
    "return_token_type_ids": "texts are single, so every token would have type 0",
    "return_overflowing_tokens": "cut a long text before the call",
    "stride": "cut a long text before the call",
    "split_special_tokens": "set it on an encoder's tokenizer before stacking",
}
# Settings of other tokenizers, the values that ask for nothing, and why others are refused.
_NOTHING: tuple[Any, ...] = (None, False, [], (), {})
_SETTINGS_OF_OTHERS: dict[str, tuple[tuple[Any, ...], str]] = {
    "chat_template": (_NOTHING, "a stack reads single texts, not chats"),
    "response_template": (_NOTHING, "a stack reads single texts, not chats"),
    "split_special_tokens": (_NOTHING, _REFUSED["split_special_tokens"]),
    "clean_up_tokenization_spaces": (_NOTHING, "pass it to decode"),
    "is_fast": (_NOTHING, "BatchEncoding has no offsets; pass return_word_offsets=True"),
    "model_input_names": (
        (["input_ids", "attention_mask", "word_index"],),
        "the model needs input_ids, attention_mask and word_index",
    ),
}
_OF_PIPELINES = ("top_k", "return_words", "function_to_apply", "batch_size", "num_workers")
_FROM_TRANSFORMERS = ("name_or_path", "auto_map", "tokenizer_class", "backend", "is_local")


def check_texts(text: Any) -> list[str]:
    """A text or a list of texts as a list.

    Raises:
        ValueError: something that is not a text, with its position; or no text at all.
    """
    if isinstance(text, str):
        return [text]
    if not isinstance(text, Sequence | np.ndarray):
        raise ValueError(f"text must be a str or a list of str, not {type(text).__name__}.")
    texts = list(text)
    for position, item in enumerate(texts):
        if not isinstance(item, str):
            raise ValueError(
                f"text[{position}] is {type(item).__name__} ({item!r}), not str: drop the row "
                "or turn it into a text."
            )
    if not texts:
        raise ValueError("text is an empty list: there is nothing to encode.")
    return texts


def check_options(options: Mapping[str, Any], *known: str) -> None:
    """Refuse what other tokenizers take and a stack cannot do.

    Args:
        options: the keyword arguments that are left.
        known: those that the caller honors.

    Raises:
        ValueError: names the argument, and what to do instead.
    """
    for name, value in options.items():
        if name in _REFUSED:
            if value:
                raise ValueError(
                    f"StackedEmotionTokenizer does not take {name}={value!r}: {_REFUSED[name]}."
                )
        elif name == "padding_side":
            check_side(name, value or "right")
        elif name not in ("verbose", *known):
            near = get_close_matches(name, [*known, *_OF_PIPELINES], n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            raise ValueError(f"StackedEmotionTokenizer has no option {name!r}{hint}.")


def check_side(name: str, side: Any) -> None:
    """Refuse padding or truncation on the left.

    Raises:
        ValueError: names the setting.
    """
    if side != "right":
        raise ValueError(
            f"{name} must be 'right' for StackedEmotionTokenizer, not {side!r}: words count from "
            "the start of the text."
        )


def check_setting(name: str, value: Any) -> None:
    """Refuse a setting that would have no effect on a stack, unless it asks for nothing.

    Raises:
        ValueError: names the setting, and what to do instead.
    """
    if name in ("padding_side", "truncation_side"):
        check_side(name, value)
    elif name in _SETTINGS_OF_OTHERS:
        allowed, reason = _SETTINGS_OF_OTHERS[name]
        if value not in allowed:
            raise ValueError(
                f"StackedEmotionTokenizer does not take {name}={value!r:.80}: {reason}."
            )
    elif name.removesuffix("s").endswith(("_token", "_token_id")) and value not in _NOTHING:
        raise ValueError(
            f"StackedEmotionTokenizer does not take {name}={value!r:.80}: every encoder has "
            "special tokens of its own; set it on an encoder's tokenizer before stacking."
        )


def check_settings_of_others(settings: Mapping[str, Any]) -> None:
    """`check_setting` of all; names that no stack knows are refused too.

    Raises:
        ValueError: names the setting.
    """
    for name, value in settings.items():
        check_setting(name, value)
        known = name in _SETTINGS_OF_OTHERS or name in _FROM_TRANSFORMERS or "_token" in name
        if not known and not name.endswith("_side") and value is not None:
            raise ValueError(
                f"StackedEmotionTokenizer has no setting {name!r}; set what belongs to an encoder "
                "on its own tokenizer before stacking."
            )


def padding_strategy(padding: bool | str | PaddingStrategy) -> PaddingStrategy:
    """The strategy meant: True is "longest", False is "do_not_pad"."""
    return PaddingStrategy("longest" if padding is True else padding or "do_not_pad")


def pad_batch(
    batch: Mapping[str, Sequence[np.ndarray]],
    pad_ids: Sequence[int],
    padding: bool | str | PaddingStrategy,
    limit: int,
    multiple: int | None,
    as_lists: bool,
) -> dict[str, Any]:
    """Pad the rows of a batch to one length, if that is asked for.

    Args:
        batch: rows of (sequence, encoders) ints, by name.
        pad_ids: (encoders,) the padding id of each encoder.
        padding: how to pad, as a tokenizer takes it.
        limit: the length for "max_length".
        multiple: pad the sequence to a multiple of this.
        as_lists: nested lists instead of arrays.

    Raises:
        ValueError: arrays are asked for that would be ragged.
    """
    strategy = padding_strategy(padding)
    lengths = {len(row) for row in next(iter(batch.values()))}
    target = max(lengths)
    if strategy == PaddingStrategy.DO_NOT_PAD:
        if as_lists:
            return {name: [row.tolist() for row in rows] for name, rows in batch.items()}
        if len(lengths) > 1:
            raise ValueError(
                "These texts have different lengths and cannot make one tensor: pass "
                "padding=True, or return_tensors=None. To a pipeline give a list of texts."
            )
    else:
        if strategy == PaddingStrategy.MAX_LENGTH:
            target = max(target, limit)
        target = -(-target // (multiple or 1)) * (multiple or 1)
    padded = {
        name: pad_rows(rows, target, pad_ids if name == "input_ids" else 0)
        for name, rows in batch.items()
    }
    return {name: rows.tolist() for name, rows in padded.items()} if as_lists else dict(padded)


def pad_encodings(
    encoded_inputs: Any,
    input_names: Sequence[str],
    pad_ids: Sequence[int],
    padding: bool | str | PaddingStrategy,
    limit: int,
    multiple: int | None,
    as_lists: bool,
) -> dict[str, Any]:
    """Pad encodings of single texts to one batch.

    Args:
        encoded_inputs: a list of encodings, or one mapping of lists; other keys are kept.
        input_names: the keys to pad.
        pad_ids, padding, limit, multiple, as_lists: see `pad_batch`.

    Raises:
        ValueError: there are no input_ids, or they have another shape.
    """
    single = False
    if not isinstance(encoded_inputs, Mapping):
        rows = list(encoded_inputs)
        names = list(rows[0]) if rows else []
        if any(list(row) != names for row in rows):
            raise ValueError(f"pad needs encodings with the same keys; the first has {names}.")
        batch = {name: [row[name] for row in rows] for name in names}
    else:
        batch = dict(encoded_inputs)
        single = np.ndim(next(iter(batch.get("input_ids", ())), 0)) == 1
    if "input_ids" not in batch or not len(batch["input_ids"]):
        raise ValueError(f"pad needs input_ids; these encodings have {sorted(batch)}.")
    arrays = {
        name: [np.asarray(row, np.int64) for row in ([batch[name]] if single else batch[name])]
        for name in input_names
        if name in batch
    }
    for rows in arrays.values():
        if any(row.ndim != 2 or row.shape[1] != len(pad_ids) for row in rows):
            raise ValueError(
                f"pad needs encodings of shape (sequence, {len(pad_ids)}), as this tokenizer "
                f"gives them; one has shape {rows[0].shape}."
            )
    padded = pad_batch(arrays, pad_ids, padding, limit, multiple, as_lists)
    return batch | {name: rows[0] if single else rows for name, rows in padded.items()}
