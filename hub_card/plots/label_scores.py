"""Scores by label: F1 with precision, recall and support; precision-recall curves; reliability."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...common.numerics import logit, sigmoid
from ...trainer.metrics.scores import average_precision, expected_calibration_error
from ..run_record import RunRecord
from .predictions import decided_labels, published_predictions
from .style import BAR, OKABE_ITO, shaped

_COLUMNS = 4


def class_wise_f1(record: RunRecord) -> Any:
    """Bars of each label's F1, most frequent first, with precision, recall and support."""
    if not record.splits or record.published_system is None:
        return None
    from matplotlib import pyplot

    split, system = record.splits[0], record.published_system
    rows = []
    for label in record.labels:
        scores = [
            record.score(system, split, f"{kind}_{label}")
            for kind in ("support", "f1", "precision", "recall")
        ]
        found = [score for score in scores if score is not None]
        if len(found) == len(scores):
            rows.append((label, found))
    if not rows:
        return None
    rows.sort(key=lambda row: row[1][0].mean)
    places = np.arange(len(rows))
    means = np.array([[score.mean for score in found] for _, found in rows])
    spread = [found[1].std for _, found in rows]
    figure, axes = pyplot.subplots(figsize=(8, 1.5 + 0.4 * len(rows)))
    axes.barh(places, means[:, 1], 0.72, color=BAR, label="F1")
    if any(spread):
        axes.errorbar(
            means[:, 1], places, xerr=spread, fmt="none", ecolor=OKABE_ITO[0], capsize=4,
            linewidth=1.6, label="± std over seeds",
        )  # fmt: skip
    axes.scatter(
        means[:, 2], places, marker=">", s=32, color=OKABE_ITO[3], label="precision", zorder=3,
        clip_on=False,
    )  # fmt: skip
    axes.scatter(
        means[:, 3], places, marker="o", s=72, facecolor="none", edgecolor="black", linewidth=1.4,
        label="recall", zorder=3, clip_on=False,
    )  # fmt: skip
    for title, place, column, pattern in (("F1", 1.04, 1, ".2f"), ("support", 1.13, 0, ".0f")):
        axes.text(place, len(rows) - 0.35, title, va="bottom", fontsize=10, color="0.35")
        for row, values in zip(places, means, strict=True):
            axes.text(place, row, f"{values[column]:{pattern}}", va="center", fontsize=10)
    axes.set_yticks(places, [shaped(label) for label, _ in rows])
    axes.set(xlim=(0, 1), ylim=(-0.6, len(rows) - 0.4), xlabel="score")
    axes.grid(axis="y", visible=False)
    axes.set_title(
        f"Scores by label — {shaped(record.published_title)}, {split}", loc="left", pad=26
    )
    axes.legend(
        ncols=4, loc="lower left", bbox_to_anchor=(-0.01, 0.995), frameon=False, fontsize=9,
        handletextpad=0.4, columnspacing=1.2,
    )  # fmt: skip
    return figure


