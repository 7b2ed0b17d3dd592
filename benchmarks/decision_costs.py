"""What calibration and each decision rule do, from the logits that a finished run kept.

Nothing is trained. `stack` and `meta` are scored out of fold, where calibration and rule are fitted
on four fifths of the training texts and judged on the rest, and on the validation texts.

    python benchmarks/decision_costs.py runs/arabic train.txt dev.txt
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from stacked_emotion.common.numerics import sigmoid
from stacked_emotion.common.tables import markdown_table
from stacked_emotion.data.arguments import DataArguments
from stacked_emotion.data.labeled_texts import load_splits
from stacked_emotion.inference.decisions import Decision as LabelDecision
from stacked_emotion.trainer.choosing.abstention import (
    FIGURES,
    abstention_record,
    uncertainty_limits,
)
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
COVERAGES = (0.99, 0.95, 0.9, 0.8, 0.7, 0.5)


def cross_fitted(
    logits: np.ndarray, labels: np.ndarray, kinds: list[str], min_labels: int = 1
) -> tuple[Any, Any]:
    """Probabilities and decisions of each row by what the other folds ask for."""
    chances, decided = np.zeros(logits.shape), np.zeros_like(labels)
    folds = stratified_folds(labels, FOLDS, seed=1)
    for fold in range(FOLDS):
        inside = folds == fold
        found = choose_calibrated_decision(
            logits[~inside], labels[~inside], kinds, min_labels=min_labels
        )
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
    for kind, least in (*((kind, 1) for kind in DECISIONS), ("expected_jaccard", 0)):
        found = choose_calibrated_decision(held_out, train, [kind], min_labels=least)
        outside = cross_fitted(held_out, train, [kind], least)[1][None]
        decided = found.decide(scored)
        name = kind if least else f"{kind}, min_labels: 0"
        yield [name, *scores_of(train, outside), *scores_of(validation, decided)]
        empty = [f"{(~part.any(-1)).mean():.4f}" for part in (outside, decided)]
        print(f"{name}: without labels {empty[0]} out of fold, {empty[1]} validation")
    at_half = Decision("global", np.full(train.shape[1], 0.5), calibration=found.calibration)
    chances = cross_fitted(held_out, train, ["global"])[0]
    outside = (chances >= 0.5).astype(np.int64)[None]
    yield ["0.5", *scores_of(train, outside), *scores_of(validation, at_half.decide(scored))]


def abstention(held_out: np.ndarray, scored: np.ndarray, labels: list[np.ndarray]) -> Iterator[Any]:
    """A row per share of texts that is to get labels: the share that does, and its scores."""
    train, validation = labels
    for kinds in (["expected_jaccard"], ["global"]):
        chosen = choose_calibrated_decision(held_out, train, kinds)
        rule = "threshold" if chosen.kind == "global" else chosen.kind
        names = [str(place) for place in range(train.shape[1])]
        decision = LabelDecision(names, chosen.thresholds.tolist(), rule, chosen.scale)
        limits = uncertainty_limits(chosen.calibrated(held_out), decision)
        decision = replace(decision, abstain_limits=limits)
        logits = {"validation": chosen.calibrated(scored[0])}
        for share in COVERAGES:
            found = abstention_record(
                logits, {"validation": validation}, decision.abstaining(share)
            )["splits"]["validation"]
            outside = cross_fitted_coverage(chosen.calibrated(held_out), train, decision, share)
            figures = [found[name][of] for name in FIGURES for of in ("answered", "all")]
            cells = [outside, found["answered"], *figures]
            yield [chosen.kind, share, *(f"{cell:.3f}" for cell in cells)]


def cross_fitted_coverage(
    logits: np.ndarray, labels: np.ndarray, decision: LabelDecision, share: float
) -> float:
    """The share of texts that get labels, by limits from the other folds."""
    folds, kept = stratified_folds(labels, FOLDS, seed=1), np.zeros(len(labels), bool)
    for fold in range(FOLDS):
        inside = folds == fold
        limits = uncertainty_limits(logits[~inside], decision)
        own = replace(decision, abstain=share, abstain_limits=limits)
        kept[inside] = ~own.abstains(logits[inside])
    return float(kept.mean())


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
        header = ["rule", "asked", "out of fold", "validation"]
        header += [f"{name}, {of}" for name in FIGURES for of in ("answered", "all")]
        print(f"\n{markdown_table(header, list(abstention(held_out, scored, labels)))}")


if __name__ == "__main__":
    main()
