"""Columns of 0 and 1, one per label."""

from __future__ import annotations

import numpy as np

from ..common.errors import DataError, quoted, shorten
from .columns import Columns, unlabeled_error
from .label_cells import binary_value, first_positive, number
from .tables import Table

_MANY = 0.01  # share of cells above 1 from which they are intensities rather than typing errors


def read_label_columns(
    table: Table, columns: Columns, positive_from: float | None = None
) -> np.ndarray:
    """Return the 0/1 columns as (rows, labels) int8; other values become problems.

    Args:
        table: The file.
        columns: Its columns of labels.
        positive_from: Numbers from here up are 1, lower ones 0.

    Raises:
        DataError: No cell at all is 0 or 1, or the columns hold intensities.
    """
    if positive_from is not None:
        cells = [
            [number(value) if (b := binary_value(value)) is None else b for value in column]
            for column in (table.columns[name] for name in columns.labels)
        ]
        labels = np.array(
            [[-1 if level is None else level >= positive_from for level in column]
             for column in cells], np.int8,
        ).reshape(len(cells), len(table)).T  # fmt: skip
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
        for index in np.flatnonzero(labels[:, position] < 0):
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
    raise DataError(
        f"{table.source}: the columns {quoted(found)} hold intensities {span}, not 0 and 1 "
        f"({count:,} cells, such as {level:g} in {table.problems.unit} "
        f"{table.row_numbers[first]}, column {name!r}). {first_positive(levels)} If they are not "
        "labels, name the labels by --label_columns or leave columns out by --ignore_columns."
    )
