"""How training went: the loss of each part by step, and the out-of-fold objective by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..run_record import RunRecord
from .style import DASHES, OKABE_ITO

_STAGES = {
    "meta": "Meta-learner",
    "head": "Bi-LSTM and classifier",
    "joint": "All parts, end to end",
}
_PARTS = {"loss": "total", "loss_bce": "BCE"}


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
        every = (record.results.get("recipe") or {}).get("logging_steps")
        _draw_encoders(figure.add_subplot(grid[0, :]), encoders, every)
    for place, name in enumerate(later, bool(encoders)):
        _draw_parts(figure.add_subplot(grid[place, 0]), _STAGES[name], stages[name])
        _draw_epochs(figure.add_subplot(grid[place, 1]), stages[name])
    return figure


def loss_parts(stage: Mapping[str, Any]) -> dict[str, list[tuple[np.ndarray, np.ndarray]]]:
    """Steps and values of the loss and of its parts: one pair a run that was logged.

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
        curves[name] = [
            (
                np.array([entry["step"] for entry in log if name in entry], float),
                np.array([entry[name] for entry in log if name in entry], float),
            )
            for log in runs
        ]
    if len(curves) == 2:
        curves.pop("loss", None)  # one part alone is the loss
    return curves


def _encoder_losses(stage: Mapping[str, Any]) -> dict[str, list[np.ndarray]]:
    """Logged losses by encoder: those of the run on all rows last."""
    found = {}
    for name, parts in stage.items():
        order = sorted(parts, key=lambda part: part == "final")
        losses = [np.array(parts[part].get("losses") or [], float) for part in order]
        if any(len(values) for values in losses):
            found[name] = losses
    return found


def _draw_encoders(
    axes: Any, encoders: Mapping[str, Sequence[np.ndarray]], every: int | None
) -> None:
    """One line a run; the losses were logged every so many steps."""
    for index, (name, runs) in enumerate(encoders.items()):
        look = {
            "color": OKABE_ITO[index % len(OKABE_ITO)],
            "linestyle": DASHES[index % len(DASHES)],
        }
        for values in runs[:-1]:
            axes.plot(
                (every or 1) * np.arange(1, len(values) + 1),
                values,
                linewidth=0.9,
                alpha=0.4,
                **look,
            )
        axes.plot(
            (every or 1) * np.arange(1, len(runs[-1]) + 1), runs[-1], marker="o", markersize=3,
            linewidth=2, label=name, **look,
        )  # fmt: skip
    axes.set_title("Encoders: training loss (thin: the folds)", loc="left")
    axes.set(xlabel="step" if every else "log entry", ylabel="loss")
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
