"""How far probabilities are from frequencies, before and after calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...common.inert_text import in_markdown
from ...common.tables import markdown_table
from .scores import expected_calibration_error

OUT_OF_FOLD = "out of fold"
_FIGURES = (("ece", "ECE"), ("brier", "Brier"))


def reliability(truth: np.ndarray, probabilities: np.ndarray) -> dict[str, list[float]]:
    """ECE (15 bins) and Brier score of each label, from (rows, labels) of 0 and 1 and of scores."""
    columns = zip(truth.T, probabilities.T, strict=True)
    return {
        "ece": [expected_calibration_error(*column) for column in columns],
        "brier": ((probabilities - truth) ** 2).mean(0).tolist(),
    }


def calibration_lines(record: Mapping[str, Any] | None, labels: Sequence[str]) -> list[str]:
    """The section of `results.md` on calibration, from `calibration` in `results.json`."""
    if not record:
        return []
    before, after, first = record["before"], record["after"], next(iter(record["before"]))

    def cells(split: str, pick: Any) -> list[str]:
        return [
            f"{pick(part[split][figure]):.4f}" for figure, _ in _FIGURES for part in (before, after)
        ]

    header = [f"{title}, {when}" for _, title in _FIGURES for when in ("before", "after")]
    overall = [[split, *cells(split, np.mean)] for split in before]
    by_label = [
        [in_markdown(label), f"{record['scale'][place]:.2f}", f"{record['bias'][place]:+.2f}",
         *cells(first, lambda values, place=place: values[place])]
        for place, label in enumerate(labels)
    ]  # fmt: skip
    method = (
        "The probabilities are calibrated on out-of-fold predictions (Platt scaling). Mean over "
        "the labels, lower is better:"
    )
    shared = (
        "With a scale and a bias per label, the decision had a lower Jaccard out of fold. So all "
        "labels share them, and every text keeps the labels it had before."
    )
    return [
        "## Calibration", "",
        method, "",
        markdown_table(["texts", *header], overall), "",
        *([shared, ""] if 1 == len(set(record["scale"])) < len(labels) else []),
        f"By label, {first}:", "",
        markdown_table(["label", "scale", "bias", *header], by_label), "",
    ]  # fmt: skip
