"""Which texts a model is sure of: the surest share of them, by split conformal prediction.

The score of a text is the uncertainty of its label set. The limits are conformal quantiles of the
out-of-fold training texts' scores (Papadopoulos et al. 2002, "Inductive Confidence Machines for
Regression"; Vovk 2015, "Cross-conformal predictors"). Giving no answer above a limit is selective
classification (Geifman and El-Yaniv 2017, "Selective Classification for Deep Neural Networks").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...checks_stacked_emotion import COVERAGES
from ...common.tables import markdown_table
from ...inference.decisions import Decision
from ..metrics.scores import emotion_scores

FIGURES = {"jaccard": "Jaccard", "micro_precision": "micro precision"}


def uncertainty_limits(logits: np.ndarray, decision: Decision) -> list[float]:
    """The field `abstain_limits` of a configuration.

    The limit of a share c is the ceil((n + 1) c)-th lowest uncertainty of the n texts. A further
    text, if drawn from the same source, is at or below it with a probability of at least c and at
    most c + 1 / (n + 1), whatever the model and the source are. That is exact if the same model
    scores both. Here the n texts are scored by the models of their folds.

    Args:
        logits: (n, labels), calibrated, of texts that the models have not seen.
        decision: how they become labels.
    """
    found = np.sort(decision.uncertainty(logits))
    shares = np.arange(1, COVERAGES + 1) / (COVERAGES + 1)
    places = np.ceil(np.round((len(found) + 1) * shares, 9)).astype(int)
    limits = np.append(found, 1.0)[np.minimum(places, len(found) + 1) - 1]
    return np.clip(np.ceil(limits * 1e6) / 1e6, 0, 1).tolist()


def abstention_record(
    logits: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray], decision: Decision
) -> dict[str, Any]:
    """Which share of the texts gets labels, and how well these fit, by split.

    Args:
        logits: by split, (rows, labels), calibrated.
        labels: by split, (rows, labels) of 0 and 1.
        decision: one that may abstain.

    Returns:
        What was asked for, and by split the texts, the share that gets labels, and the figures of
        these texts and of all texts.
    """
    splits = {}
    for split, scored in logits.items():
        kept, given = ~decision.abstains(scored), decision.abstaining(1.0)(scored).astype(int)
        truth = labels[split].astype(int)
        every = emotion_scores(truth, given)
        sure = emotion_scores(truth[kept], given[kept]) if kept.any() else {}
        splits[split] = {
            "texts": len(kept),
            "answered": float(kept.mean()),
            **{name: {"answered": sure.get(name), "all": every[name]} for name in FIGURES},
        }
    return {"coverage": decision.abstain, "splits": splits}


def abstention_lines(record: Mapping[str, Any] | None) -> list[str]:
    """The section of `results.md` on abstention, from `abstention` in `results.json`."""
    if not record:
        return []
    meaning = (
        f"The model is to give labels to {100 * record['coverage']:g} % of the texts, those it is "
        "surest of, and none to the others. All other scores on this page are of all texts, as if "
        "it never abstained. The first seed, which is published:"
    )
    return ["## Abstention", "", meaning, "", abstention_table(record), ""]


def abstention_table(record: Mapping[str, Any]) -> str:
    """The figures of `abstention_record` as Markdown, one row per split."""
    header = [f"{title}, {of}" for title in FIGURES.values() for of in ("answered", "all")]
    rows = [
        [split, entry["texts"], f"{entry['answered']:.3f}",
         *("none" if value is None else f"{value:.3f}"
           for name in FIGURES for value in (entry[name]["answered"], entry[name]["all"]))]
        for split, entry in record["splits"].items()
    ]  # fmt: skip
    return markdown_table(["texts", "number", "answered", *header], rows)
