"""The work behind each row of an ablation: a system with its logits, and a record of how."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState
from safetensors.numpy import load_file, save_file

from ...common.files import fingerprint
from ...common.finished import Form
from ..choosing.decision_rules import Decision, choose_decision
from ..choosing.thresholds import DECISION_FORM
from ..features.cache import FeatureCache
from ..results import System
from ..running.once import run_once
from ..stages.context import RunContext
from ..stages.encoders import weights_digest
from ..stages.features import scored_features, training_features
from ..stages.meta_and_head import run_head, run_meta, scored_logits, stage_folder
from .baselines import constant_system, tfidf_system
from .contexts import adopt_stage, variant_context
from .own_tokens import own_token_logits
from .variants import FULL, Variant

# Raised when the same settings come to other figures: rows without stages are then done again.
ROWS_VERSION = 1


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
    if variant.kind in ("encoder", "average"):  # nothing to compute but the decision
        begin = time.monotonic()
        system, details = _untrained(full, variant)
        return Row(variant, system, details | {"seconds": round(time.monotonic() - begin, 2)})
    return _kept(full, variant, root)


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
        Decision.from_dict(record["decision"]),
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


def _kept(full: RunContext, variant: Variant, root: Path) -> Row:
    """A row without stages: computed once and kept."""
    stages = full.recipe.stages
    digests = {}
    if variant.encoder:
        parts = {"final", *(f"fold_{k}" for k in range(full.folds) if stages.cross_fit)}
        digests = {part: weights_digest(full, variant.encoder, part) for part in sorted(parts)}
    own = variant.kind == "own_tokens"  # the encoder's own tokenizer, as it is in the source now
    key = fingerprint(
        [ROWS_VERSION, full.source_states.get(str(variant.encoder)) if own else None],
        {"variant": variant.title, "digests": digests, "folds": [stages.cross_fit, stages.seed]},
        {"rule": [stages.threshold_objective, stages.decisions]},
        {split: texts.fingerprint() for split, texts in full.splits.items()},
        full.data_fingerprint,
    )

    def work(folder: Path) -> dict[str, Any]:
        system, details = _untrained(full, variant)
        if PartialState().is_main_process:
            save_file(system.logits, folder / "logits.safetensors")
        return details | {"decision": system.decision.to_dict()}

    folder = root / variant.slug
    tokens = {"tokens": {str: {"texts": int, "changed": int}}}
    fields = {"decision": DECISION_FORM} | (tokens if own else {})
    record = run_once(folder, key, work, Form(fields, ("logits.safetensors",)))
    system = System(
        variant.title,
        Decision.from_dict(record["decision"]),
        load_file(folder / "logits.safetensors"),
    )
    return Row(variant, system, {k: v for k, v in record.items() if k != "decision"})


def _untrained(full: RunContext, variant: Variant) -> tuple[System, dict[str, Any]]:
    """The system of a row without stages, and further details.

    Encoders decide as the stack does: by the rule that wins on their own training rows.
    """
    stages, train = full.recipe.stages, full.splits["train"]
    texts = {split: full.splits[split] for split in full.held_out_splits}
    if variant.kind == "most_frequent":
        return constant_system(train, texts), {}
    if variant.kind == "tfidf":
        return tfidf_system(train, texts, stages.decisions, full.folds, stages.seed), {}
    details: dict[str, Any] = {}
    if variant.kind == "own_tokens":
        held_out, scored, details["tokens"] = own_token_logits(full, str(variant.encoder))
    else:
        held_out = _encoder_logits(full, variant, training_features(full))
        scored = {s: _encoder_logits(full, variant, scored_features(full, s)) for s in texts}
    labels = train.labels.astype(np.int64)
    decision = choose_decision(held_out, labels, stages.decisions, stages.threshold_objective)
    logits = {split: values[None] for split, values in scored.items()}
    return System(variant.title, decision, logits), details


def _encoder_logits(full: RunContext, variant: Variant, features: FeatureCache) -> np.ndarray:
    """(rows, labels) logits of the row's encoder, or the average of all encoders."""
    logits = features.encoder_logits()
    return logits[:, full.names.index(variant.encoder)] if variant.encoder else logits.mean(1)


def expected_seconds(variants: Iterable[Variant], done: dict[str, Row]) -> float | None:
    """Estimate how long the unfinished rows will take: as long as the trained ones took on average.

    Args:
        variants: the rows.
        done: the finished rows by title.

    Returns:
        Seconds, or None before the first row is trained.
    """
    known = [row.details["seconds"] for row in done.values() if row.variant.kind == "stack"]
    left = sum(one.kind == "stack" and one.title not in done for one in variants)
    return left * float(np.mean(known)) if known else None
