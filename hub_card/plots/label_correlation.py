"""Which labels go together: in the data, and in what the model says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..run_record import RunRecord
from .predictions import decided_labels, published_predictions
from .style import shaped

_MOST_NUMBERS = 16


def label_correlation(record: RunRecord) -> Any:
    """Phi coefficients of the labels in the data, above those of the labels given."""
    found = published_predictions(record)
    if found is None or len(record.labels) < 2:
        return None
    split, arrays = found
    return correlation_figure(
        {
            f"in the data ({split})": correlation(arrays["labels"].astype(float)),
            f"as the {shaped(record.published_title)} gives them": correlation(
                decided_labels(record, arrays["probabilities"]).astype(float)
            ),
        },
        record.labels,
    )


def correlation_figure(matrices: dict[str, np.ndarray], labels: Sequence[str]) -> Any:
    """One matrix under another, on one scale.

    Args:
        matrices: (labels, labels) by title, NaN where a label does not vary.
        labels: their names.
    """
    from matplotlib import pyplot

    count, names = len(labels), [shaped(label) for label in labels]
    side = 2.2 + 0.41 * count
    figure, panels = pyplot.subplots(
        len(matrices), 1, figsize=(side + 1.0, len(matrices) * (side - 0.9) + 0.9), sharex=True
    )
    colors = pyplot.get_cmap("PuOr").with_extremes(bad="0.85")
    for axes, (title, matrix) in zip(np.atleast_1d(panels), matrices.items(), strict=True):
        image = axes.imshow(np.ma.masked_invalid(matrix), cmap=colors, vmin=-1, vmax=1)
        axes.set_title(title, loc="left")
        axes.set_yticks(range(count), names)
        axes.set_xticks(range(count), names, rotation=55, ha="right", rotation_mode="anchor")
        axes.grid(visible=False)
        for place in range(count):
            axes.add_patch(pyplot.Rectangle((place - 0.5, place - 0.5), 1, 1, color="0.85"))
        for row in range(count if count <= _MOST_NUMBERS else 0):
            for column in range(count):
                if row != column:
                    value = matrix[row, column]
                    axes.text(
                        column, row, _short(value), ha="center", va="center", fontsize=9,
                        color="white" if abs(value) > 0.62 else "black",
                    )  # fmt: skip
    figure.suptitle("Correlation of the labels (phi)", x=0.01, ha="left")
    figure.colorbar(image, ax=panels, shrink=0.5, aspect=30, ticks=(-1, -0.5, 0, 0.5, 1))
    return figure


def correlation(columns: np.ndarray) -> np.ndarray:
    """Correlation of 0/1 columns (phi coefficients), NaN for one that does not vary.

    Args:
        columns: (rows, labels).

    Returns:
        (labels, labels).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.corrcoef(columns, rowvar=False)


def _short(value: float) -> str:
    """Two digits at most: ".4", "−.1", "0", "1", and a dash for none."""
    if not np.isfinite(value):
        return "–"
    text = f"{abs(value):.1f}"
    if text == "0.0":
        return "0"
    short = text[1:] if text.startswith("0") else text[0]
    return f"−{short}" if value < 0 else short
