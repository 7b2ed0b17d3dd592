"""What the figures of a run say, in sentences: for `results.md`, the card and the app."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...common.errors import counted, listed
from ..results import leak_note, score_cell, source_name


def run_summary(results: Mapping[str, Any]) -> list[str]:
    """What a reader has to know of the figures of a run, one sentence or two per entry.

    Args:
        results: of the run; `best_single` and `left_at_start` are among them.
    """
    splits = [sentence for split in results["splits"] for sentence in _of_split(results, split)]
    return [*splits, *_parts(results), *_spread(results["seeds"])]


def best_single(
    systems: Mapping[str, Mapping[str, Any]], singles: Sequence[str], splits: Sequence[str]
) -> dict[str, str]:
    """The encoder with the highest Jaccard by itself, by split; none for a stack of one."""
    if len(singles) < 2:
        return {}
    return {s: max(singles, key=lambda one: systems[one][s]["jaccard"]["mean"]) for s in splits}


def left_at_start(stages: Mapping[str, Any]) -> list[str]:
    """The stages whose training gained too little on out-of-fold predictions to be kept.

    Args:
        stages: what each stage returned.
    """
    return [
        stage
        for stage in ("meta", "head")
        if (record := stages.get(stage))
        and record["epoch"] == 0
        and len(record["objective_by_epoch"]) > 1
    ]


def _of_split(results: Mapping[str, Any], split: str) -> list[str]:
    entry, systems = results["data"][split], results["systems"]
    final, best = list(systems)[-1], results["best_single"].get(split)
    jaccard = {name: found[split]["jaccard"] for name, found in systems.items()}
    text = f"{split} ({source_name(entry['source'])}, {counted(entry['rows'], 'text')}): Jaccard "
    if best is None:
        text += f"{score_cell(jaccard[final])}."
    else:
        text += (
            f"{score_cell(jaccard[final])} for {final}, {score_cell(jaccard[best])} for {best}, "
            "the best single encoder here."
        )
        if jaccard[best]["mean"] >= jaccard[final]["mean"]:
            text += f" {final} does not beat it."
        if (chosen := results["best_single"]["out_of_fold"]) != best:
            text += f" On out-of-fold predictions the best one was {chosen}."
    note = leak_note(entry)
    return [text, f"{split}: {note}"] if note else [text]


def _parts(results: Mapping[str, Any]) -> list[str]:
    recipe, stages = results["recipe"], results["left_at_start"]
    if not stages:
        return []
    lstm = ["the Bi-LSTM"] if recipe["use_lstm"] else []
    names = {"meta": ["the meta-learner"], "head": [*lstm, "the classifier"]}
    text = (
        f"The data did not support {listed([n for stage in stages for n in names[stage]])}: "
        f"training in stage{'s' * (len(stages) > 1)} {listed(stages)} gained "
    )
    text += "no more than the standard error" if recipe["gain_in_errors"] else "nothing"
    text += " on out-of-fold predictions."
    saved = "head" in stages and recipe["ensemble_start"] and "joint" not in results["stages"]
    return [text + " The saved model does without them." * saved]


def _spread(seeds: Mapping[str, Any]) -> list[str]:
    encoders, top = (list(map(str, seeds[key])) for key in ("folds_and_encoders", "layers_on_top"))
    if len(encoders) > 1:
        text = "whole trainings, encoders and folds too, with the seeds "
        text += listed(encoders)
        text += f", each with the seeds {listed(top)} of the layers on top" * (len(top) > 1)
    elif len(top) > 1:
        text = f"the seeds {listed(top)} of the layers on top alone: encoders and folds are the "
        text += "same"
    else:
        return []
    return [f"± is the standard deviation over {text}."]
