"""Rows to figures: scores, paired bootstrap against the stack, and what plots need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from ...common.environment import environment
from ..results import System, compare, compare_columns, rare_labels
from ..stages.context import RunContext
from .variants import FULL, Variant

RESAMPLES = 2000
RARE_BASES = ("bce", "weighted_bce")
_OF_A_STAGE = ("epoch", "objective_by_epoch", "seconds", "stack_words", "loss")


@dataclass
class Row:
    """A finished row.

    Attributes:
        variant: what it is.
        system: its logits of the held-out splits, and how it decides.
        details: JSON-able: seconds and epoch by stage, training log, gates, tokens that differ.
        scores: by split, from `System.scores`.
        comparison: with the stack by split, from `compare`; empty for the stack itself.
        correlation: of the labels' probabilities by split, from `label_correlation`.
    """

    variant: Variant
    system: System = field(repr=False)
    details: dict[str, Any] = field(repr=False)
    scores: dict[str, Any] = field(repr=False, default_factory=dict)
    comparison: dict[str, Any] = field(repr=False, default_factory=dict)
    correlation: dict[str, Any] = field(repr=False, default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """What the table says of it beside its scores."""
        stages = {
            stage: {key: record.get(key) for key in _OF_A_STAGE}
            for stage, record in self.details.get("stages", {}).items()
        }
        variant = self.variant
        return {
            "title": variant.title,
            "slug": variant.slug,
            "group": variant.group,
            "kind": variant.kind,
            "encoder": variant.encoder,
            "decision": self.system.decision.to_dict(),
            **self.details,
            "stages": stages,
        }


class Outcome:
    """Gathers the figures of finished rows; each row is scored once.

    Args:
        context: the run.
        variants: all rows that will be done, in the order of the table.
    """

    def __init__(self, context: RunContext, variants: Sequence[Variant]) -> None:
        self.context, self.variants = context, list(variants)
        self.rows: dict[str, Row] = {}
        splits = context.splits.items()
        self.labels = {split: texts.labels.astype(np.int64) for split, texts in splits}
        self.rare = rare_labels(context.statistics.prevalence.tolist(), context.label_names)
        self.rare_columns = [context.label_names.index(name) for name in self.rare]

    def add(self, row: Row) -> None:
        """Score a row, and compare it with the stack, which has to be the first one added.

        Raises:
            RuntimeError: the stack is not there yet.
        """
        title, names = row.variant.title, self.context.label_names
        if title != FULL and FULL not in self.rows:
            raise RuntimeError("The stack has to be scored before what is compared with it.")
        self.rows[title] = row
        for split in self.context.held_out_splits:
            labels = self.labels[split]
            row.scores[split] = row.system.scores(split, labels, names, self.rare)
            row.correlation[split] = label_correlation(row.system.probabilities(split))
            if title != FULL:
                stack = self.rows[FULL].system
                row.comparison[split] = compare(
                    row.system, stack, split, labels, RESAMPLES, self.rare_columns
                )

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain values; rows that are not finished are named in `missing`."""
        context, done = self.context, self.rows
        order = [variant.title for variant in self.variants if variant.title in done]
        kept = ("train", *context.held_out_splits)
        return {
            "format": 1,
            "labels": context.label_names,
            "rare_labels": self.rare,
            "splits": context.held_out_splits,
            "seeds": context.recipe.stages.head_seeds,
            "missing": [v.title for v in self.variants if v.title not in done],
            "rows": [done[title].to_dict() for title in order],
            "systems": {title: done[title].scores for title in order},
            "comparisons": {t: done[t].comparison for t in order if done[t].comparison},
            "rare_label_comparison": self._rare_comparison(),
            "label_correlation": {
                "data": {s: label_correlation(self.labels[s].astype(float)[None]) for s in kept},
                "predicted_probabilities": {title: done[title].correlation for title in order},
            },
            "training_curves": {
                title: {
                    stage: {"log": record["log"], "fold_logs": record["fold_logs"]}
                    for stage, record in done[title].details["stages"].items()
                }
                for title in order
                if "stages" in done[title].details
            },
            "recipe": context.recipe.to_dict(),
            "environment": environment(context.recipe.source),
        }

    def _rare_comparison(self) -> list[dict[str, Any]]:
        """Average precision of the rare labels: the hybrid loss against each cross entropy."""
        by_loss = {v.loss: v.title for v in self.variants if v.loss and v.title in self.rows}
        if "hybrid" not in by_loss or not self.rare:
            return []
        first = self.rows[by_loss["hybrid"]].system
        bases = [self.rows[by_loss[loss]].system for loss in RARE_BASES if loss in by_loss]
        found = []
        for second, split in product(bases, self.context.held_out_splits):
            pair = (first, second, split, self.labels[split], "macro_ap")
            by_label = [compare_columns(*pair, [c], RESAMPLES) for c in self.rare_columns]
            found.append(
                {
                    "first": first.name,
                    "second": second.name,
                    "split": split,
                    "rare_ap": compare_columns(*pair, self.rare_columns, RESAMPLES),
                    "ap_by_label": dict(zip(self.rare, by_label, strict=True)),
                }
            )
        return found


def label_correlation(runs: np.ndarray) -> list[list[float | None]]:
    """Pearson correlation of the labels' columns, mean over the runs; null for a constant column.

    Args:
        runs: (seeds, rows, labels); of 0 and 1 it gives phi coefficients.

    Returns:
        (labels, labels).
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.mean([np.corrcoef(run, rowvar=False) for run in runs], axis=0)
    return [
        [round(v, 4) if np.isfinite(v) else None for v in line]
        for line in np.atleast_2d(mean).tolist()
    ]
