"""Which columns hold texts and labels, and whether every row of them can be used."""

from __future__ import annotations

import ast
import json
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .data_files import Table
from .errors import DataError, did_you_mean, quoted, shorten

logger = logging.getLogger(__name__)

TEXT_COLUMNS = frozenset(
    {"text", "texts", "tweet", "sentence", "content", "comment", "message", "review", "document"}
)
LABELS_COLUMNS = frozenset({"labels", "label", "emotions", "emotion"})
ID_COLUMNS = frozenset({"id", "ids", "tweet_id", "text_id"})
_INDEX_COLUMNS = ID_COLUMNS | {"index", "idx", "row", "unnamed: 0", "__index_level_0__"}
MAX_LABELS = 500

_VISIBLE = re.compile("[^\\s\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Columns:
    """The columns that are read: either one 0/1 column a label, or one column of label names.

    Attributes:
        text: The column of texts.
        labels: One column a label, in the order of the labels; empty if `names` is set.
        names: The column of label names.
        inferred: Whether `labels` was found by what the columns hold.
    """

    text: str
    labels: tuple[str, ...] = ()
    names: str | None = None
    inferred: bool = False


def find_column(table: Table, column: str, option: str) -> str:
    """Return `column`, which the user named by `option`.

    Raises:
        DataError: The table has no such column.
    """
    if column not in table.columns:
        raise DataError(
            f"{table.source}: there is no column {column!r}"
            f"{did_you_mean(column, table.columns)}. The columns are {quoted(table.columns)}. "
            f"Set --{option} to one of them."
        )
    return column


def find_text_column(table: Table, text_column: str | None, reserved: Sequence[str] = ()) -> str:
    """Return the column of texts: as named, else by its name, else the only column of strings.

    Args:
        table: The file.
        text_column: The column that the user named, if any.
        reserved: Columns that hold labels.

    Raises:
        DataError: There is no such column, or more than one.
    """
    if text_column is not None:
        return find_column(table, text_column, "text_column")
    candidates = [name for name in table.columns if name.lower() in TEXT_COLUMNS]
    if not candidates:
        known = _INDEX_COLUMNS | LABELS_COLUMNS
        candidates = [
            name
            for name, values in table.columns.items()
            if name.lower() not in known
            and name not in reserved
            and any(isinstance(value, str) for value in values[:100])
            and not (table.binary(name) >= 0).any()
        ]
    if len(candidates) == 1:
        return candidates[0]
    found = f"columns {quoted(candidates)} may all" if candidates else "no column seems to"
    raise DataError(
        f"{table.source}: {found} hold the texts. The columns are {quoted(table.columns)} "
        "(is the first line a header?). Set --text_column to the right one."
    )


def find_columns(
    table: Table,
    text_column: str | None,
    label_columns: Sequence[str] | None,
    labels_column: str | None,
    label_names: Sequence[str] | None,
    closed_set: bool,
) -> Columns:
    """Return the columns of texts and labels, found by what they hold where they are not named.

    Args:
        table: The file.
        text_column: The column of texts, if the user named it.
        label_columns: Columns of 0 and 1, if the user named them.
        labels_column: The column of label names, if the user named it.
        label_names: The label set, if it is known.
        closed_set: Whether a further column of 0 and 1 is a label outside `label_names`, and so an
            error: true for evaluation files when the columns of the training file were inferred.

    Raises:
        DataError: A column is missing, several ways to read the labels are possible, or none is.
    """
    reserved = [*(label_columns or ()), *(label_names or ()), *([labels_column or ""])]
    text = find_text_column(table, text_column, reserved)
    if label_columns is not None:
        _check_present(table, label_columns, "label_columns")
        return Columns(text, labels=tuple(label_names or label_columns))
    if labels_column is not None:
        return Columns(text, names=find_column(table, labels_column, "labels_column"))
    if label_names is None:
        return _infer_labels(table, text)
    lists = _labels_columns(table, text)
    if any(name in table.columns for name in label_names) or not lists:
        _check_present(table, label_names, "label_names")
        if closed_set:
            _check_no_further_label(table, text, label_names)
        return Columns(text, labels=tuple(label_names))
    return Columns(text, names=_only_labels_column(table, lists))


def _check_present(table: Table, names: Sequence[str], option: str) -> None:
    missing = [name for name in names if name not in table.columns]
    if not missing:
        return
    if len(missing) == len(names) and not _binary_columns(table, ""):
        raise unlabelled_error(table, f"none of the columns {quoted(names)} is there")
    raise DataError(
        f"{table.source}: label columns are missing: "
        + "; ".join(f"{name!r}{did_you_mean(name, table.columns)}" for name in missing)
        + f". The columns are {quoted(table.columns)}. Add the columns, or mend --{option}."
    )


def unlabelled_error(table: Table, reason: str) -> DataError:
    """Return the error for a file that has texts and no labels at all."""
    return DataError(
        f"{table.source}: the texts have no labels ({reason}); the columns are "
        f"{quoted(table.columns)}. Training and evaluation need labels: add them, or name their "
        "columns by --label_columns or --labels_column. To label texts with a finished model use "
        "`stacked-emotion predict --model DIR --input FILE --output FILE`."
    )


def _labels_columns(table: Table, text: str) -> list[str]:
    return [
        name
        for name in table.columns
        if name.lower() in LABELS_COLUMNS
        and name != text
        and (name in table.class_names or (table.binary(name) < 0).any())
    ]


def _only_labels_column(table: Table, candidates: list[str]) -> str:
    if len(candidates) > 1:
        raise DataError(
            f"{table.source}: columns {quoted(candidates)} may all hold the label names. "
            "Set --labels_column to the right one."
        )
    return candidates[0]


def _binary_columns(table: Table, text: str) -> list[str]:
    """Columns in which at least half of the values are 0 or 1; a stray value is reported later."""
    skipped = {text, *_labels_columns(table, text)}
    return [
        name
        for name in table.columns
        if name not in skipped
        and name.lower() not in _INDEX_COLUMNS
        and len(table)
        and 2 * int((table.binary(name) >= 0).sum()) >= len(table)
    ]


def _infer_labels(table: Table, text: str) -> Columns:
    lists = _labels_columns(table, text)
    binary = _binary_columns(table, text)
    if lists and binary:
        raise DataError(
            f"{table.source}: the labels may be the column{'s' if len(lists) > 1 else ''} of "
            f"names {quoted(lists)}, or the 0/1 columns {quoted(binary)}. "
            "Set --labels_column or --label_columns."
        )
    if lists:
        return Columns(text, names=_only_labels_column(table, lists))
    unused = [
        f"{name!r} ({', '.join(shorten(value, 20) for value in sorted(few, key=str))})"
        for name, values in table.columns.items()
        if name not in binary
        and name != text
        and name.lower() not in _INDEX_COLUMNS
        and len(few := {str(value) for value in values[:1000]}) <= 3
    ]
    if not binary:
        hint = f" Labels must be 0 or 1; these are not: {'; '.join(unused)}." if unused else ""
        error = unlabelled_error(table, "no column holds 0 and 1, or is called 'labels'")
        raise DataError(f"{error}{hint}")
    if unused:
        logger.warning(
            "%s: not read as labels, because they do not hold 0 and 1: %s. "
            "If they are labels, mend them and set --label_columns.",
            table.source,
            "; ".join(unused),
        )
    return Columns(text, labels=tuple(binary), inferred=True)


def _check_no_further_label(table: Table, text: str, label_names: Sequence[str]) -> None:
    for name in _binary_columns(table, text):
        if name not in label_names:
            row = int(np.argmax(table.binary(name) == 1))
            raise DataError(
                f"{table.source}: column {name!r} holds 0 and 1 and is no label of the training "
                f"set, which has {quoted(label_names)} ({table.problems.unit} "
                f"{table.row_numbers[row]}, column {name!r}: value "
                f"{shorten(table.columns[name][row])}). Remove the column, add it to the training "
                "file, or set --label_columns to the columns that are labels."
            )


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
        raise unlabelled_error(table, reason)
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
        raise unlabelled_error(table, f"column {column!r} is empty")
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
        raise unlabelled_error(table, f"column {column!r} names no label in any row")
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
