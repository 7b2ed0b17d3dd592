"""Plots of a run: class-wise F1, label correlation, precision-recall curves, use of the encoders.

Colours are those of Okabe and Ito (2008), which readers with any common colour vision tell apart;
lines differ in dash as well. Arabic labels are shaped and laid out right to left by matplotlib
itself from version 3.11 on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from ..trainer.errors import UserError
from .run_record import RunRecord

OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000")
_DASHES = ("-", "--", "-.", ":")
_STYLE = {
    "font.family": ["DejaVu Sans", "Noto Sans Arabic", "Noto Naskh Arabic", "Amiri"],
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "figure.dpi": 120,
    "savefig.dpi": 120,
    "figure.constrained_layout.use": True,
    "svg.hashsalt": "stacked_emotion",
}
_TEXTS_A_BATCH = 64
_MOST_TEXTS = 512


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
    except ImportError as error:
        raise UserError(
            "The plots need matplotlib: pip install 'stacked_emotion[plots]', or go without "
            "(--no-plots)."
        ) from error
    matplotlib.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    makers: dict[str, Callable[[RunRecord], Any]] = {
        "class_wise_f1": class_wise_f1,
        "label_correlation": label_correlation,
        "precision_recall": precision_recall,
        "encoder_trust": encoder_trust,
    }
    written = []
    with matplotlib.rc_context(_STYLE):
        for name, make in makers.items():
            figure = make(record)
            if figure is None:
                continue
            for ending, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
                figure.savefig(folder / f"{name}.{ending}", metadata=metadata)
            import matplotlib.pyplot as pyplot

            pyplot.close(figure)
            written.append(name)
    return written


def class_wise_f1(record: RunRecord) -> Any:
    """Bars of each label's F1, most frequent first, with precision, recall and support."""
    if not record.splits:
        return None
    from matplotlib import pyplot

    split, system = record.splits[0], str(record.published_system)
    rows = []
    for label in record.labels:
        found = {
            kind: record.score(system, split, f"{kind}_{label}")
            for kind in ("f1", "precision", "recall", "support")
        }
        if all(score is not None for score in found.values()):
            rows.append((label, found))
    if not rows:
        return None
    rows.sort(key=lambda row: row[1]["support"].mean)  # type: ignore[union-attr]
    places = np.arange(len(rows))
    figure, axes = pyplot.subplots(figsize=(8, 1.6 + 0.42 * len(rows)))
    means = [found["f1"].mean for _, found in rows]  # type: ignore[union-attr]
    spread = [found["f1"].std for _, found in rows]  # type: ignore[union-attr]
    axes.barh(places, means, 0.7, color=OKABE_ITO[0], label="F1")
    if any(spread):
        axes.errorbar(means, places, xerr=spread, fmt="none", ecolor="black", capsize=3)
    for kind, marker, colour in (("precision", ">", OKABE_ITO[1]), ("recall", "o", OKABE_ITO[7])):
        values = [found[kind].mean for _, found in rows]  # type: ignore[union-attr]
        axes.scatter(
            values, places, marker=marker, s=34, color=colour, edgecolor="white",
            linewidth=0.7, label=kind, zorder=3,
        )  # fmt: skip
    for place, (_, found) in zip(places, rows, strict=True):
        axes.text(1.02, place, f"{found['support'].mean:.0f}", va="center")  # type: ignore[union-attr]
    axes.text(1.02, len(rows) - 0.35, "support", va="bottom", fontsize=9)
    axes.set_yticks(places, [label for label, _ in rows])
    axes.set_xlim(0, 1)
    axes.set_xlabel(f"{split}, {system}")
    axes.grid(axis="y", visible=False)
    axes.set_title("Class-wise scores", loc="left", pad=26)
    axes.legend(ncols=3, loc="lower left", bbox_to_anchor=(0, 1.0), frameon=False, fontsize=9)
    return figure


