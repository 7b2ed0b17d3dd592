"""The work behind each row of an ablation: a system with its logits, and a record of how."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState
from safetensors.numpy import load_file, save_file

from ...common.files import fingerprint
from ..choosing.decision_rules import Decision, choose_decision
from ..results import System
from ..running.once import run_once
from ..stages.cached_training import HEAD_OPTIONS
from ..stages.context import RunContext
from ..stages.encoders import weights_digest
from ..stages.features import scored_features, training_features
from ..stages.meta_and_head import run_head, run_meta, scored_logits, stage_folder
from .baselines import constant_system, tfidf_system
from .contexts import adopt_stage, variant_context
from .own_tokens import own_token_logits
from .variants import FULL, Variant


@dataclass
class Row:
    """A finished row.

    Attributes:
        variant: what it is.
        system: its logits of the held-out splits, and how it decides.
        details: JSON-able: seconds and epoch by stage, training log, gates, tokens that differ.
    """

    variant: Variant
    system: System = field(repr=False)
    details: dict[str, Any] = field(repr=False)


def finish_row(full: RunContext, variant: Variant, root: Path) -> Row:
    """Do the work of a row, or what is left of it.

    Args:
        full: the run, its encoders fine-tuned.
        variant: the row.
        root: the folder of the ablation; the row's is `<root>/<slug>`.
    """
    if variant.kind in ("stack", "meta"):
        return _trained(full, variant, root)
    makers: dict[str, Callable[[RunContext, Variant], tuple[System, dict[str, Any]]]] = {
        "most_frequent": _most_frequent,
        "tfidf": _tfidf,
        "encoder": _encoder,
        "average": _average,
        "own_tokens": _own_tokens,
    }
    if variant.kind in ("encoder", "average"):  # nothing to compute but the decision
        begin = time.monotonic()
        system, details = makers[variant.kind](full, variant)
        return Row(variant, system, details | {"seconds": round(time.monotonic() - begin, 2)})
    return _kept(full, variant, root, makers[variant.kind])


def stage_folders(full: RunContext, root: Path) -> list[Path]:
    """Where finished stages may be: the run, the run its encoders are from, then the rows."""
    rows = sorted(entry for entry in root.iterdir() if entry.is_dir()) if root.exists() else []
    return [full.output, full.shared, *rows]


def _trained(full: RunContext, variant: Variant, root: Path) -> Row:
    folder = root / (FULL if variant.kind == "meta" else variant.slug)
    context = variant_context(full, variant, folder)
    folders = stage_folders(full, root)
    stages: dict[str, Any] = {}
    for stage, run in (("meta", run_meta), ("head", run_head)):
        adopt_stage(context, stage, folders)
        stages[stage] = run(context)
        if stage == variant.kind:
            break
    last = list(stages)[-1]
    record = stages[last]
    system = System(
        variant.title,
        decision_from(record["decision"]),
        {split: scored_logits(context, last, split) for split in context.held_out_splits},
    )
    return Row(
        variant,
        system,
        {
            "seconds": round(sum(stage["seconds"] for stage in stages.values()), 2),
            "stages": stages,
            "gates": _gates(context, last, record),
            "options": {"head.loss": context.recipe.head.loss.name} | variant.changes,
        },
    )


def _gates(context: RunContext, stage: str, record: dict[str, Any]) -> dict[str, Any] | None:
    """Mean gate by encoder at the end of training, and the tilt of each label toward each encoder.

    Of the published seed, on training rows; None where gates are not learned.
    """
    if not context.recipe.stack.use_meta_learner:
        return None
    logged = [entry for entry in record["log"] if f"gate_{context.names[0]}" in entry]
    if not logged:  # epoch 0: as stage meta left them
        logged = [entry for entry in record["fold_logs"][0] if f"gate_{context.names[0]}" in entry]
        logged = logged[:1]
    seed = context.recipe.stages.head_seeds[0]
    weights = load_file(stage_folder(context, stage) / f"seed_{seed}.safetensors")
    trust = weights["stacked.meta_learner.label_trust"]
    return {
        "mean": {name: logged[-1][f"gate_{name}"] for name in context.names},
        "label_trust": {
            name: dict(zip(context.label_names, trust[index].tolist(), strict=True))
            for index, name in enumerate(context.names)
        },
    }


def _kept(
    full: RunContext,
    variant: Variant,
    root: Path,
    make: Callable[[RunContext, Variant], tuple[System, dict[str, Any]]],
) -> Row:
    """A row without stages: computed once and kept."""
    stages = full.recipe.stages
    digests = {}
    if variant.encoder:
        parts = {"final", *(f"fold_{k}" for k in range(full.folds) if stages.cross_fit)}
        digests = {part: weights_digest(full, variant.encoder, part) for part in sorted(parts)}
    key = fingerprint(
        {"variant": variant.title, "digests": digests, "folds": [stages.cross_fit, stages.seed]},
        {"rule": [stages.threshold_objective, stages.decisions]},
        {split: texts.fingerprint() for split, texts in full.splits.items()},
        full.data_fingerprint,
    )

    def work(folder: Path) -> dict[str, Any]:
        system, details = make(full, variant)
        if PartialState().is_main_process:
            save_file(system.logits, folder / "logits.safetensors")
        return details | {"decision": decision_record(system.decision)}

    folder = root / variant.slug
    record = run_once(folder, key, work)
    system = System(
        variant.title, decision_from(record["decision"]), load_file(folder / "logits.safetensors")
    )
    return Row(variant, system, {k: v for k, v in record.items() if k != "decision"})


def _most_frequent(full: RunContext, variant: Variant) -> tuple[System, dict[str, Any]]:
    return constant_system(full.splits["train"], _scored(full)), {}


def _tfidf(full: RunContext, variant: Variant) -> tuple[System, dict[str, Any]]:
    stages = full.recipe.stages
    return (
        tfidf_system(
            full.splits["train"], _scored(full), stages.decisions, full.folds, stages.seed
        ),
        {},
    )


def _encoder(full: RunContext, variant: Variant) -> tuple[System, dict[str, Any]]:
    index = full.names.index(str(variant.encoder))
    return _by_rule(
        full,
        variant,
        training_features(full).encoder_logits()[:, index],
        {s: scored_features(full, s).encoder_logits()[:, index] for s in full.held_out_splits},
    ), {}


def _average(full: RunContext, variant: Variant) -> tuple[System, dict[str, Any]]:
    return _by_rule(
        full,
        variant,
        training_features(full).encoder_logits().mean(1),
        {s: scored_features(full, s).encoder_logits().mean(1) for s in full.held_out_splits},
    ), {}


def _own_tokens(full: RunContext, variant: Variant) -> tuple[System, dict[str, Any]]:
    held_out, scored, counts = own_token_logits(full, str(variant.encoder))
    return _by_rule(full, variant, held_out, scored), {"tokens": counts}


def _by_rule(
    full: RunContext, variant: Variant, held_out: np.ndarray, scored: dict[str, np.ndarray]
) -> System:
    """A system that decides as the stack does: by the rule that wins on its own training rows."""
    stages = full.recipe.stages
    labels = full.splits["train"].labels.astype(np.int64)
    decision = choose_decision(held_out, labels, stages.decisions, stages.threshold_objective)
    return System(
        variant.title, decision, {split: logits[None] for split, logits in scored.items()}
    )


def _scored(full: RunContext) -> dict[str, Any]:
    return {split: full.splits[split] for split in full.held_out_splits}


def decision_record(decision: Decision) -> dict[str, Any]:
    """A decision for JSON, which knows no NaN."""
    record = decision.to_dict()
    return record | {"score": None if np.isnan(decision.score) else decision.score}


def decision_from(record: dict[str, Any]) -> Decision:
    """A `Decision` from what `to_dict` or `decision_record` gave."""
    score = float("nan") if record["score"] is None else record["score"]
    return Decision(**(record | {"thresholds": np.array(record["thresholds"]), "score": score}))


def expected_seconds(
    full: RunContext, variants: Iterable[Variant], root: Path, done: dict[str, Row]
) -> float | None:
    """How long the rows that are not finished will take, by what the finished ones took.

    Args:
        full: the run.
        variants: the rows.
        root: the folder of the ablation.
        done: the finished rows by title.

    Returns:
        Seconds, or None while nothing is known.
    """
    known = {
        stage: [
            row.details["stages"][stage]["seconds"]
            for row in done.values()
            if stage in row.details.get("stages", {})
        ]
        for stage in ("meta", "head")
    }
    if not known["head"]:
        return None
    means = {stage: float(np.mean(seconds)) for stage, seconds in known.items()}
    total = 0.0
    for variant in variants:
        if variant.title not in done and variant.kind == "stack":
            total += means["head"] + (0 if _shares_meta(variant) else means["meta"])
    return total


def _shares_meta(variant: Variant) -> bool:
    behind = HEAD_OPTIONS | {"head.loss"}
    return variant.encoder is None and set(variant.changes) <= behind
