"""Whether every row of the columns of texts and labels can be used, and what it says."""

from __future__ import annotations

import ast
import json
import logging
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..common.errors import DataError, did_you_mean, quoted, shorten
from .columns import Columns, unlabeled_error
from .files import Table

logger = logging.getLogger(__name__)

MAX_LABELS = 500

_VISIBLE = re.compile("[^\\s\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def check_texts(table: Table, column: str) -> tuple[list[str], list[bool]]:
    """Return the texts as they stand, and for each whether it can be used.

    An unpaired surrogate (JSON's `"\\ud83d"` alone), which no UTF-8 can hold, is replaced by U+FFFD
    and noted. Texts that are no string, without a visible character or with a NUL character are
    added to `table.problems`.
    """
    values = table.columns[column]
    usable = [True] * len(values)
    texts = []
    replaced: list[int] = []
    for index, value in enumerate(values):
        reason = None
        if not isinstance(value, str):
            reason = (
                "the text is missing (null)"
                if value is None
                else f"the text is {shorten(value)}, a {type(value).__name__} and no string"
            )
            value = ""
        elif _VISIBLE.search(value) is None:
            reason = f"the text {shorten(value)} is empty"
        elif "\0" in value:
            reason = f"the text {shorten(value)} holds a NUL character"
        elif not value.isascii() and _SURROGATE.search(value):
            replaced.append(index)
            value = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if reason is not None:
            usable[index] = False
            table.problems.add(table.row_numbers[index], reason, column)
        texts.append(value)
    if replaced:
        shown = ", ".join(str(table.row_numbers[index]) for index in replaced[:5])
        table.problems.notes.append(
            f"{table.source}: unpaired surrogates (half an emoji) were replaced by U+FFFD in "
            f"{len(replaced):,} texts, column {column!r}, {table.problems.unit}s {shown}"
            f"{' …' if len(replaced) > 5 else ''}."
        )
    return texts, usable


def read_label_columns(table: Table, columns: Columns) -> np.ndarray:
    """Return the 0/1 columns as (rows, labels) int8; values other than 0 and 1 become problems.

    Raises:
        DataError: No cell at all is 0 or 1.
    """
    labels = np.stack([table.binary(name) for name in columns.labels], axis=1)
    if len(table) and (labels < 0).all():
        first = shorten(table.columns[columns.labels[0]][0])
        reason = f"no value of {quoted(columns.labels)} is 0 or 1, the first is {first}"
        raise unlabeled_error(table, reason)
    hint = ""
    if columns.inferred:
        hint = "; if the column is no label, name those that are by --label_columns"
    for position, name in enumerate(columns.labels):
        values = table.columns[name]
        for index in np.flatnonzero(labels[:, position] < 0):
            value = values[index]
            shown = "the value is missing (null)" if value is None else shorten(value)
            table.problems.add(table.row_numbers[index], f"{shown} is not 0 or 1{hint}", name)
    return labels


def read_label_lists(
    table: Table, column: str, separator: str, label_names: Sequence[str] | None
) -> tuple[np.ndarray, list[str]]:
    """Return a column of label names as (rows, labels) int8, and the label set.

    A value is a list of names, a string of names between separators, or a string that shows a list
    (`["joy", "love"]`). Whole numbers count the label set from 0, unless all lists are vectors of 0
    and 1. An empty list or string is a text without any label; null is a problem, as is a name
    outside the set.

    Args:
        table: The file.
        column: The column of label names.
        separator: What stands between two names in a string.
        label_names: The label set; by default the class names of the data set, else every name
            that occurs, sorted.

    Raises:
        DataError: The texts have no label at all, or far too many different ones.
    """
    values = table.columns[column]
    if all(value is None for value in values):
        raise unlabeled_error(table, f"column {column!r} is empty")
    classes = table.class_names.get(column)
    numbered = classes if classes is not None else label_names
    if classes is None and _are_vectors(values):
        return _read_vectors(table, column, label_names)
    memory: dict[str, list[Any]] = {}
    sets = []
    for value in values:
        if isinstance(value, str):
            if value not in memory:
                memory[value] = _split(value, separator)
            sets.append(memory[value])
        else:
            sets.append(value if isinstance(value, list) else [value])
    if label_names is None:
        label_names = classes or sorted({n for one in sets for n in one if isinstance(n, str)})
        _check_label_set(table, column, separator, label_names)
    index_of = {name: index for index, name in enumerate(label_names)}
    labels = np.zeros((len(values), len(label_names)), dtype=np.int8)
    known = f"the labels are {quoted(label_names)}"
    for row, names in enumerate(sets):
        for name in names:
            reason = None
            found = name
            if isinstance(name, int) and not isinstance(name, bool):
                if not numbered:
                    reason = (
                        f"{name} is a number and no label name; give the names of the labels, in "
                        "the order of their numbers, by --label_names"
                    )
                found = numbered[name] if numbered and 0 <= name < len(numbered) else None
            if isinstance(found, str) and found in index_of:
                labels[row, index_of[found]] = 1
                continue
            if name is None:
                reason = 'the value is missing (null); write [] or "" for a text without labels'
            elif reason is None:
                near = did_you_mean(name, label_names) if isinstance(name, str) else ""
                reason = f"{shorten(name)} is outside the label set{near}; {known}"
            table.problems.add(table.row_numbers[row], reason, column)
    if len(values) and not labels.any() and not table.problems:
        raise unlabeled_error(table, f"column {column!r} names no label in any row")
    return labels, list(label_names)


def _are_vectors(values: Sequence[Any]) -> bool:
    """Whether the values are 0/1 vectors; a repeated number tells them from class numbers."""
    lists = [value for value in values if value is not None]
    return (
        all(isinstance(value, list) and len(value) == len(lists[0]) > 1 for value in lists)
        and all(isinstance(item, (int, float)) and item in (0, 1) for one in lists for item in one)
        and any(len(set(one)) < len(one) for one in lists)
    )


def _read_vectors(
    table: Table, column: str, label_names: Sequence[str] | None
) -> tuple[np.ndarray, list[str]]:
    values = table.columns[column]
    length = next(len(value) for value in values if value is not None)
    if label_names is None or len(label_names) != length:
        given = "none is given" if label_names is None else f"there are {len(label_names)}"
        raise DataError(
            f"{table.source}: column {column!r} holds vectors of {length} zeros and ones, such as "
            f"{values[0]} in {table.problems.unit} {table.row_numbers[0]}; they need {length} "
            f"label names and {given}. Give the names in order by --label_names."
        )
    for row, value in zip(table.row_numbers, values, strict=True):
        if value is None:
            table.problems.add(row, "the value is missing (null)", column)
    empty = [0] * length
    return np.array([value or empty for value in values], dtype=np.int8), list(label_names)


def _split(value: str, separator: str) -> list[Any]:
    stripped = value.strip()
    if stripped.startswith("[") and stripped.endswith("]"):
        for parse in (json.loads, ast.literal_eval):
            try:
                return list(parse(stripped))
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
    return [name for part in value.split(separator) if (name := part.strip())]


def _check_label_set(table: Table, column: str, separator: str, names: Sequence[str]) -> None:
    if len(names) > MAX_LABELS:
        raise DataError(
            f"{table.source}: column {column!r} holds {len(names):,} different labels, such as "
            f"{quoted(names, 3)}; more than {MAX_LABELS} are taken for a mistake. "
            "Check --labels_column and --label_separator, or give the set by --label_names."
        )
    for other in {",", ";", "|", "\t"} - {separator}:
        joined = [name for name in names if other in name]
        if joined:
            logger.warning(
                "%s: column %r has labels that hold %r, such as %s. If it separates two labels, "
                "set --label_separator %r.",
                table.source,
                column,
                other,
                shorten(joined[0]),
                other,
            )