def label_correlation(record: RunRecord) -> Any:
    """Phi coefficients of the labels in the data, beside those of the predicted probabilities."""
    found = _predictions(record)
    if found is None:
        return None
    from matplotlib import pyplot

    split, arrays = found
    labels = record.labels
    matrices = {
        f"data, {split}": correlation(arrays["labels"].astype(float)),
        "predicted probabilities": correlation(arrays["probabilities"].astype(float)),
    }
    size = 1.6 + 0.42 * len(labels)
    figure, panels = pyplot.subplots(1, 2, figsize=(2 * size + 0.8, size + 0.6), sharey=True)
    for axes, (title, matrix) in zip(panels, matrices.items(), strict=True):
        image = axes.imshow(matrix, cmap="PuOr", vmin=-1, vmax=1)
        axes.set_title(title, fontsize=11)
        axes.set_xticks(range(len(labels)), labels, rotation=60, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(labels)), labels)
        axes.grid(visible=False)
        for row in range(len(labels)):
            for column in range(len(labels)):
                value = matrix[row, column]
                if row != column and np.isfinite(value):
                    axes.text(
                        column, row, f"{value:.1f}".replace("-0.0", "0.0").replace("0.", "."),
                        ha="center", va="center", fontsize=7.5,
                        color="white" if abs(value) > 0.65 else "black",
                    )  # fmt: skip
    figure.colorbar(image, ax=panels, shrink=0.8, label="correlation")
    return figure


def correlation(columns: np.ndarray) -> np.ndarray:
    """Correlation of the columns, NaN for one that does not vary.

    Args:
        columns: (rows, labels).

    Returns:
        (labels, labels); for 0/1 columns these are phi coefficients.
    """
    centred = columns - columns.mean(0)
    spread = np.sqrt((centred**2).sum(0))
    with np.errstate(divide="ignore", invalid="ignore"):
        return (centred.T @ centred) / np.outer(spread, spread)


