"""How training went: the losses by step, and the out-of-fold objective by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...common.inert_text import in_plot
from ..run_record import RunRecord
from .style import DASHES, OKABE_ITO

_STAGES = {
    "meta": "Meta-learner",
    "head": "Bi-LSTM and classifier",
    "joint": "All parts, end to end",
}
_PARTS = {"loss": "total", "loss_bce": "BCE"}
Curve = tuple[np.ndarray, np.ndarray]
"""Steps and values, both (entries,)."""


def training_curves(record: RunRecord) -> Any:
    """Losses of the encoders; for each later stage the parts of its loss, and its epochs."""
    stages = record.results.get("stages") or {}
    encoders = _encoder_losses(stages.get("encoders") or {})
    later = [
        name
        for name in _STAGES
        if loss_parts(stages.get(name) or {}) or (stages.get(name) or {}).get("objective_by_epoch")
    ]
    if not encoders and not later:
        return None
    from matplotlib import pyplot

    rows = bool(encoders) + len(later)
    figure = pyplot.figure(figsize=(9.6, 0.4 + 2.7 * rows))
    grid = figure.add_gridspec(rows, 2, width_ratios=(1.45, 1))
    if encoders:
        _draw_encoders(figure.add_subplot(grid[0, :]), encoders)
    for place, name in enumerate(later, bool(encoders)):
        _draw_parts(figure.add_subplot(grid[place, 0]), _STAGES[name], stages[name])
        _draw_epochs(figure.add_subplot(grid[place, 1]), stages[name])
    return figure


def loss_parts(stage: Mapping[str, Any]) -> dict[str, list[Curve]]:
    """Steps and values of the loss and of its parts, one pair per logged run.

    Args:
        stage: its entry in `results.json`: `log` of the final run and `fold_logs` of those that
            chose the epoch.
    """
    runs = [log for log in (stage.get("log"), *(stage.get("fold_logs") or ())) if log]
    names = sorted(
        {key for log in runs for entry in log for key in entry if key.startswith("loss")}
    )
    curves = {}
    for name in names:
        curves[name] = [_curve(log, name) for log in runs]
    if len(curves) == 2:
        curves.pop("loss", None)  # one part alone is the loss
    return curves


def _curve(log: Sequence[Mapping[str, Any]], name: str = "loss") -> Curve:
    """Steps and values of one entry of a log."""
    found = [(entry["step"], entry[name]) for entry in log if name in entry]
    steps, values = np.array(found, float).reshape(-1, 2).T
    return steps, values


def _encoder_losses(stage: Mapping[str, Any]) -> dict[str, list[Curve]]:
    """Logged losses by encoder: those of the run on all rows last."""
    found = {}
    for name, parts in stage.items():
        own = [part for part in parts if not part.startswith("pretraining_")]
        order = sorted(own, key=lambda part: part == "final")
        curves = [_curve(parts[part].get("log") or []) for part in order]
        if any(len(steps) for steps, _ in curves):
            found[name] = curves
    return found


def _draw_encoders(axes: Any, encoders: Mapping[str, Sequence[Curve]]) -> None:
    """One line per run."""
    for index, (name, runs) in enumerate(encoders.items()):
        look = {
            "color": OKABE_ITO[index % len(OKABE_ITO)],
            "linestyle": DASHES[index % len(DASHES)],
        }
        for steps, values in runs[:-1]:
            axes.plot(steps, values, linewidth=0.9, alpha=0.4, **look)
        axes.plot(*runs[-1], marker="o", markersize=3, linewidth=2, label=in_plot(name), **look)
    axes.locator_params(axis="x", integer=True)
    axes.set_title("Encoders: training loss (thin: the folds)", loc="left")
    axes.set(xlabel="step", ylabel="loss")
    axes.legend(frameon=False, fontsize=9)


def _draw_parts(axes: Any, title: str, stage: Mapping[str, Any]) -> None:
    curves = loss_parts(stage)
    axes.set_title(f"{title}: parts of the loss", loc="left")
    axes.set(xlabel="step", ylabel="weighted loss")
    if not any(len(values) for runs in curves.values() for _, values in runs):
        axes.grid(visible=False)
        axes.set(xticks=(), yticks=())
        axes.text(
            0.5, 0.5, "no step was logged", ha="center", va="center", transform=axes.transAxes,
            color="0.4",
        )  # fmt: skip
        return
    for index, (name, runs) in enumerate(curves.items()):
        look = {
            "color": OKABE_ITO[index % len(OKABE_ITO)],
            "linestyle": DASHES[index % len(DASHES)],
        }
        longest = max(runs, key=lambda run: len(run[0]))
        for steps, values in runs:
            if steps is not longest[0]:
                axes.plot(steps, values, linewidth=0.8, alpha=0.4, **look)
        title = _PARTS.get(name, name.removeprefix("loss_"))
        axes.plot(*longest, linewidth=2, marker="o", markersize=3, label=title, **look)
    values = np.concatenate([values for runs in curves.values() for _, values in runs])
    if values.min() > 0 and values.max() > 8 * values.min():
        axes.set_yscale("log")
        for axis in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
            axis("{x:.2g}")
    axes.locator_params(axis="x", integer=True)
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _draw_epochs(axes: Any, stage: Mapping[str, Any]) -> None:
    scores = stage.get("objective_by_epoch")
    if not scores:
        axes.set_visible(False)
        return
    epochs, chosen = np.arange(len(scores)), int(stage["epoch"])
    axes.plot(epochs, scores, color=OKABE_ITO[0], marker="o", markersize=4, linewidth=2)
    axes.plot(
        chosen, scores[chosen], "D", color=OKABE_ITO[3], markersize=9, markeredgecolor="white",
        label=f"chosen: epoch {chosen}",
    )  # fmt: skip
    axes.set_title("Out of fold", loc="left")
    axes.set(xlabel="epoch (0: the start)", ylabel="objective")
    axes.locator_params(axis="x", integer=True)
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.legend(frameon=False, fontsize=9)
