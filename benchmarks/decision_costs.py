"""What calibration and each decision rule do, from the logits that a finished run kept.

Nothing is trained. `stack` and `meta` are scored out of fold, where calibration and rule are fitted
on four fifths of the training texts and judged on the rest, and on the validation texts.

    python benchmarks/decision_costs.py runs/arabic train.txt dev.txt
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from stacked_emotion.common.numerics import sigmoid
from stacked_emotion.common.tables import markdown_table
from stacked_emotion.data.arguments import DataArguments
from stacked_emotion.data.labeled_texts import load_splits
from stacked_emotion.trainer.choosing.decision_rules import (
    DECISIONS,
    Decision,
    choose_calibrated_decision,
)
from stacked_emotion.trainer.choosing.folds import stratified_folds
from stacked_emotion.trainer.metrics.reliability import reliability
from stacked_emotion.trainer.metrics.scores import emotion_scores

FOLDS = 5
METRICS = ("jaccard", "micro_f1", "macro_f1", "subset_accuracy")


def cross_fitted(logits: np.ndarray, labels: np.ndarray, kinds: list[str]) -> tuple[Any, Any]:
    """Probabilities and decisions of each row by what the other folds ask for."""
    chances, decided = np.zeros(logits.shape), np.zeros_like(labels)
    folds = stratified_folds(labels, FOLDS, seed=1)
    for fold in range(FOLDS):
        inside = folds == fold
        found = choose_calibrated_decision(logits[~inside], labels[~inside], kinds)
        chances[inside] = sigmoid(found.calibrated(logits[inside]))
        decided[inside] = found.decide(logits[inside])
    return chances, decided


def scores_of(labels: np.ndarray, decided: np.ndarray) -> list[str]:
    """The metrics of (seeds, rows, labels) decisions, mean over the seeds."""
    runs = [emotion_scores(labels, one) for one in decided]
    return [f"{np.mean([run[metric] for run in runs]):.3f}" for metric in METRICS]


def rules(held_out: np.ndarray, scored: np.ndarray, labels: list[np.ndarray]) -> Iterator[Any]:
    """A row per rule: its scores out of fold, then on the validation texts."""
    train, validation = labels
    for kind in DECISIONS:
        found = choose_calibrated_decision(held_out, train, [kind])
        outside = cross_fitted(held_out, train, [kind])[1][None]
        yield [kind, *scores_of(train, outside), *scores_of(validation, found.decide(scored))]
    at_half = Decision("global", np.full(train.shape[1], 0.5), calibration=found.calibration)
    chances = cross_fitted(held_out, train, ["global"])[0]
    outside = (chances >= 0.5).astype(np.int64)[None]
    yield ["0.5", *scores_of(train, outside), *scores_of(validation, at_half.decide(scored))]


def calibration(held_out: np.ndarray, scored: np.ndarray, labels: list[np.ndarray]) -> list[Any]:
    """ECE and Brier score before and after, out of fold and on the validation texts."""
    found = choose_calibrated_decision(held_out, labels[0])
    after = [cross_fitted(held_out, labels[0], list(DECISIONS))[0]]
    after.append(sigmoid(found.calibrated(scored[0])))
    rows = []
    for name, truth, before, now in zip(
        ("out of fold", "validation"), labels, (held_out, scored[0]), after, strict=True
    ):
        old, new = reliability(truth, sigmoid(before)), reliability(truth, now)
        cells = [np.mean(part[key]) for key in ("ece", "brier") for part in (old, new)]
        rows.append([name, *(f"{cell:.4f}" for cell in cells)])
    return rows


def main() -> None:
    """Print both tables of each stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("train_file")
    parser.add_argument("validation_file")
    parser.add_argument("--stages", nargs="+", default=["meta", "head"])
    options = parser.parse_args()
    files = {"train_file": options.train_file, "validation_file": options.validation_file}
    splits = load_splits(DataArguments(**files))
    labels = [splits[name].labels.astype(np.int64) for name in ("train", "validation")]
    for stage in options.stages:
        held_out, scored = (
            load_file(options.run / stage / f"{name}.safetensors")["logits"].astype(np.float64)
            for name in ("out_of_fold", "validation")
        )
        header = ["texts", "ECE before", "after", "Brier before", "after"]
        print(f"\n{stage}\n\n{markdown_table(header, calibration(held_out, scored, labels))}\n")
        header = ["rule", *METRICS, *(f"validation {metric}" for metric in METRICS)]
        print(markdown_table(header, list(rules(held_out, scored, labels))))


if __name__ == "__main__":
    main()