def precision_recall(record: RunRecord) -> Any:
    """One precision-recall curve a label, with its average precision."""
    found = _predictions(record)
    if found is None:
        return None
    from matplotlib import pyplot

    from ..trainer.metrics.scores import average_precision

    split, arrays = found
    truth, scores = arrays["labels"].astype(int), arrays["probabilities"].astype(float)
    columns = [column for column in range(len(record.labels)) if truth[:, column].any()]
    if not columns:
        return None
    precisions = {
        column: average_precision(truth[:, column], scores[:, column]) for column in columns
    }
    figure, axes = pyplot.subplots(figsize=(8.5, 5.2))
    ranked = sorted(columns, key=lambda column: -precisions[column])
    for place, column in enumerate(ranked):
        recall, precision = precision_recall_curve(truth[:, column], scores[:, column])
        axes.step(
            recall, precision, where="post", linewidth=1.8,
            color=OKABE_ITO[place % len(OKABE_ITO)],
            linestyle=_DASHES[(place // len(OKABE_ITO) + place) % len(_DASHES)],
            label=f"{record.labels[column]}  {precisions[column]:.2f}",
        )  # fmt: skip
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    axes.set_title(f"Precision and recall, {split}", loc="left")
    axes.legend(
        title="average precision", loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False,
        handlelength=3,
    )  # fmt: skip
    return figure


def precision_recall_curve(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision at every distinct score, from high to low, beginning at recall 0.

    Args:
        truth: (rows,) of 0 and 1, at least one 1.
        scores: (rows,).
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    hits = np.cumsum(truth[order])[ends]
    precision = hits / (ends + 1)
    return np.append(0.0, hits / truth.sum()), np.append(precision[0], precision)


def encoder_trust(record: RunRecord) -> Any:
    """How much each encoder counts in the meta-learner, by label, and how that varies by text."""
    weights = encoder_weights(record)
    if weights is None:
        return None
    from matplotlib import pyplot

    means = weights.mean(0)  # (encoders, labels)
    names, labels = record.encoder_names, record.labels
    figure, (left, right) = pyplot.subplots(
        1, 2, figsize=(11, 1.8 + 0.36 * len(labels)), width_ratios=(1.7, 1)
    )
    places = np.arange(len(labels))[::-1]
    begin = np.zeros(len(labels))
    hatches = ("", "//", "..", "xx", "\\\\", "oo")
    for index, name in enumerate(names):
        left.barh(
            places, means[index], 0.72, left=begin, color=OKABE_ITO[index % len(OKABE_ITO)],
            hatch=hatches[index % len(hatches)], edgecolor="white", label=name,
        )  # fmt: skip
        begin += means[index]
    left.set_yticks(places, labels)
    left.set(xlim=(0, 1), xlabel="mean weight in the meta-learner's logits")
    left.grid(axis="y", visible=False)
    left.set_title("Trust in the encoders, by label", loc="left", pad=26)
    left.legend(
        ncols=len(names), loc="lower left", bbox_to_anchor=(0, 1.0), frameon=False, fontsize=9
    )
    texts = weights.mean(2)  # (texts, encoders)
    right.boxplot(
        [texts[:, index] for index in range(len(names))], tick_labels=names, widths=0.55,
        medianprops={"color": OKABE_ITO[3], "linewidth": 2}, flierprops={"markersize": 2},
    )  # fmt: skip
    right.axhline(1 / len(names), color="black", linestyle=":", linewidth=1)
    right.set_ylabel("weight, mean over labels")
    right.set_title("… and how it varies by text", loc="left", pad=26)
    right.tick_params(axis="x", rotation=20)
    return figure


def encoder_weights(record: RunRecord) -> np.ndarray | None:
    """Weight of each encoder in `meta_logits`: (texts, encoders, labels), or None.

    The text's gates come from `predictions_<split>.npz` (`gates`, (texts, encoders)) or, where they
    are not in it, from running the model on the held-out texts, if these are still at hand.
    """
    from safetensors import safe_open

    found = _predictions(record)
    if found is not None and "gates" in found[1]:
        gates = found[1]["gates"].astype(float)
    else:
        computed = _gates_of_texts(record)
        if computed is None:
            return None
        gates = computed
    trust = np.zeros((gates.shape[1], len(record.labels)))
    key = "stacked.meta_learner.label_trust"
    for file in sorted(record.model_folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as weights:
            if key in weights.keys():  # noqa: SIM118  (not a dict)
                trust = weights.get_tensor(key).double().numpy()
    tilted = gates[:, :, None] * np.exp(trust)
    return tilted / tilted.sum(1, keepdims=True).clip(1e-9)


def _gates_of_texts(record: RunRecord) -> np.ndarray | None:
    """(texts, encoders) mean gates of the words of some held-out texts, or None."""
    import torch

    from ..inference import StackedEmotionPredictor
    from ..trainer.data import DataArguments, load_labelled_texts

    known = {entry.name for entry in fields(DataArguments)}
    recipe = record.results.get("recipe") or {}
    data = DataArguments(**{name: value for name, value in recipe.items() if name in known})
    for split in record.splits:
        file = getattr(data, f"{split}_file")
        if not (file and Path(file).is_file()):
            continue
        texts = load_labelled_texts(data, split, record.labels)
        if texts is None or not len(texts):
            continue
        predictor = StackedEmotionPredictor.from_pretrained(
            str(record.model_folder), dtype=torch.float32, device="cpu"
        )
        chosen = np.random.default_rng(0).permutation(len(texts))[:_MOST_TEXTS]
        parts = []
        for start in range(0, len(chosen), _TEXTS_A_BATCH):
            rows = chosen[start : start + _TEXTS_A_BATCH]
            batch = predictor.tokenizer(
                [texts.texts[row] for row in rows], padding=True, return_tensors="pt"
            )
            with torch.inference_mode():
                output = predictor.model.stacked(**batch, output_gates=True)
            mask = output.word_mask.unsqueeze(-1).float()
            sums = (output.gates.float() * mask).sum(1) / mask.sum(1).clamp(min=1)
            parts.append(sums[output.word_mask.any(1)].numpy())
        return np.concatenate(parts)
    return None


def _predictions(record: RunRecord) -> tuple[str, dict[str, np.ndarray]] | None:
    """Split and arrays of the predictions, test first; None where there are none."""
    for split in record.splits or list(record.predictions):
        arrays = record.predictions.get(split)
        if arrays and arrays["labels"].shape[1] == len(record.labels):
            return split, arrays
    return None
