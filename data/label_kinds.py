"""A column of label cells, read as the one kind that fits every cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..common.errors import did_you_mean, quoted, shorten
from .arguments import DataArguments
from .columns import unlabeled_error
from .label_cells import (
    CELL_FORMATS,
    FORMAT_NAMES,
    Cell,
    binary_value,
    first_positive,
    note_joined_names,
    number,
    read_cell,
    split_bare,
)
from .names import clean_name, has_invisible, why_no_name
from .tables import ANSWERS, Table

MAX_LABELS = 500
_SHOWN = 3


def read_label_cells(
    table: Table, column: str, arguments: DataArguments, label_names: Sequence[str] | None
) -> tuple[np.ndarray, list[str], str]:
    """Return a column of label cells as (rows, labels) int8, the labels, and how it was read.

    The cells are names, vectors of 0 and 1, or class numbers: the kind that fits every cell that
    is not empty, or the one that the user named. An empty cell is a text without labels, except
    among vectors. Without `label_names`, the labels are the class names of the data set, else every
    name that occurs, sorted.

    Raises:
        DataError: No kind fits every cell, or several do; the texts have no label at all, or far
            too many different ones; numbers without the names of the labels.
    """
    values = table.columns[column]
    if all(value is None for value in values):
        raise unlabeled_error(table, f"column {column!r} is empty")
    classes = _class_names(table, column, label_names)
    numbered = [clean_name(name) for name in classes] if classes is not None else label_names
    _note_invisible(table, column)
    cells = split_bare(table, column, _read_cells(values), arguments.label_separator, label_names)
    if arguments.positive_from is not None:
        cells = [_binarized(cell, arguments.positive_from) for cell in cells]
    if any(cell.scores for cell in cells):
        _refuse_levels(table, column, cells, 0)
    kind = "ids" if classes is not None else str(arguments.label_format)
    if kind not in CELL_FORMATS:
        kind = _decide(table, column, cells, label_names)
    if kind == "multi_hot":
        return _vectors(table, column, cells, label_names), list(label_names or ()), kind
    index = next((i for i, cell in enumerate(cells) if cell.tokens), None)
    if kind == "ids" and not numbered and index is not None:
        if not isinstance(number(cells[index].tokens[0]), int):
            raise table.error(
                f"{table.row(index)}, column {column!r}: {shorten(values[index])} is not a class "
                "number. Leave out --label_format ids, or set --labels_column to another column."
            )
        what = "holds numbers, not label names" if len(cells[index].tokens) > 1 else (
            "is a number, not a label name")  # fmt: skip
        raise table.error(
            f"{table.row(index)}, column {column!r}: {shorten(values[index])} {what}. Give the "
            "names of the labels, in the order of their numbers, by --label_names."
        )
    if kind == "ids" and arguments.label_format is None:
        _refuse_levels(table, column, cells, len(numbered or ()), mostly=False)
        _refuse_ids_from_1(table, column, cells, numbered or ())
    if label_names is None:
        found = {token for cell in cells for token in (*cell.tokens, *cell.declared)}
        texts = sorted(token for token in found if isinstance(token, str))
        usable = [name for name in texts if why_no_name(name, column) is None]
        if {name.lower() for name in usable} in map(set, ANSWERS):
            raise table.error(
                f"column {column!r} holds {quoted(usable)}, which are answers, not label names. "
                "Write them as 1 and 0, and give the names of the labels by --label_names."
            )
        label_names = list(numbered or ()) if kind == "ids" else usable
        if len(label_names) > MAX_LABELS:
            raise table.error(
                f"column {column!r} holds {len(label_names):,} different labels, such as "
                f"{quoted(label_names, 3)}; more than {MAX_LABELS} look like a mistake. Check "
                "--labels_column and --label_separator, or give the set by --label_names."
            )
        note_joined_names(table, column, label_names)
    label_names = list(label_names)
    labels = _marked(table, column, cells, label_names, numbered, kind)
    if len(values) and not labels.any() and not table.problems:
        raise unlabeled_error(table, f"column {column!r} names no label in any row")
    return labels, label_names, kind


def _class_names(table: Table, column: str, label_names: Sequence[str] | None) -> list[str] | None:
    """Return the class names of the data set; None where they are no names and others are given."""
    classes = table.class_names.get(column)
    reasons = [reason for name in classes or () if (reason := why_no_name(clean_name(name)))]
    if reasons and label_names is None:
        raise table.error(
            f"the classes of column {column!r} are {quoted(classes or ())}, but "
            f"{reasons[0]}. Give the names of the labels, in this order, by --label_names."
        )
    return None if reasons else classes


def _note_invisible(table: Table, column: str) -> None:
    """Note cells that hold characters without a shape, which are removed from the labels."""
    found = [
        index
        for index, value in enumerate(table.columns[column])
        if isinstance(value, str) and not value.isascii() and has_invisible(value)
    ]
    if found:
        table.note(
            f"invisible characters were removed from the labels in {len(found):,} "
            f"cell{'s' * (len(found) > 1)} of column {column!r}, such as "
            f"{table.cell(found[0], column)}."
        )


def _read_cells(values: Sequence[Any]) -> list[Cell]:
    texts = {value: read_cell(value) for value in {v for v in values if isinstance(v, str)}}
    return [texts[v] if isinstance(v, str) else read_cell(v) for v in values]


def _binarized(cell: Cell, positive_from: float) -> Cell:
    """Turn the numbers of a dictionary or a vector into 0 and 1."""
    if cell.scores:
        on = tuple(name for name, level in cell.scores.items() if level >= positive_from)
        return Cell(on, declared=tuple(cell.scores))
    if len(cell.tokens) > 1 and all(number(token) is not None for token in cell.tokens):
        return Cell(tuple(int(float(token) >= positive_from) for token in cell.tokens))
    return cell


def _kinds(cell: Cell, width: int) -> set[str]:
    """Return the kinds that a cell fits; `width` is the number of entries of a vector."""
    tokens = cell.tokens
    if cell.declared:
        return {"names"}
    kinds = set()
    numbers = [number(token) for token in tokens]
    if all(isinstance(token, str) and binary_value(token) is None for token in tokens):
        kinds.add("names")
    if all(isinstance(n, int) and n >= 0 for n in numbers) and len(set(tokens)) == len(tokens):
        kinds.add("ids")
    if _bits(cell, width) is not None:
        kinds.add("multi_hot")
    return kinds


def _bits(cell: Cell, width: int) -> tuple[int, ...] | None:
    """Return a cell as a vector of `width` zeros and ones, or None."""
    if len(cell.bits) == width > 1:
        return cell.bits
    bits = tuple(binary_value(token) for token in cell.tokens)
    return bits if len(bits) == width and None not in bits else None  # type: ignore[return-value]


def _width(cells: Sequence[Cell], label_names: Sequence[str] | None) -> int:
    """Return the length of the vectors: that of the label set where any has it."""
    widths = Counter(
        len(cell.tokens)
        for cell in cells
        if len(cell.tokens) > 1 and all(binary_value(token) is not None for token in cell.tokens)
    )
    names = len(label_names or ())
    if label_names and (names == 1 or widths[names] or any(len(c.bits) == names for c in cells)):
        return names
    return widths.most_common(1)[0][0] if widths else 0


def _decide(table: Table, column: str, cells: list[Cell], label_names: Sequence[str] | None) -> str:
    """Return the one kind that fits every cell that can be read and is not empty.

    Raises:
        DataError: None does, or several do.
    """
    width = _width(cells, label_names)
    told = [i for i, cell in enumerate(cells) if not cell.error and not cell.empty]
    fits = {index: _kinds(cells[index], width) for index in told}
    everywhere = set(CELL_FORMATS).intersection(*fits.values()) if fits else {"names"}
    if len(everywhere) > 1 and label_names:
        numbers = [n for i in told for t in cells[i].tokens if isinstance(n := number(t), int)]
        if "ids" in everywhere and max(numbers, default=0) >= len(label_names):
            everywhere.discard("ids")
        orders = {cells[i].tokens for i in told}
        if width != len(label_names) and len(everywhere) > 1 and not {(0, 1), (1, 0)} <= orders:
            everywhere.discard("multi_hot")
    if len(everywhere) == 1:
        (kind,) = everywhere
        deciding = [index for index in told if len(fits[index]) == 1]
        if len(deciding) == 1 < len(told):
            table.note(
                f"column {column!r} is read as {FORMAT_NAMES[kind]}, decided by one cell: "
                f"{table.row(deciding[0])}, {shorten(table.columns[column][deciding[0]])}. All "
                "others could also be of another kind: check the first rows, and set "
                f"--label_format {kind} or another one."
            )
        return kind
    _refuse_levels(table, column, cells, len(label_names or ()))
    if label_names and width != len(label_names):
        fits = {index: _kinds(cells[index], len(label_names)) for index in told}
    values = table.columns[column]
    if everywhere:
        index = next((i for i in told if len(cells[i].tokens) > 1), told[0])
        ways = [
            f"{FORMAT_NAMES[kind]} ({_reading(cells[index], kind, label_names)}): "
            f"--label_format {kind}"
            for kind in CELL_FORMATS if kind in everywhere
        ]  # fmt: skip
        raise table.error(
            f"column {column!r} is ambiguous. {table.row(index).capitalize()}, "
            f"{shorten(values[index])}, can be read as {'; or as '.join(ways)}. Set one of these "
            "options."
        )
    counts = Counter(kind for kinds in fits.values() for kind in kinds)
    best = max(CELL_FORMATS, key=lambda kind: counts[kind])
    first = next((index for index in told if best in fits[index]), told[0])
    odd = [index for index in told if best not in fits[index]]
    misfits = "; ".join(
        f"{table.row(i)}: {shorten(values[i])}"
        + (f" ({' or '.join(FORMAT_NAMES[kind] for kind in sorted(fits[i]))})" if fits[i] else "")
        for i in odd[:_SHOWN]
    )
    more = f" and {len(odd) - _SHOWN:,} more" if len(odd) > _SHOWN else ""
    if any(n not in (0, 1) for index in told for n in _numbers(cells[index])):
        more += " (if the numbers are intensities, set --positive_from 1)"
    raise table.error(
        f"column {column!r} holds label cells of more than one kind. {counts[best]:,} of "
        f"{len(told):,} can be read as {FORMAT_NAMES[best]}, such as {table.row(first)}: "
        f"{shorten(values[first])}; not so {misfits}{more}. Fix these rows, or set --label_format "
        f"{best}: they are then bad rows, which --on_bad_rows skip leaves out. The other values "
        f"of --label_format are {', '.join(kind for kind in CELL_FORMATS if kind != best)}."
    )


def _reading(cell: Cell, kind: str, label_names: Sequence[str] | None) -> str:
    if kind == "names":
        return f"the labels {quoted(cell.tokens)}"
    tokens = [number(token) if number(token) is not None else token for token in cell.tokens]
    places = [i for i, token in enumerate(tokens) if binary_value(token) == 1]
    chosen = places if kind == "multi_hot" else [int(str(token)) for token in tokens]
    names = list(label_names or ())
    if all(place < len(names) for place in chosen):
        return f"the labels {quoted(names[place] for place in chosen)}"
    return f"the labels number {', '.join(map(str, chosen))}, counted from 0"


def _refuse_levels(
    table: Table, column: str, cells: Sequence[Cell], label_count: int, mostly: bool = True
) -> None:
    """Refuse vectors and dictionaries of intensities, saying how to read them.

    Vectors with numbers other than 0 and 1 are intensities, not class numbers, if one of them
    repeats a number, has a fraction or a number beyond the labels, or if most are such (`mostly`).
    """
    rows = {i: list(cell.scores.values()) for i, cell in enumerate(cells) if cell.scores}
    if not rows:
        found = {i: levels for i, cell in enumerate(cells) if (levels := _numbers(cell))}
        width = label_count or max(map(len, found.values()), default=0)
        if width < 2 or any(len(levels) != width for levels in found.values()):
            return
        rows = {i: levels for i, levels in found.items() if not set(levels) <= {0, 1}}
        certain = any(
            len(set(levels)) < width or max(levels) >= width or any(n % 1 for n in levels)
            for levels in rows.values()
        )
        if not rows or not (certain or (mostly and 2 * len(rows) > len(found))):
            return
    levels = [level for row in rows.values() for level in row]
    index = next(iter(rows))
    start = first_positive([number for cell in cells for number in _numbers(cell)] or levels)
    raise table.error(
        f"column {column!r} holds intensities, not 0 and 1, such as {table.cell(index, column)}. "
        f"{start}"
    )


def _numbers(cell: Cell) -> list[float]:
    """Return the numbers of a cell of several numbers, else nothing."""
    numbers = [number(token) for token in cell.tokens]
    return [n for n in numbers if n is not None] if len(numbers) > 1 and None not in numbers else []


def _vectors(
    table: Table, column: str, cells: list[Cell], label_names: Sequence[str] | None
) -> np.ndarray:
    width = _width(cells, label_names)
    names = len(label_names or ())
    if width != names and width:
        index = next(i for i, cell in enumerate(cells) if _bits(cell, width) is not None)
        given = f"there are {names}" if label_names else "none is given"
        raise table.error(
            f"column {column!r} holds vectors of {width} zeros and ones, such as "
            f"{table.cell(index, column)}; they need {width} label names and {given}. Give the "
            "names in order by --label_names."
        )
    labels = np.zeros((len(cells), names), np.int8)
    for index, cell in enumerate(cells):
        bits = _bits(cell, names)
        if bits is not None:
            labels[index] = bits
            continue
        shown = shorten(table.columns[column][index])
        reason = cell.error or (
            "the vector is empty"
            if cell.empty
            else f"{shown} is not a vector of {names} zeros and ones, one per label"
        )
        _add(table, index, reason, column)
    return labels


def _add(table: Table, index: int, reason: str, column: str) -> None:
    table.problems.add(table.row_numbers[index], reason, column, kind="label cell")


def _marked(
    table: Table, column: str, cells: list[Cell], label_names: list[str],
    numbered: Sequence[str] | None, kind: str,
) -> np.ndarray:  # fmt: skip
    """Return the labels of cells of names or class numbers; what is none becomes a problem."""
    index_of = {name: index for index, name in enumerate(label_names)}
    labels = np.zeros((len(cells), len(label_names)), np.int8)
    memory: dict[Any, int | str] = {}
    for row, cell in enumerate(cells):
        if cell.error:
            _add(table, row, cell.error, column)
        tokens = cell.tokens
        if kind == "ids" and len(set(tokens)) < len(tokens):
            shown = shorten(table.columns[column][row])
            _add(
                table, row, f"{shown} repeats a number, so it is not a set of class numbers", column
            )
            continue
        for token in tokens:
            key = (type(token), token)
            if (found := memory.get(key)) is None:
                found = memory[key] = _place(token, column, kind, numbered, index_of)
            if isinstance(found, int):
                labels[row, found] = 1
            else:
                _add(table, row, found, column)
    return labels


def _refuse_ids_from_1(
    table: Table, column: str, cells: Sequence[Cell], numbered: Sequence[str]
) -> None:
    """Refuse class numbers that are counted from 1: each would be taken for the next label."""
    found = {n for cell in cells for token in cell.tokens if isinstance(n := number(token), int)}
    if min(found, default=0) == 1 and max(found) == len(numbered):
        raise table.error(
            f"the class numbers of column {column!r} seem to be counted from 1: 0 does not occur, "
            f"and {len(numbered)} is one more than the last of the {len(numbered)} labels. They "
            f"are counted from 0: subtract 1 from each, or, if {len(numbered)} is a mistake, set "
            "--label_format ids."
        )


def _place(
    token: Any, column: str, kind: str, numbered: Sequence[str] | None, index_of: dict[str, int]
) -> int | str:
    """Return the index of the label that a token means, or why it means none."""
    name = token
    if kind == "ids":
        place = number(token)
        if not isinstance(place, int):
            return f"{shorten(token)} is not a class number"
        name = numbered[place] if numbered and 0 <= place < len(numbered) else None
    elif not isinstance(token, str):
        return f"{shorten(token)} is a number, not a label name"
    if name in index_of:
        return index_of[name]
    if isinstance(token, str) and kind == "names" and (reason := why_no_name(token, column)):
        return reason
    near = did_you_mean(token, index_of) if isinstance(token, str) else ""
    return f"{shorten(token)} is outside the label set{near}; the labels are {quoted(index_of)}"
