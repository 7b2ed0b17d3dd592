"""The predictions a run left behind, and the labels they stand for."""

from __future__ import annotations

import numpy as np

from ..run_record import RunRecord


def published_predictions(record: RunRecord) -> tuple[str, dict[str, np.ndarray]] | None:
    """Split and arrays of the published weights' predictions, test first; None without any."""
    for split in record.splits or list(record.predictions):
        arrays = record.predictions.get(split)
        if arrays and arrays["labels"].shape[1] == len(record.labels):
            return split, arrays
    return None


def decided_labels(record: RunRecord, probabilities: np.ndarray) -> np.ndarray:
    """The labels given for (rows, labels) probabilities, as (rows, labels) of 0 and 1."""
    return record.rule.of_probabilities(probabilities).astype(int)
