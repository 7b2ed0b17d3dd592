"""Texts in, batches out: the checks and the padding around the aligned encoding.

Arrays are (batch, sequence, encoders); a single encoding is (sequence, encoders).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from transformers.utils import PaddingStrategy

from .alignment_stacked_emotion import pad_rows


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


def padding_strategy(padding: bool | str | PaddingStrategy) -> PaddingStrategy:
    """The strategy meant: True is "longest", False is "do_not_pad"."""
    return PaddingStrategy("longest" if padding is True else padding or "do_not_pad")


def arrange_batch(
    arrays: Mapping[str, np.ndarray],
    lengths: np.ndarray,
    pad_ids: Sequence[int],
    strategy: PaddingStrategy,
    limit: int,
    multiple: int | None,
    as_lists: bool,
) -> dict[str, Any]:
    """Pad a fresh batch further, or cut its padding off.

    Args:
        arrays: each (batch, sequence, encoders), padded to the longest row.
        lengths: (batch,) unpadded length of each row.
        pad_ids: (encoders,) the padding id of each encoder.
        strategy: how to pad.
        limit: the length for "max_length".
        multiple: pad the sequence to a multiple of this.
        as_lists: nested lists instead of arrays.

    Raises:
        ValueError: arrays are asked for that would be ragged.
    """
    longest = int(lengths.max(initial=1))
    target = longest
    if strategy == PaddingStrategy.MAX_LENGTH:
        target = max(limit, longest)
    if multiple and strategy != PaddingStrategy.DO_NOT_PAD:
        target = -(-target // multiple) * multiple
    if target > longest:
        arrays = {
            name: pad_rows(list(values), target, _fill(name, pad_ids))
            for name, values in arrays.items()
        }
    if strategy == PaddingStrategy.DO_NOT_PAD and len(set(lengths.tolist())) > 1:
        if not as_lists:
            raise ValueError(
                "These texts have different lengths and cannot make one tensor: pass "
                "padding=True, or return_tensors=None."
            )
        return {
            name: [row[:length].tolist() for row, length in zip(values, lengths, strict=True)]
            for name, values in arrays.items()
        }
    if as_lists:
        return {name: values.tolist() for name, values in arrays.items()}
    return dict(arrays)


def pad_encodings(
    encoded_inputs: Any,
    input_names: Sequence[str],
    pad_ids: Sequence[int],
    strategy: PaddingStrategy,
    limit: int,
    multiple: int | None,
    as_lists: bool,
) -> dict[str, Any]:
    """Pad encodings of single texts to one batch.

    Args:
        encoded_inputs: a list of encodings, or one mapping of lists; other keys are kept.
        input_names: the keys to pad.
        pad_ids: (encoders,) the padding id of each encoder.
        strategy: how to pad.
        limit: the length for "max_length".
        multiple: pad the sequence to a multiple of this.
        as_lists: nested lists instead of arrays.

    Raises:
        ValueError: there are no input_ids.
    """
    if not isinstance(encoded_inputs, Mapping):
        rows = list(encoded_inputs)
        encoded_inputs = {key: [row[key] for row in rows] for key in rows[0]}
    batch: dict[str, Any] = dict(encoded_inputs)
    if "input_ids" not in batch:
        raise ValueError(f"pad needs input_ids; these encodings have {sorted(batch)}.")
    arrays = {
        name: [np.asarray(row, np.int64) for row in batch[name]]
        for name in input_names
        if name in batch
    }
    single = arrays["input_ids"][0].ndim == 1
    if single:
        arrays = {name: [np.stack(rows)] for name, rows in arrays.items()}
    longest = max(len(row) for row in arrays["input_ids"])
    if strategy == PaddingStrategy.MAX_LENGTH:
        longest = max(longest, limit)
    if multiple:
        longest = -(-longest // multiple) * multiple
    for name, rows in arrays.items():
        if strategy == PaddingStrategy.DO_NOT_PAD:
            batch[name] = [row.tolist() for row in rows]
        else:
            padded = pad_rows(rows, longest, _fill(name, pad_ids))
            batch[name] = padded.tolist() if as_lists else padded
        if single:
            batch[name] = batch[name][0]
    return batch


def _fill(name: str, pad_ids: Sequence[int]) -> list[int] | int:
    return list(pad_ids) if name == "input_ids" else 0
