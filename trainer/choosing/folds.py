"""Folds of multi-label rows with nearly the same label shares in each."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...common.errors import counted
from ...data.label_statistics import check_binary_labels


def stratified_folds(labels: Any, folds: int, seed: int = 0) -> np.ndarray:
    """Iterative stratification of multi-label rows.

    Sechidis, Tsoumakas and Vlahavas (2011), "On the Stratification of Multi-label Data":
    the label with the fewest rows left is dealt out first; each of its rows goes to the fold that
    wants most rows of that label, then to the one that wants most rows at all, then to one drawn at
    random. Rows without a label come last and even out the sizes. No fold is left empty.

    Args:
        labels: `(rows, labels)` of 0/1.
        folds: number of folds, from 2 to the number of rows.
        seed: decides ties and the order of the rows; the same seed gives the same folds.

    Returns:
        `(rows,)` int64, the fold of each row.

    Raises:
        ValueError: fewer than 2 folds, more folds than rows, or labels other than 0/1.
    """
    table = check_binary_labels(labels).astype(bool)
    rows = len(table)
    if folds < 2:
        raise ValueError(f"At least 2 folds are needed, got {folds}.")
    if folds > rows:
        raise ValueError(
            f"{folds} folds cannot be made of {counted(rows, 'row')}; use at most {rows}."
        )

    generator = np.random.default_rng(seed)
    assignment = np.full(rows, -1, dtype=np.int64)
    sizes = np.zeros(folds, dtype=np.int64)
    wanted_rows = np.full(folds, rows / folds)
    wanted_labels = np.tile(table.sum(axis=0) / folds, (folds, 1))
    left = table.sum(axis=0)

    def place(row: int, label: int | None) -> None:
        candidates = np.arange(folds)
        if rows - sizes.sum() <= (sizes == 0).sum():
            candidates = np.flatnonzero(sizes == 0)
        if label is not None:
            candidates = _largest(candidates, wanted_labels[candidates, label])
        candidates = _largest(candidates, wanted_rows[candidates])
        fold = candidates[0] if len(candidates) == 1 else generator.choice(candidates)
        assignment[row] = fold
        sizes[fold] += 1
        wanted_rows[fold] -= 1
        wanted_labels[fold] -= table[row]
        left[:] -= table[row]

    while left.any():
        fewest = np.flatnonzero(left == left[left > 0].min())
        label = int(fewest[0] if len(fewest) == 1 else generator.choice(fewest))
        members = np.flatnonzero(table[:, label] & (assignment < 0))
        for row in generator.permutation(members):
            place(int(row), label)
    for row in generator.permutation(np.flatnonzero(assignment < 0)):
        place(int(row), None)
    return assignment


def _largest(candidates: np.ndarray, values: np.ndarray) -> np.ndarray:
    return candidates[values >= values.max() - 1e-9]
