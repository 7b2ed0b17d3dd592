"""Which columns of a table hold texts, labels and identifiers, and columns of 0 and 1 read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..common.errors import DataError, did_you_mean, quoted, shorten
from .arguments import DataArguments
from .label_cells import CELL_FORMATS, binary_value, first_positive, number
from .names import (
    ID_COLUMNS,
    INDEX_COLUMNS,
    LABELS_COLUMNS,
    MORE_LABELS_COLUMNS,
    TEXT_COLUMNS,
    columns_called,
    columns_ending_in,
    looks_like_metadata,
    why_no_name,
)
from .tables import Table

_MOST_INTENSE = 5  # of a column of whole numbers that may be strengths; else it is a count
_MANY = 0.01  # share of cells above 1 from which they are intensities rather than typing errors
_MOST_GIVEN = 100  # where the user says by --positive_from that there are strengths


@dataclass(frozen=True)
class Columns:
    """The columns that are read: either 0/1 columns, one per label, or one of label cells.

    Attributes:
        text: The column of texts.
        labels: One column per label, in the order of the labels; empty if `names` is set.
        names: The column of label cells.
        inferred: Whether `labels` was found by what the columns hold.
        id: The column of identifiers.
        metadata: Columns among `labels` that are rather metadata, by their names.
    """

    text: str
    labels: tuple[str, ...] = ()
    names: str | None = None
    inferred: bool = False
    id: str | None = None
    metadata: tuple[str, ...] = ()

    def ignored(self, table: Table) -> list[str]:
        """Return the columns of a table that are not read."""
        read = {self.text, *self.labels, self.names, self.id}
        return [name for name in table.columns if name not in read]


def find_column(table: Table, column: str, option: str) -> str:
    """Return `column`, which the user named by `option`.

    Raises:
        DataError: The table has no such column.
    """
    if column not in table.columns:
        columns_instead = (
            " If the labels are columns of 0 and 1, set --labels_column null."
            if option == "labels_column" and _binary_columns(table, set())
            else ""
        )
        raise table.error(
            f"there is no column {column!r}{did_you_mean(column, table.columns)}. The columns are "
            f"{quoted(table.columns)}. Set --{option} to one of them.{columns_instead}"
        )
    return column


def find_text_column(table: Table, text_column: str | None, reserved: Sequence[str] = ()) -> str:
    """Return the column of texts: as named, else by its name, else the only column of strings.

    `reserved` are columns that hold labels or are ignored.

    Raises:
        DataError: There is no such column, or more than one.
    """
    if text_column is not None:
        return find_column(table, text_column, "text_column")
    free = [name for name in table.columns if name not in reserved]
    candidates = columns_called(free, TEXT_COLUMNS) or [
        name for name in columns_ending_in(free, TEXT_COLUMNS) if _has_strings(table, name)
    ]
    if not candidates:
        named = columns_called(free, INDEX_COLUMNS | LABELS_COLUMNS)
        candidates = [
            name
            for name in free
            if name not in named and _has_strings(table, name)
            and not (table.binary(name) >= 0).any()
        ]  # fmt: skip
    if len(candidates) == 1:
        return candidates[0]
    found = f"columns {quoted(candidates)} may all" if candidates else "no column seems to"
    raise table.error(
        f"{found} hold the texts. The columns are {quoted(table.columns)}{table.header_hint}. Set "
        "--text_column to the right one."
    )


def _has_strings(table: Table, column: str) -> bool:
    return any(isinstance(value, str) for value in table.columns[column][:100])


def find_columns(
    table: Table, arguments: DataArguments, label_names: Sequence[str] | None, closed_set: bool
) -> Columns:
    """Return the columns that are read, found by what they hold where they are not named.

    Args:
        table: The file.
        arguments: The options of reading.
        label_names: The label set, if it is known.
        closed_set: Whether a further column of 0 and 1 is a label outside `label_names`, and so an
            error: true for evaluation files when the columns of the training file were inferred.

    Raises:
        DataError: A column is missing, several ways to read the labels are possible, or none is.
    """
    ignored = list(arguments.ignore_columns or ())
    given = [*(arguments.label_columns or ()), *(label_names or ()), arguments.labels_column or ""]
    text = find_text_column(table, arguments.text_column, [*given, *ignored])
    columns = _label_columns(table, arguments, label_names, text, ignored, closed_set)
    identifiers = [name for name in columns_called(table.columns, ID_COLUMNS) if name != text]
    column = identifiers[0] if len(identifiers) == 1 else None
    if arguments.id_column is not None:
        column = find_column(table, arguments.id_column, "id_column")
    if column in (*columns.labels, columns.names):
        column = None
    if text in (*columns.labels, columns.names):
        raise table.error(
            f"column {text!r} would hold both the texts and labels. Set --text_column to another "
            f"of {quoted(table.columns)}."
        )
    doubted = tuple(name for name in columns.labels if looks_like_metadata(name))
    return replace(columns, id=column, metadata=doubted if columns.inferred else ())


def _label_columns(
    table: Table, arguments: DataArguments, label_names: Sequence[str] | None, text: str,
    ignored: Sequence[str], closed_set: bool,
) -> Columns:  # fmt: skip
    if arguments.label_columns is not None:
        _check_present(table, arguments.label_columns, "label_columns")
        return Columns(text, labels=tuple(label_names or arguments.label_columns))
    if arguments.labels_column is not None:
        return Columns(text, names=find_column(table, arguments.labels_column, "labels_column"))
    skipped = {text, *ignored, arguments.id_column or text}
    if label_names is None:
        return _infer_labels(table, arguments, skipped, text)
    lists = _cell_columns(table, skipped, binary_too=True)
    if arguments.label_format in CELL_FORMATS and lists:
        return Columns(text, names=_only_cell_column(table, lists))
    if any(name in table.columns for name in label_names) or not lists:
        _check_present(table, label_names, "label_names")
        if closed_set:
            _check_no_further_label(table, skipped, label_names)
        return Columns(text, labels=tuple(label_names))
    return Columns(text, names=_only_cell_column(table, lists))


def _check_present(table: Table, names: Sequence[str], option: str) -> None:
    missing = [name for name in names if name not in table.columns]
    if not missing:
        return
    if len(missing) == len(names) and not _binary_columns(table, set()):
        raise unlabeled_error(table, f"none of the columns {quoted(names)} is there")
    whose = {
        "label_columns": "or fix --label_columns",
        "label_names": "so that each label has one: those of the model or of the training texts, "
        "or of --label_names if you gave it",
    }
    raise table.error(
        "label columns are missing: "
        + "; ".join(f"{name!r}{did_you_mean(name, table.columns)}" for name in missing)
        + f". The columns are {quoted(table.columns)}. Add or rename columns, {whose[option]}."
    )


def unlabeled_error(table: Table, reason: str) -> DataError:
    """Return the error for a file that has texts and no labels at all."""
    return table.error(
        f"the texts have no labels ({reason}); the columns are {quoted(table.columns)}. Training "
        "and evaluation need labels: add them, or name their columns by --label_columns or "
        "--labels_column. To label texts with a finished model use `stacked-emotion predict "
        "--model DIR --input FILE --output FILE`."
    )


def _cell_columns(table: Table, skipped: set[str], binary_too: bool = False) -> list[str]:
    """Return the columns that are called labels or similar, the usual names first."""
    free = [name for name in table.columns if name not in skipped]
    for found in (
        columns_called(free, LABELS_COLUMNS),
        columns_ending_in(free, LABELS_COLUMNS),
        columns_called(free, MORE_LABELS_COLUMNS),
    ):
        kept = [
            name
            for name in found
            if binary_too or name in table.class_names or not _is_binary(table, name)
        ]
        if kept:
            return kept
    return []


def _is_binary(table: Table, column: str) -> bool:
    return bool(len(table)) and bool((table.binary(column) >= 0).all())


def _only_cell_column(table: Table, candidates: list[str]) -> str:
    if len(candidates) > 1:
        raise table.error(
            f"columns {quoted(candidates)} may all hold the label names. Set --labels_column to "
            "the right one."
        )
    return candidates[0]


def _binary_columns(table: Table, skipped: set[str]) -> list[str]:
    """Columns in which at least half of the values are 0 or 1; a stray value is reported later.

    A column with the name of metadata and another value is metadata.
    """
    indices = columns_called(table.columns, INDEX_COLUMNS)
    return [
        name
        for name in table.columns
        if name not in skipped
        and name not in indices
        and len(table)
        and 2 * int((table.binary(name) >= 0).sum()) >= len(table)
        and (_is_binary(table, name) or not looks_like_metadata(name))
    ]


def _intensity_columns(table: Table, skipped: set[str], most: float) -> list[str]:
    """Columns of small whole numbers, or of numbers up to 1, that may be strengths of labels."""
    found = []
    for name, values in table.columns.items():
        if name in skipped or looks_like_metadata(name):
            continue
        levels = [number(value) for value in values if binary_value(value) is None]
        if levels and all(level is not None and 0 <= level <= most for level in levels):
            found.append(name)
    return found


def _infer_labels(table: Table, arguments: DataArguments, skipped: set[str], text: str) -> Columns:
    label_format = arguments.label_format
    most = _MOST_INTENSE if arguments.positive_from is None else _MOST_GIVEN
    lists = [] if label_format == "columns" else _cell_columns(table, skipped)
    taken = skipped | set(lists)
    binary = _binary_columns(table, taken)
    strengths = [name for name in _intensity_columns(table, taken, most) if name not in binary]
    if label_format in CELL_FORMATS:
        lists = lists or _cell_columns(table, skipped, binary_too=True)
        binary = strengths = []
    by_name = columns_called(lists, LABELS_COLUMNS)
    doubted = [name for name in binary if not looks_like_metadata(name)]
    if lists and doubted and not by_name:  # a column such as `topic_label` beside 0/1 columns
        lists = []
    if lists and doubted:
        raise table.error(
            f"the labels may be the column{'s' if len(lists) > 1 else ''} of "
            f"names {quoted(lists)}, or the 0/1 columns {quoted(binary)}. "
            "Set --labels_column or --label_columns."
        )
    if lists:
        return Columns(text, names=_only_cell_column(table, lists))
    single = columns_called(binary, LABELS_COLUMNS | MORE_LABELS_COLUMNS)
    if single and single == binary + strengths and label_format != "columns":
        raise table.error(
            f"column {single[0]!r} holds 0 and 1 only and is ambiguous: it can be one label of its "
            f"own (--label_columns {shorten(single[0])}), or class numbers, which need the names "
            f"of the labels (--labels_column {shorten(single[0])} and --label_names)."
        )
    labels = [name for name in table.columns if name in (*binary, *strengths)]
    unused = _unused(table, text, labels, skipped)
    if not labels and label_format in CELL_FORMATS:
        raise table.error(
            f"--label_format {label_format} needs one column of labels, and none is called labels "
            f"or similar; the columns are {quoted(table.columns)}. Name it by --labels_column, or "
            "leave out --label_format."
        )
    if not labels:
        hint = f" Labels must be 0 or 1; these are not: {'; '.join(unused)}." if unused else ""
        named = "" if label_format == "columns" else ", or is called 'labels'"
        error = unlabeled_error(table, f"no column holds 0 and 1{named}")
        raise DataError(f"{error}{hint}")
    for name in labels:
        if reason := why_no_name(name):
            raise table.error(
                f"the column {name!r} holds 0 and 1, but {reason}. Rename the columns, leave this "
                "one out by --ignore_columns, or name the labels by --label_columns."
            )
    if unused:
        table.note(
            f"not read as labels, because they do not hold 0 and 1: {'; '.join(unused)}. If they "
            "are labels, fix them and set --label_columns."
        )
    return Columns(text, labels=tuple(labels), inferred=True)


def _unused(table: Table, text: str, labels: Sequence[str], skipped: set[str]) -> list[str]:
    """Columns of few different values that are not labels, with their values."""
    known = {text, *labels, *skipped, *columns_called(table.columns, INDEX_COLUMNS)}
    return [
        f"{name!r} ({', '.join(shorten(value, 20) for value in sorted(few))})"
        for name, values in table.columns.items()
        if name not in known
        and not looks_like_metadata(name)
        and len(few := {str(value) for value in values[:1000]}) <= 3
    ]


def _check_no_further_label(table: Table, skipped: set[str], label_names: Sequence[str]) -> None:
    for name in _binary_columns(table, skipped | set(_cell_columns(table, skipped))):
        if name not in label_names:
            row = int(np.argmax(table.binary(name) == 1))
            raise table.error(
                f"column {name!r} holds 0 and 1 and is not a label of the training set, which has "
                f"{quoted(label_names)} ({table.row(row)}, column {name!r}: value "
                f"{shorten(table.columns[name][row])}). Remove the column, add it to the training "
                "file, leave it out by --ignore_columns, or set --label_columns to the columns "
                "that are labels."
            )


def read_label_columns(
    table: Table, columns: Columns, positive_from: float | None = None
) -> np.ndarray:
    """Return the 0/1 columns as (rows, labels) int8; other values become problems.

    With `positive_from`, numbers from there up are 1, lower ones 0.

    Raises:
        DataError: No cell at all is 0 or 1, or the columns hold intensities.
    """
    if positive_from is not None:
        labels = np.full((len(table), len(columns.labels)), -1, np.int8)
        for position, name in enumerate(columns.labels):
            for index, value in enumerate(table.columns[name]):
                level = number(value) if (bit := binary_value(value)) is None else bit
                if level is not None:
                    labels[index, position] = level >= positive_from
    else:
        labels = np.stack([table.binary(name) for name in columns.labels], axis=1)
        _refuse_intensities(table, columns, labels)
    if len(table) and (labels < 0).all():
        first = shorten(table.columns[columns.labels[0]][0])
        reason = f"no value of {quoted(columns.labels)} is 0 or 1, the first is {first}"
        raise unlabeled_error(table, reason)
    hint = ""
    if columns.inferred:
        hint = "; if the column is not a label, name those that are by --label_columns"
    for position, name in enumerate(columns.labels):
        values = table.columns[name]
        for index in np.flatnonzero(labels[:, position] < 0).tolist():
            value = values[index]
            shown = "the value is missing (null), which" if value is None else shorten(value)
            level = number(value)
            above = (
                ", or, if it is an intensity, set --positive_from 1" if level and level > 1 else ""
            )
            table.problems.add(
                table.row_numbers[index], f"{shown} is not 0 or 1{hint}{above}", name,
                kind="label that is not 0 or 1",
            )  # fmt: skip
    return labels


def _refuse_intensities(table: Table, columns: Columns, labels: np.ndarray) -> None:
    found: dict[str, list[tuple[int, int | float]]] = {}
    for position, name in enumerate(columns.labels):
        for index in np.flatnonzero(labels[:, position] < 0):
            level = number(table.columns[name][index])
            if level is not None and level > 0:
                found.setdefault(name, []).append((int(index), level))
    count = sum(map(len, found.values()))
    if count < max(2, _MANY * len(table)):
        return
    numbers = [number(value) for name in found for value in table.columns[name]]
    levels = [level for level in numbers if level is not None and level >= 0]
    name, ((first, level), *_) = next(iter(found.items()))
    most = max(levels)
    span = f"{min(levels):g} to {most:g}" if most > 1 else "between 0 and 1"
    raise table.error(
        f"the columns {quoted(found)} hold intensities {span}, not 0 and 1 ({count:,} cells, such "
        f"as {level:g} in {table.row(first)}, column {name!r}). {first_positive(levels)} If they "
        "are not labels, name the labels by --label_columns or leave columns out by "
        "--ignore_columns."
    )
