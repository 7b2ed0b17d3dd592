"""Which encoder the meta-learner trusts, by label and by text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..run_record import RunRecord
from .predictions import published_predictions
from .style import HATCHES, OKABE_ITO, shaped

_LABEL_TRUST = "stacked.meta_learner.label_trust"


def encoder_use(record: RunRecord) -> Any:
    """How much each encoder counts in the meta-learner, by label, and how that varies by text.

    The weights come from the gates in `predictions_<split>.npz`.
    """
    found = published_predictions(record)
    if len(record.encoder_names) < 2 or found is None or "gates" not in found[1]:
        return None
    weights = label_weights(found[1]["gates"], _label_trust(record))
    return encoder_use_figure(weights, record.encoder_names, record.labels, found[0])


def encoder_use_figure(
    weights: np.ndarray, encoder_names: Sequence[str], labels: Sequence[str], split: str
) -> Any:
    """Stacked bars by label, and boxes over the texts.

    Args:
        weights: (texts, encoders, labels) that sum to 1 over the encoders.
        encoder_names: in the order of the weights.
        labels: in the order of the weights.
        split: where the texts are from, for the title.
    """
    from matplotlib import pyplot

    means = weights.mean(0)  # (encoders, labels)
    places = np.arange(len(labels))[::-1]
    figure, (left, right) = pyplot.subplots(
        1, 2, figsize=(9.6, 1.7 + 0.36 * len(labels)), width_ratios=(1.6, 1)
    )
    begin = np.zeros(len(labels))
    for index, name in enumerate(encoder_names):
        color = OKABE_ITO[index % len(OKABE_ITO)]
        left.barh(
            places, means[index], 0.76, left=begin, color=color, alpha=0.75,
            hatch=HATCHES[index % len(HATCHES)], edgecolor="white", label=shaped(name),
        )  # fmt: skip
        for place, start, share in zip(places, begin, means[index], strict=True):
            if share > 0.08:
                left.text(
                    start + share / 2, place, f"{share:.2f}", ha="center", va="center", fontsize=9,
                    bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "linewidth": 0},
                )  # fmt: skip
        begin += means[index]
    left.set_yticks(places, [shaped(label) for label in labels])
    left.set(xlim=(0, 1), ylim=(-0.6, len(labels) - 0.4), xlabel="mean weight")
    left.grid(visible=False)
    left.set_title(f"Trust in the encoders by label — {split}", loc="left", pad=26)
    left.legend(
        ncols=min(len(encoder_names), 4), loc="lower left", bbox_to_anchor=(-0.01, 0.995),
        frameon=False, fontsize=9, handlelength=1.6, columnspacing=1.2,
    )  # fmt: skip
    texts = weights.mean(2)  # (texts, encoders)
    names = [shaped(name) for name in encoder_names]
    boxes = right.boxplot(
        [texts[:, index] for index in range(len(names))], tick_labels=names,
        widths=0.55, patch_artist=True, medianprops={"color": "black", "linewidth": 1.6},
        flierprops={"markersize": 2, "alpha": 0.4},
    )  # fmt: skip
    for index, box in enumerate(boxes["boxes"]):
        box.set(facecolor=OKABE_ITO[index % len(OKABE_ITO)], alpha=0.75)
    right.axhline(1 / len(encoder_names), color="black", linestyle=":", linewidth=1)
    low, high = texts.min(), texts.max()
    middle, reach = (low + high) / 2, max(0.06, 0.55 * (high - low))
    right.set(ylim=(max(0.0, middle - reach), min(1.0, middle + reach)), ylabel="mean over labels")
    right.set_title("by text (···· equal trust)", loc="left", pad=26)
    if max(map(len, encoder_names)) > 7:
        right.tick_params(axis="x", rotation=25)
    return figure


def label_weights(gates: np.ndarray, label_trust: np.ndarray) -> np.ndarray:
    """The weights of the encoders label by label, as the meta-learner makes them of a text's gates.

    Args:
        gates: (texts, encoders).
        label_trust: (encoders, labels); zero for the same weights for all labels.

    Returns:
        (texts, encoders, labels), proportional to gate * exp(label trust), summing to 1.
    """
    tilted = gates.astype(np.float64)[:, :, None] * np.exp(label_trust)
    return tilted / tilted.sum(1, keepdims=True).clip(1e-6)


def _label_trust(record: RunRecord) -> np.ndarray:
    """(encoders, labels) of the published weights; zero where the stack has none."""
    from safetensors import safe_open

    for file in sorted(record.model_folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as weights:
            if _LABEL_TRUST in weights.keys():  # noqa: SIM118  (not a dict)
                return weights.get_tensor(_LABEL_TRUST).double().numpy()
    return np.zeros((len(record.encoder_names), len(record.labels)))