def precision_recall(record: RunRecord) -> Any:
    """One panel per label: precision-recall curve, average precision, and where it is decided.

    The dotted line is the label's prevalence, which a coin flip reaches. The mark is the label's
    precision and recall as labels are given; with `expected_jaccard` it need not lie on the curve.
    """
    found = published_predictions(record)
    if found is None:
        return None
    from matplotlib import pyplot

    split, arrays = found
    truth, scores = arrays["labels"].astype(int), arrays["probabilities"].astype(float)
    decided = decided_labels(record, scores).astype(bool)
    columns = [column for column in range(len(record.labels)) if truth[:, column].any()]
    if not columns:
        return None
    areas = {column: average_precision(truth[:, column], scores[:, column]) for column in columns}
    columns.sort(key=lambda column: -areas[column])
    across = min(_COLUMNS, len(columns))
    down = -(-len(columns) // across)
    figure, grid = pyplot.subplots(
        down, across, figsize=(0.6 + 2.1 * across, 0.9 + 1.95 * down), sharex=True, sharey=True,
        squeeze=False,
    )  # fmt: skip
    for axes, column in zip(grid.flat, columns, strict=False):
        recall, precision = precision_recall_curve(truth[:, column], scores[:, column])
        axes.fill_between(recall, precision, step="pre", color=BAR, alpha=0.55, linewidth=0)
        axes.step(recall, precision, where="pre", color=OKABE_ITO[0], linewidth=1.6)
        axes.axhline(truth[:, column].mean(), color="black", linestyle=":", linewidth=1)
        hits = int((truth[:, column] * decided[:, column]).sum())
        if decided[:, column].any():
            axes.plot(
                hits / truth[:, column].sum(), hits / decided[:, column].sum(), "D",
                color=OKABE_ITO[3], markeredgecolor="white", markersize=7, clip_on=False,
            )  # fmt: skip
        axes.set_title(shaped(record.labels[column]), fontsize=11, loc="left")
        axes.set_title(f"AP {areas[column]:.2f}", fontsize=9, loc="right", color="0.3")
        axes.tick_params(labelbottom=True, labelsize=9)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    for axes in grid.flat[len(columns) :]:
        axes.set_visible(False)
    figure.supxlabel("recall", fontsize=11)
    figure.supylabel("precision", fontsize=11)
    rule = "" if record.decision == "threshold" else ", by expected Jaccard, so not on the curve"
    figure.suptitle(
        f"Precision and recall by label — {shaped(record.published_title)}, {split}\n"
        f"◆ labels as given{rule};  ····  prevalence",
        fontsize=11, x=0.01, ha="left",
    )  # fmt: skip
    return figure


def reliability(record: RunRecord) -> Any:
    """One panel per label: the share of texts with the label at each score, un- and calibrated.

    A dot is one tenth of the scale: the mean score of its texts, and the share that has the label;
    its size grows with their number. On the diagonal, scores are frequencies.
    """
    found, fitted = published_predictions(record), record.results.get("calibration")
    if found is None or not fitted:
        return None
    from matplotlib import pyplot

    split, arrays = found
    truth, after = arrays["labels"].astype(int), arrays["probabilities"].astype(float)
    before = sigmoid((logit(after, 1e-7) - fitted["bias"]) / fitted["scale"])
    across = min(_COLUMNS, len(record.labels))
    down = -(-len(record.labels) // across)
    figure, grid = pyplot.subplots(
        down, across, figsize=(0.6 + 2.1 * across, 0.9 + 1.95 * down), sharex=True, sharey=True,
        squeeze=False,
    )  # fmt: skip
    kinds = ((before, OKABE_ITO[1], "--", "s"), (after, OKABE_ITO[0], "-", "o"))
    for column, axes in enumerate(grid.flat[: len(record.labels)]):
        axes.plot((0, 1), (0, 1), color="black", linestyle=":", linewidth=1)
        for scores, color, dash, marker in kinds:
            means, shares, counts = tenths(truth[:, column], scores[:, column])
            axes.plot(means, shares, dash, color=color, linewidth=1.2)
            axes.scatter(
                means, shares, s=4 + 4 * np.sqrt(counts), color=color, marker=marker, alpha=0.7
            )
        errors = [
            expected_calibration_error(truth[:, column], kind[0][:, column]) for kind in kinds
        ]
        axes.set_title(shaped(record.labels[column]), fontsize=11, loc="left")
        axes.set_title("ECE {:.2f} → {:.2f}".format(*errors), fontsize=8, loc="right", color="0.3")
        axes.tick_params(labelbottom=True, labelsize=9)
        axes.set(xlim=(0, 1), ylim=(-0.02, 1.02), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    for axes in grid.flat[len(record.labels) :]:
        axes.set_visible(False)
    figure.supxlabel("score", fontsize=11)
    figure.supylabel("share of texts with the label", fontsize=11)
    figure.suptitle(
        f"Reliability by label — {shaped(record.published_title)}, {split}\n"
        "■ orange: before calibration;  ● blue: after;  ····  scores that are frequencies",
        fontsize=11, x=0.01, ha="left",
    )  # fmt: skip
    return figure


def tenths(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean score, share of ones and number of rows in each tenth of the scale that has rows.

    Args:
        truth: (rows,) of 0 and 1.
        scores: (rows,) in [0, 1].
    """
    place = np.minimum((scores * 10).astype(int), 9)
    sums = [np.bincount(place, weights, 10) for weights in (scores, truth, None)]
    mean, share, counts = (values[sums[2] > 0] for values in sums)
    return mean / counts, share / counts, counts


def precision_recall_curve(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision at every distinct score, from high to low, beginning at recall 0.

    The area under the steps, each at the height of its right end, is the average precision.

    Args:
        truth: (rows,) of 0 and 1, at least one 1.
        scores: (rows,).
    """
    from sklearn.metrics import precision_recall_curve as curve

    precision, recall, _ = curve(truth, scores)
    precision, recall = precision[::-1], recall[::-1]
    return recall, np.append(precision[1], precision[1:])
