"""Which columns of a table hold texts and labels."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..common.errors import DataError, did_you_mean, quoted, shorten
from .files import Table

logger = logging.getLogger(__name__)

TEXT_COLUMNS = frozenset(
    {"text", "texts", "tweet", "sentence", "content", "comment", "message", "review", "document"}
)
LABELS_COLUMNS = frozenset({"labels", "label", "emotions", "emotion"})
ID_COLUMNS = frozenset({"id", "ids", "tweet_id", "text_id"})
_INDEX_COLUMNS = ID_COLUMNS | {"index", "idx", "row", "unnamed: 0", "__index_level_0__"}


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
        raise unlabeled_error(table, f"none of the columns {quoted(names)} is there")
    raise DataError(
        f"{table.source}: label columns are missing: "
        + "; ".join(f"{name!r}{did_you_mean(name, table.columns)}" for name in missing)
        + f". The columns are {quoted(table.columns)}. Add the columns, or mend --{option}."
    )


def unlabeled_error(table: Table, reason: str) -> DataError:
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
        error = unlabeled_error(table, "no column holds 0 and 1, or is called 'labels'")
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
