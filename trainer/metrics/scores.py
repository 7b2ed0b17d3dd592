"""Multi-label scores in numpy, by the official SemEval-2018 E-c definitions.

It imports numpy alone, so the trainer, the bootstrap and the stand-alone `evaluate` module next to
it share one implementation. Every ratio without cases is 0, as with scikit-learn's
`zero_division=0`; only the per-sample Jaccard of two empty sets is 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

ECE_BINS = 15


def ratio(numerator: Any, denominator: Any) -> np.ndarray:
    """Element-wise quotient, 0 where the denominator is 0."""
    top = np.asarray(numerator, dtype=np.float64)
    bottom = np.asarray(denominator, dtype=np.float64)
    return np.divide(top, bottom, out=np.zeros(np.broadcast(top, bottom).shape), where=bottom != 0)


def check_table(values: Any, what: str) -> np.ndarray:
    """Return `values` as a `(rows, labels)` float64 table without NaN.

    Raises:
        ValueError: another shape, no rows or labels, or a NaN, naming its row and label.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or 0 in table.shape:
        raise ValueError(
            f"{what} must be a (rows, labels) table with at least one row and one label, got "
            f"shape {table.shape}."
        )
    if np.isnan(table).any():
        row, label = np.argwhere(np.isnan(table))[0]
        raise ValueError(f"{what}: row {row}, label {label} is NaN.")
    return table


def check_binary(values: Any, what: str, hint: str = "") -> np.ndarray:
    """Return `values` as a `(rows, labels)` int64 table of 0 and 1.

    Raises:
        ValueError: another shape or another value, naming its row and label.
    """
    table = check_table(values, what)
    wrong = np.argwhere((table != 0) & (table != 1))
    if len(wrong):
        row, label = wrong[0]
        raise ValueError(
            f"{what}: row {row}, label {label} is {table[row, label]:g}, not 0 or 1.{hint}"
        )
    return table.astype(np.int64)


def check_scores(values: Any, what: str = "predictions") -> np.ndarray:
    """Return `values` as a `(rows, labels)` float64 table of probabilities.

    Raises:
        ValueError: another shape or a value outside [0, 1], naming its row and label.
    """
    table = check_table(values, what)
    wrong = np.argwhere((table < 0) | (table > 1))
    if len(wrong):
        row, label = wrong[0]
        raise ValueError(
            f"{what}: row {row}, label {label} is {table[row, label]:g}, outside [0, 1]. Scores "
            "are probabilities: apply the sigmoid to logits first."
        )
    return table


def decide(scores: np.ndarray, thresholds: float | Sequence[float] | np.ndarray) -> np.ndarray:
    """Labels whose score reaches the threshold (`score >= threshold`).

    Args:
        scores: `(rows, labels)`.
        thresholds: one for all labels, or one per label.

    Returns:
        `(rows, labels)` int64 of 0/1.

    Raises:
        ValueError: a number of thresholds other than 1 or the number of labels, or NaN.
    """
    limits = np.asarray(thresholds, dtype=np.float64)
    width = scores.shape[1]
    if limits.size != 1 and limits.shape != (width,):
        raise ValueError(
            f"thresholds must be one number or one per label ({width}), got shape {limits.shape}."
        )
    if np.isnan(limits).any():
        raise ValueError("thresholds hold a NaN.")
    return (scores >= limits.reshape(-1)).astype(np.int64)


def jaccard_per_row(references: np.ndarray, decisions: np.ndarray) -> np.ndarray:
    """|Y ∩ Ŷ| / |Y ∪ Ŷ| of each row, 1 where both sets are empty; `(rows,)`.

    The mean is the official accuracy of SemEval-2018 Task 1 E-c (Mohammad et al. 2018).
    """
    intersection = (references & decisions).sum(axis=1)
    union = (references | decisions).sum(axis=1)
    return np.where(union == 0, 1.0, ratio(intersection, union))


def average_precision(references: np.ndarray, scores: np.ndarray) -> float:
    """Σ_k (R_k − R_{k−1})·P_k of one label over the distinct scores, `(rows,)`, from high to low.

    Tied scores count as one step, as in scikit-learn's `average_precision_score`; without a
    positive row it is 0.
    """
    total = references.sum()
    if total == 0:
        return 0.0
    order = np.argsort(-scores, kind="stable")
    sorted_scores = scores[order]
    ends = np.flatnonzero(np.append(np.diff(sorted_scores) != 0, True))
    true_positives = np.cumsum(references[order])[ends]
    precision = true_positives / (ends + 1)
    return float(np.sum(np.diff(true_positives, prepend=0) * precision) / total)


