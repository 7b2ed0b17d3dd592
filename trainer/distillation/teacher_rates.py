"""Thresholds at which the student gives each label as often as its teacher does.

The labels of a student's held-out rows have leaked into it: it learned from scores of the teacher's
fold models, which have seen these labels. Thresholds fitted to them would rely on scores that are
too good. The rate of each label depends little on that, and the teacher's rule was chosen on scores
of models that had not seen the rows.
"""

from __future__ import annotations

import numpy as np

from ...common.numerics import sigmoid
from ..choosing.decision_rules import Decision

TEACHER_RATES = "teacher_rates"
MARGIN = 1.0


def rate_matched(logits: np.ndarray, teacher_labels: np.ndarray) -> Decision:
    """One threshold per label, at which as many rows get the label as the teacher gave it to.

    Each lies, on the log-odds scale, half way between the last row that is given the label and the
    first that is not; `MARGIN` beyond the outermost row where the teacher gave it to none or all.

    Args:
        logits: (rows, labels) of the student, for rows it was not trained on.
        teacher_labels: (rows, labels) of 0 and 1: what the teacher says of the same rows.

    Raises:
        ValueError: shapes that differ, or no rows.
    """
    logits, given = np.asarray(logits, np.float64), np.asarray(teacher_labels)
    if logits.shape != given.shape or logits.ndim != 2 or not len(logits):
        raise ValueError(
            f"logits {logits.shape} and teacher_labels {given.shape} must be (rows, labels), with "
            "at least one row."
        )
    ranked = -np.sort(-logits, axis=0)
    padded = np.concatenate([ranked[:1] + 2 * MARGIN, ranked, ranked[-1:] - 2 * MARGIN])
    counts, columns = given.astype(bool).sum(0), np.arange(logits.shape[1])
    edges = (padded[counts, columns] + padded[counts + 1, columns]) / 2
    return Decision(TEACHER_RATES, sigmoid(edges))
