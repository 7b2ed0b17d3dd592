"""Plots of a run, as PNG and SVG: scores by label, label correlation, encoders, training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...common.errors import UserError
from ..run_record import RunRecord
from .encoder_use import encoder_use
from .label_correlation import label_correlation
from .label_scores import class_wise_f1, precision_recall, reliability
from .style import style
from .training_curves import training_curves

PLOTS: dict[str, Callable[[RunRecord], Any]] = {
    "class_wise_f1": class_wise_f1,
    "label_correlation": label_correlation,
    "precision_recall": precision_recall,
    "reliability": reliability,
    "encoder_use": encoder_use,
    "training_curves": training_curves,
}
"""What is drawn, by the name of the file: a function of the run that returns a figure or None."""

__all__ = ["PLOTS", "plot_run"]


def plot_run(record: RunRecord, folder: Path) -> list[str]:
    """Write every plot the run has figures for, as PNG and SVG.

    Args:
        record: the run.
        folder: where the pictures go; it is made.

    Returns:
        Their names without ending.

    Raises:
        UserError: matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib import pyplot
    except ImportError as error:
        raise UserError(
            "The plots need matplotlib: pip install 'stacked_emotion[plots]', or go without "
            "(--no_plots)."
        ) from error
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    backend = matplotlib.get_backend()
    pyplot.switch_backend("Agg")
    try:
        with matplotlib.rc_context(style()):
            for name, make in PLOTS.items():
                figure = make(record)
                if figure is None:
                    continue
                for ending, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
                    figure.savefig(folder / f"{name}.{ending}", metadata=metadata)
                pyplot.close(figure)
                written.append(name)
    finally:
        pyplot.switch_backend(backend)
    return written