def expected_calibration_error(
    references: np.ndarray, scores: np.ndarray, bins: int = ECE_BINS
) -> float:
    """Expected calibration error of one label's `(rows,)` probabilities.

    The rows are put into `bins` equal-width bins [b/bins, (b+1)/bins) by the probability of the
    label being present (1.0 falls into the last one), and
    `ECE = Σ_b n_b/n · |mean(y in b) − mean(p in b)|` (Naeini et al. 2015). It measures the
    probability of the positive class, not the confidence of the decision.
    """
    index = np.minimum((scores * bins).astype(np.int64), bins - 1)
    gap = np.bincount(index, weights=references - scores, minlength=bins)
    return float(np.abs(gap).sum() / len(scores))


def _precision_recall_f1(
    true_positives: np.ndarray, predicted: np.ndarray, actual: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return (
        ratio(true_positives, predicted),
        ratio(true_positives, actual),
        ratio(2 * np.asarray(true_positives), np.asarray(predicted) + np.asarray(actual)),
    )


def emotion_scores(
    references: Any,
    predictions: Any,
    thresholds: float | Sequence[float] | np.ndarray | None = None,
    label_names: Sequence[str] | None = None,
    decisions: Any = None,
) -> dict[str, float]:
    """All scores of one prediction set, as a flat dict.

    Args:
        references: `(rows, labels)` of 0/1.
        predictions: `(rows, labels)` of 0/1, or probabilities when `thresholds` is given.
        thresholds: one for all labels or one per label; a label is on where its probability is at
            least its threshold. None means that `predictions` are decisions.
        label_names: names of the labels; with them the per-class scores are returned too.
        decisions: `(rows, labels)` of 0/1 that were made otherwise than by thresholds;
            `predictions` are then probabilities.

    Returns:
        * `jaccard`: mean per-sample Jaccard, both sets empty counts 1.
        * `{micro,macro,weighted,samples}_{precision,recall,f1}`, zero division 0.
        * `hamming_loss`, `subset_accuracy`.
        * with `thresholds`: `macro_ap`, `micro_ap` (average precision), `brier` (mean over rows
          and labels of (p − y)²), `ece` (see `expected_calibration_error`, 15 bins, mean over
          labels).
        * with `label_names`: `precision_<label>`, `recall_<label>`, `f1_<label>`,
          `support_<label>` (number of positive rows) and, with `thresholds`, `ap_<label>`.

    Raises:
        ValueError: shapes that do not fit, values other than 0 and 1 without thresholds,
            probabilities outside [0, 1], or a wrong number of thresholds or names.

    Example:
        >>> scores = emotion_scores([[1, 1], [0, 0]], [[0.9, 0.2], [0.1, 0.4]], thresholds=0.5)
        >>> scores["jaccard"], scores["subset_accuracy"]
        (0.75, 0.5)
    """
    truth = check_binary(references, "references")
    scores: np.ndarray | None = None
    if decisions is not None:
        scores = check_scores(predictions)
        decisions = check_binary(decisions, "decisions")
    elif thresholds is None:
        decisions = check_binary(
            predictions, "predictions", " If these are probabilities, pass thresholds=0.5."
        )
    else:
        scores = check_scores(predictions)
        decisions = decide(scores, thresholds)
    if truth.shape != decisions.shape:
        raise ValueError(
            f"references {truth.shape} and predictions {decisions.shape} must have the same shape."
        )
    if label_names is not None and len(label_names) != truth.shape[1]:
        raise ValueError(f"{len(label_names)} label names for {truth.shape[1]} labels.")

    hits = truth & decisions
    support = truth.sum(axis=0)
    per_class = _precision_recall_f1(hits.sum(axis=0), decisions.sum(axis=0), support)
    per_row = _precision_recall_f1(hits.sum(axis=1), decisions.sum(axis=1), truth.sum(axis=1))
    micro = _precision_recall_f1(hits.sum(), decisions.sum(), support.sum())

    result = {"jaccard": float(jaccard_per_row(truth, decisions).mean())}
    for index, score in enumerate(("precision", "recall", "f1")):
        result[f"micro_{score}"] = float(micro[index])
        result[f"macro_{score}"] = float(per_class[index].mean())
        result[f"weighted_{score}"] = float(ratio(per_class[index] @ support, support.sum()))
        result[f"samples_{score}"] = float(per_row[index].mean())
    result["hamming_loss"] = float((truth != decisions).mean())
    result["subset_accuracy"] = float((truth == decisions).all(axis=1).mean())

    label_ap: list[float] = []
    if scores is not None:
        columns = range(truth.shape[1])
        label_ap = [average_precision(truth[:, c], scores[:, c]) for c in columns]
        result["macro_ap"] = float(np.mean(label_ap))
        result["micro_ap"] = average_precision(truth.ravel(), scores.ravel())
        result["brier"] = float(((scores - truth) ** 2).mean())
        result["ece"] = float(
            np.mean([expected_calibration_error(truth[:, c], scores[:, c]) for c in columns])
        )
    for column, label in enumerate(label_names or ()):
        for index, score in enumerate(("precision", "recall", "f1")):
            result[f"{score}_{label}"] = float(per_class[index][column])
        if scores is not None:
            result[f"ap_{label}"] = label_ap[column]
        result[f"support_{label}"] = float(support[column])
    return result
