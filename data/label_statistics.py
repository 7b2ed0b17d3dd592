"""Label statistics of a training split: prevalence, phi matrix and class weights.

They are computed once, from the training rows only, and feed the losses
(`stacked_emotion.trainer.losses`), the model's config and the model card.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

ClassWeightMethod = Literal["none", "inverse", "sqrt_inverse", "effective_number"]
CLASS_WEIGHT_METHODS: tuple[str, ...] = get_args(ClassWeightMethod)


def check_binary_labels(labels: Any, label_names: Sequence[str] | None = None) -> np.ndarray:
    """Return `(rows, labels)` annotations of 0 and 1 as int64, or say which entry is wrong.

    The names of the columns are for the message and the expected width.

    Raises:
        ValueError: wrong shape, no rows or labels, NaN, or a value other than 0 and 1.
    """
    array = np.asarray(labels)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(
            f"labels must be a (rows, labels) table with at least one row and one label, "
            f"got shape {array.shape}."
        )
    if label_names is not None and array.shape[1] != len(label_names):
        raise ValueError(
            f"labels have {array.shape[1]} columns, but there are {len(label_names)} label names: "
            f"{', '.join(label_names)}."
        )
    if array.dtype.kind not in "biuf":
        raise ValueError(f"labels must be numbers 0 and 1, got values of type {array.dtype}.")
    wrong = np.argwhere((array != 0) & (array != 1))
    if len(wrong):
        row, column = (int(index) for index in wrong[0])
        label = repr(label_names[column]) if label_names is not None else str(column)
        raise ValueError(
            f"labels: row {row}, label {label} is {array[row, column]!s}, but every entry must be "
            f"0 or 1 ({len(wrong)} such {'entry' if len(wrong) == 1 else 'entries'} in all)."
        )
    return array.astype(np.int64)


def phi_matrix(labels: np.ndarray) -> np.ndarray:
    """Phi coefficients (Pearson correlation of binary variables) of all pairs of `(rows, labels)`.

    `phi_ij = (n·n_ij − n_i·n_j) / sqrt(n_i(n − n_i)·n_j(n − n_j))`. A label that is on in no row
    or in every row has no correlation: 0 with every other label, 1 with itself, never NaN. The
    `(labels, labels)` float64 matrix is symmetric and positive semi-definite, its diagonal 1.
    """
    table = np.asarray(labels, dtype=np.float64)
    rows = table.shape[0]
    positives = table.sum(axis=0)
    deviation = np.sqrt(positives * (rows - positives))
    covariance = rows * (table.T @ table) - np.outer(positives, positives)
    scale = np.outer(deviation, deviation)
    phi = np.divide(covariance, scale, out=np.zeros_like(scale), where=scale > 0)
    phi = np.clip(phi, -1.0, 1.0)
    np.fill_diagonal(phi, 1.0)
    return phi


def shrink_correlation(correlation: np.ndarray, shrinkage: float) -> np.ndarray:
    """Shrink a `(labels, labels)` correlation matrix uniformly toward the identity.

    `(1 − s)·R + s·I`, with the shrinkage s in [0, 1]: the diagonal stays 1, and a positive
    semi-definite matrix stays so, because its eigenvalues become `(1 − s)·λ + s`.

    Raises:
        ValueError: `correlation` is not square or `shrinkage` is outside [0, 1].
    """
    matrix = np.asarray(correlation, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"The correlation matrix must be square, got shape {matrix.shape}.")
    if not 0.0 <= shrinkage <= 1.0:
        raise ValueError(f"shrinkage must lie in [0, 1], got {shrinkage}.")
    return (1.0 - shrinkage) * matrix + shrinkage * np.eye(len(matrix))


def class_weights(
    positives: np.ndarray | Sequence[int],
    rows: int,
    method: str = "none",
    *,
    power: float | None = None,
    cap: float = 10.0,
) -> np.ndarray:
    """Weight of the positive class of each label, the `pos_weight` of a weighted BCE.

    * `none`: 1.
    * `inverse`: negatives / positives, which balances the two classes.
    * `sqrt_inverse`: the square root of that.
    * `effective_number`: E(negatives) / E(positives) with the effective number of samples
      `E(n) = (1 − βⁿ) / (1 − β)`, β = (rows − 1) / rows (Cui et al. 2019, "Class-Balanced Loss
      Based on Effective Number of Samples", CVPR).

    A label without positives or without negatives gets 1: there is nothing to balance, and
    log(pos_weight), which the trainer adds to the logits inside the loss, must not move them.

    Args:
        positives: `(labels,)` number of positive rows of each label.
        rows: number of rows.
        method: one of `CLASS_WEIGHT_METHODS`.
        power: exponent on the ratio instead of the method's own (1, or 0.5 for `sqrt_inverse`).
        cap: weights are kept within [1/cap, cap].

    Returns:
        `(labels,)` float64 weights, all positive.

    Raises:
        ValueError: unknown method, counts outside [0, rows], or an option out of range.
    """
    if method not in CLASS_WEIGHT_METHODS:
        raise ValueError(
            f"Unknown class weighting {method!r}; known: {', '.join(CLASS_WEIGHT_METHODS)}."
        )
    counts = np.asarray(positives, dtype=np.float64)
    if counts.ndim != 1 or not np.all((counts >= 0) & (counts <= rows)):
        raise ValueError(
            f"positives must be one count in [0, {rows}] per label, got {counts.tolist()}."
        )
    if not cap >= 1.0:
        raise ValueError(f"The cap of the class weights must be at least 1, got {cap}.")
    if method == "none":
        if power is not None:
            raise ValueError('power has no meaning with class weighting "none"; leave it out.')
        return np.ones_like(counts)
    if power is not None and not (np.isfinite(power) and power >= 0):
        raise ValueError(f"power must be a number of at least 0, got {power}.")

    degenerate = (counts == 0) | (counts == rows)
    safe = np.where(degenerate, 1.0, counts)
    negatives = np.where(degenerate, 1.0, rows - counts)
    exponent = power if power is not None else (0.5 if method == "sqrt_inverse" else 1.0)
    if method == "effective_number":
        base = (rows - 1) / rows
        ratio = (1.0 - base**negatives) / (1.0 - base**safe)
    else:
        ratio = negatives / safe
    return np.where(degenerate, 1.0, np.clip(ratio**exponent, 1.0 / cap, cap))


@dataclass(frozen=True, eq=False)
class LabelStatistics:
    """Label statistics of a training split, for the losses, the config and the card. The arrays are
    read-only.

    Attributes:
        label_names: names of the labels, in the order of the classifier's outputs.
        rows: number of training rows.
        positives: `(labels,)` int64, positive rows of each label.
        prevalence: `(labels,)` float64, `positives / rows`.
        correlation: `(labels, labels)` float64 phi matrix, diagonal 1, not shrunk.

    Example:
        ```python
        >>> statistics = LabelStatistics.from_labels([[1, 0], [1, 1], [0, 0], [0, 0]], ["a", "b"])
        >>> statistics.prevalence.tolist()
        [0.5, 0.25]

        ```
    """

    label_names: tuple[str, ...]
    rows: int
    positives: np.ndarray
    prevalence: np.ndarray
    correlation: np.ndarray

    @classmethod
    def from_labels(cls, labels: Any, label_names: Sequence[str]) -> LabelStatistics:
        """Count the labels of a training split, `(rows, labels)` of 0/1 with a name per column.

        Raises:
            ValueError: wrong shape, NaN or a value other than 0 and 1, naming row and label; or
                two labels of the same name.
        """
        names = tuple(str(name) for name in label_names)
        if len(set(names)) != len(names):
            raise ValueError(f"Label names must differ from each other, got {names}.")
        table = check_binary_labels(labels, names)
        positives = table.sum(axis=0)
        arrays = (positives, positives / len(table), phi_matrix(table))
        for array in arrays:
            array.setflags(write=False)
        return cls(names, len(table), *arrays)

    @property
    def num_labels(self) -> int:
        """Number of labels."""
        return len(self.label_names)

    def pos_weight(
        self, method: str = "none", *, power: float | None = None, cap: float = 10.0
    ) -> np.ndarray:
        """`class_weights` of these labels, `(labels,)`."""
        return class_weights(self.positives, self.rows, method, power=power, cap=cap)
