"""Rows to figures: scores, paired bootstrap against the stack, and what plots need."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np

from ...common.environment import environment
from ..results import compare, compare_columns, rare_labels
from ..stages.context import RunContext
from .rows import Row
from .variants import FULL, Variant

RESAMPLES = 2000
RARE_BASES = ("bce", "weighted_bce")


class Outcome:
    """Gathers the figures of finished rows; each row is scored once.

    Args:
        context: the run.
        variants: all rows that will be done, in the order of the table.
    """

    def __init__(self, context: RunContext, variants: Sequence[Variant]) -> None:
        self.context = context
        self.variants = list(variants)
        self.rows: dict[str, Row] = {}
        self.scores: dict[str, dict[str, Any]] = {}
        self.comparisons: dict[str, dict[str, Any]] = {}
        self.correlations: dict[str, dict[str, Any]] = {}
        prevalence = context.statistics.prevalence.tolist()
        self.rare = rare_labels(prevalence, context.label_names)
        self.rare_columns = [context.label_names.index(name) for name in self.rare]

    def add(self, row: Row) -> None:
        """Score a row, and compare it with the stack, which has to be the first one added.

        Raises:
            RuntimeError: the stack is not there yet.
        """
        title, context = row.variant.title, self.context
        if title != FULL and FULL not in self.rows:
            raise RuntimeError("The stack has to be scored before what is compared with it.")
        self.rows[title] = row
        for split in context.held_out_splits:
            labels = self._labels(split)
            self.scores.setdefault(title, {})[split] = row.system.scores(
                split, labels, context.label_names, self.rare
            )
            self.correlations.setdefault(title, {})[split] = label_correlation(
                row.system.probabilities(split)
            )
            if title != FULL:
                self.comparisons.setdefault(title, {})[split] = compare(
                    row.system,
                    self.rows[FULL].system,
                    split,
                    labels,
                    RESAMPLES,
                    self.rare_columns,
                )

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain values; rows that are not finished are named in `missing`."""
        context = self.context
        order = [variant for variant in self.variants if variant.title in self.rows]
        return {
            "format": 1,
            "labels": context.label_names,
            "rare_labels": self.rare,
            "splits": context.held_out_splits,
            "seeds": context.recipe.stages.head_seeds,
            "missing": [v.title for v in self.variants if v.title not in self.rows],
            "rows": [self._row(variant) for variant in order],
            "systems": {variant.title: self.scores[variant.title] for variant in order},
            "comparisons": {
                variant.title: self.comparisons[variant.title]
                for variant in order
                if variant.title in self.comparisons
            },
            "rare_label_comparison": self._rare_comparison(),
            "label_correlation": self._label_correlation([variant.title for variant in order]),
            "training_curves": {
                variant.title: {
                    stage: {"log": record["log"], "fold_logs": record["fold_logs"]}
                    for stage, record in self.rows[variant.title].details["stages"].items()
                }
                for variant in order
                if "stages" in self.rows[variant.title].details
            },
            "recipe": context.recipe.to_dict(),
            "environment": environment(context.recipe.source),
        }

    def _row(self, variant: Variant) -> dict[str, Any]:
        row = self.rows[variant.title]
        details = {k: v for k, v in row.details.items() if k != "stages"}
        stages = {
            stage: {
                k: record.get(k)
                for k in ("epoch", "objective_by_epoch", "seconds", "stack_words", "loss")
            }
            for stage, record in row.details.get("stages", {}).items()
        }
        return {
            "title": variant.title,
            "slug": variant.slug,
            "group": variant.group,
            "kind": variant.kind,
            "encoder": variant.encoder,
            "decision": row.system.decision.to_dict(),
            **details,
            "stages": stages,
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
            pair = (first, second, split, self._labels(split), "macro_ap")
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

    def _label_correlation(self, titles: Sequence[str]) -> dict[str, Any]:
        data = {
            split: label_correlation(self._labels(split).astype(float)[None])
            for split in ("train", *self.context.held_out_splits)
        }
        return {
            "data": data,
            "predicted_probabilities": {title: self.correlations[title] for title in titles},
        }

    def _labels(self, split: str) -> np.ndarray:
        return self.context.splits[split].labels.astype(np.int64)


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
