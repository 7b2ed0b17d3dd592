"""The end of a run: the model folder, and every figure."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file
from safetensors.torch import load_file as read_top
from transformers.utils import logging

from ...common.environment import environment
from ...common.files import read_json, remove, replace_folder, replace_text, write_json
from ...common.finished import RECORD
from ...inference.decisions import Decision
from ...inference.model_files import WRITTEN
from ...modeling_stacked_emotion import StackedEmotionForSequenceClassification
from ..choosing.abstention import abstention_record, uncertainty_limits
from ..choosing.adaptive_limits import choose_limits
from ..choosing.decision_rules import choose_calibrated_decision
from ..features.cache import FeatureCache
from ..losses.contrastive import add_projection
from ..metrics.reliability import OUT_OF_FOLD
from ..results import (
    System,
    calibration_record,
    data_record,
    save_arrays,
    score_systems,
    to_markdown,
)
from ..running.provenance import public_results
from ..running.tracking import text_gates
from .cached_training import build_stack, load_top, top_state
from .context import RunContext
from .encoders import PRETRAINING, encoder_parts, fine_tuned, weights_digest
from .features import scored_features, training_features
from .joint import finished_joint
from .meta_and_head import finished_stage, out_of_fold_logits, scored_logits, stage_folder
from .related_data import related_files
from .summary import best_single, left_at_start, run_summary

logger = logging.get_logger(__name__)


def finish_run(
    context: RunContext,
    records: dict[str, Any],
    begin: float,
    repeats: Sequence[RunContext] = (),
) -> dict[str, Any]:
    """Score every system, write `results.json`, `results.md` and the finished `model/`.

    Args:
        context: the run.
        records: what each stage returned.
        begin: `time.monotonic()` at the start.
        repeats: finished trainings with other seeds of encoders and folds, for the figures alone.

    Returns:
        The results.
    """
    systems = all_systems(context)
    for repeat in repeats:
        for system, again in zip(systems, all_systems(repeat), strict=True):
            system.repeats.append(again)
    decision = published_decision(context, systems[-1])
    results = run_results(context, systems, records, decision)
    for repeat in repeats:
        seconds = read_json(repeat.output / "results.json")["seconds_by_part"]
        part = f"training with seed {repeat.recipe.stages.seed}"
        results["seconds_by_part"][part] = sum(seconds.values())
    results["seconds"] = round(time.monotonic() - begin, 1)
    results = public_results(results)
    final = systems[-1]
    model = save_model(context, final, decision)
    replace_text(context.output / "results.md", to_markdown(results))
    _save_predictions(context, final, model)
    write_json(context.output / "results.json", results)
    return results


def all_systems(context: RunContext) -> list[System]:
    """Single encoders, their average, the stack after `meta`, after `head`, after `joint`.

    How each decides is chosen by the same rule on its own out-of-fold predictions. `joint` has
    none: it keeps calibration and decision of the stage before it.
    """
    features = training_features(context).encoder_logits()
    scored = {
        split: scored_features(context, split).encoder_logits() for split in context.held_out_splits
    }
    systems = [
        decided_system(
            context,
            name,
            features[:, index],
            {split: logits[None, :, index] for split, logits in scored.items()},
        )
        for index, name in enumerate(context.names)
    ]
    average = {split: logits.mean(1)[None] for split, logits in scored.items()}
    systems.append(decided_system(context, "average", features.mean(1), average))
    for stage, title in (("meta", "meta"), ("head", "stack")):
        if (stage_folder(context, stage) / RECORD).exists():
            systems.append(stage_system(context, stage, title))
    if _has_joint(context):
        systems.append(
            System(
                "joint",
                systems[-1].decision,
                {s: _joint_outputs(context, s)["logits"] for s in context.held_out_splits},
            )
        )
    return systems


def decided_system(
    context: RunContext, name: str, held_out: np.ndarray, scored: dict[str, np.ndarray]
) -> System:
    """A system with the calibration and the decision that its out-of-fold logits ask for.

    Args:
        context: the run.
        name: of the system.
        held_out: (training rows, labels) logits, out of fold.
        scored: by split, (seeds, rows, labels) logits.
    """
    stages = context.recipe.stages
    labels = context.splits["train"].labels.astype(np.int64)
    decision = choose_calibrated_decision(
        held_out, labels, stages.decisions, stages.threshold_objective, stages.min_labels
    )
    return System(name, decision, scored, held_out)


def stage_system(context: RunContext, stage: str, name: str) -> System:
    """The stack as stage `meta` or `head` left it."""
    scored = {split: scored_logits(context, stage, split) for split in context.held_out_splits}
    return decided_system(context, name, out_of_fold_logits(context, stage), scored)


def published_decision(context: RunContext, final: System) -> Decision:
    """How the finished model gives labels.

    Without logits of texts that no part has seen it has no limits, and never abstains.
    """
    chosen, stages = final.decision, context.recipe.stages
    decision = Decision(
        context.label_names,
        [float(value) for value in chosen.thresholds],
        "expected_jaccard" if chosen.kind == "expected_jaccard" else "threshold",
        chosen.scale,
        chosen.min_labels,
    )
    if final.out_of_fold is None or not stages.cross_fit:
        if stages.abstain is not None:
            logger.warning("abstain has no effect: %s has no out-of-fold predictions.", final.name)
        return decision
    limits = uncertainty_limits(chosen.calibrated(final.out_of_fold), decision)
    return replace(decision, abstain=stages.abstain, abstain_limits=limits)


def run_results(
    context: RunContext, systems: list[System], records: dict[str, Any], decision: Decision
) -> dict[str, Any]:
    """All figures of a run as plain values."""
    names, stages = context.label_names, context.recipe.stages
    final, singles = systems[-1], systems[: len(context.names)]
    untrained = left_at_start(records)
    same = "meta" if final.name == "stack" and "head" in untrained else None
    others = [other for other in systems[:-1] if other.name != same]
    figures = score_systems(context, systems, [(final, other) for other in others])
    best = best_single(figures["systems"], context.names, context.held_out_splits)
    if best:
        best["out_of_fold"] = max(singles, key=lambda system: system.decision.score).name
    seconds = {
        f"encoders, {name}": sum(part["seconds"] for part in parts.values())
        for name, parts in records.get("encoders", {}).items()
    } | {stage: record["seconds"] for stage, record in records.items() if stage != "encoders"}
    figures |= {
        "best_single": best,
        "left_at_start": untrained,
        "recipe": context.recipe.to_dict(),
        "data": data_record(
            {**context.splits, **related_files(context.related)}, context.recipe.data.dataset_name
        ),
        "encoders": {name: _encoder_record(context, name) for name in context.names},
        "loss": records.get("head", {}).get("loss"),
        "stages": records,
        "calibration": calibration_record(
            final, context, systems[-2] if final.out_of_fold is None else final
        ),
        "thresholds": dict(zip(names, decision.thresholds, strict=True)),
        "abstention": _abstention(context, final, decision),
        "seeds": {
            "folds_and_encoders": stages.encoder_seeds or [stages.seed],
            "layers_on_top": stages.head_seeds,
        },
        "environment": environment(context.recipe.source),
        "seconds_by_part": seconds,
    }
    return figures | {"summary": run_summary(figures)}


def _abstention(context: RunContext, final: System, decision: Decision) -> dict[str, Any] | None:
    """What abstaining does out of fold and on the scored splits, by the first seed."""
    if not decision.may_abstain or final.out_of_fold is None:
        return None
    logits = {OUT_OF_FOLD: final.out_of_fold} | {s: runs[0] for s, runs in final.logits.items()}
    labels = {split: texts.labels for split, texts in context.splits.items()}
    return abstention_record(
        {split: final.decision.calibrated(found) for split, found in logits.items()},
        labels | {OUT_OF_FOLD: labels["train"]},
        decision,
    )


def _encoder_record(context: RunContext, name: str) -> dict[str, Any]:
    """What the finished encoder says it was made from, and digests of all its parts."""
    record = fine_tuned(context, name, "final").record
    steps = [
        {"names": related.names} | fine_tuned(context, name, f"{PRETRAINING}{place}").record["data"]
        for place, related in enumerate(context.related.get(name, []))
    ]
    return {
        "source": record["settings"]["source"],
        "revision": record["source_state"].get("commit"),
        "source_state": record["source_state"],
        "fine_tuned": {
            part: weights_digest(context, name, part) for part in encoder_parts(context)
        },
        "pretraining": steps,
    }


def save_model(
    context: RunContext, final: System, decision: Decision
) -> StackedEmotionForSequenceClassification:
    """Write the finished model and its tokenizer to `<output_dir>/model`."""
    folder = context.output / "model"
    if _has_joint(context):
        model = StackedEmotionForSequenceClassification.from_pretrained(
            stage_folder(context, "joint") / "model"
        )
    else:
        stage = "head" if (stage_folder(context, "head") / RECORD).exists() else "meta"
        stack_words = finished_stage(context, stage).record["stack_words"]
        untrained = unsupported_stages(context)
        meta_only = stage == "meta" or "head" in untrained
        averaged = meta_only and "meta" in untrained
        changes: dict[str, Any] = {"use_meta_learner": False} if averaged else {}
        model = build_stack(context, stack_words, meta_only, **changes)
        seed = context.recipe.stages.head_seeds[0]
        state = read_top(stage_folder(context, stage) / f"seed_{seed}.safetensors")
        load_top(model, {name: state[name] for name in top_state(model)})
        add_projection(model, 0)
    model.config.thresholds, model.config.decision = decision.thresholds, decision.rule
    if decision.rule == "expected_jaccard":
        model.config.decision_scale = decision.scale
        model.config.min_labels = decision.min_labels
    model.config.abstain_limits = decision.abstain_limits
    model.config.abstain = decision.abstain
    if (fitted := final.decision.calibration) is not None:
        model.calibration.scale.copy_(torch.from_numpy(fitted.scale))
        model.calibration.bias.copy_(torch.from_numpy(fitted.bias))
    model.config.adaptive = _adaptive_limits(context, model, final, decision)
    model.config._attn_implementation = None
    partial = folder.with_name(f"{folder.name}.partial")
    remove(partial)
    model.save_pretrained(partial)
    context.tokenizer.save_pretrained(partial)
    replace_folder(partial, folder, "config.json", WRITTEN)
    return model


def _adaptive_limits(
    context: RunContext, model: StackedEmotionForSequenceClassification, final: System,
    decision: Decision,
) -> dict[str, Any] | None:  # fmt: skip
    """When a text needs no further encoder; None without logits of texts that none has seen.

    What a text costs an encoder is taken as the products of its linear layers.
    """
    stages = context.recipe.stages
    if final.out_of_fold is None or not stages.cross_fit:
        return None
    costs = [
        float(context.encoded["train"].column(index).lengths.mean())
        * sum(
            module.weight.numel()
            for module in model.get_encoder(name).modules()
            if isinstance(module, torch.nn.Linear)
        )
        for index, name in enumerate(context.names)
    ]
    return choose_limits(
        training_features(context).encoder_logits(),
        final.decision.calibrated(final.out_of_fold),
        decision.abstaining(1.0),
        context.fold_of_row,
        context.names,
        costs,
        stages.adaptive_agreement,
    )


def unsupported_stages(context: RunContext) -> list[str]:
    """The stages among `meta` and `head` whose parts were left where they change no logit.

    A meta-learner at its start gives every encoder the same weight, and a classifier at its start
    adds zero; without `ensemble_start` it does not.
    """
    starts = {"meta": True, "head": context.recipe.stack.ensemble_start}
    return [
        stage
        for stage, harmless in starts.items()
        if harmless
        and (stage_folder(context, stage) / RECORD).exists()
        and finished_stage(context, stage).record["epoch"] == 0
    ]


def _has_joint(context: RunContext) -> bool:
    """Whether stage `joint` is finished for this recipe."""
    return (stage_folder(context, "head") / RECORD).exists() and finished_joint(context) is not None


def _joint_outputs(context: RunContext, split: str) -> dict[str, np.ndarray]:
    return load_file(stage_folder(context, "joint") / f"{split}.safetensors")


def _save_predictions(
    context: RunContext, final: System, model: StackedEmotionForSequenceClassification
) -> None:
    """Probabilities, labels and gates of the scored splits, for the plots; no texts."""
    joint = _has_joint(context)
    for split in context.held_out_splits:
        features: FeatureCache = scored_features(context, split)
        arrays = {
            "probabilities": final.probabilities(split)[0].astype(np.float32),
            "labels": context.splits[split].labels,
            "encoder_logits": features.encoder_logits(),
        }
        if joint:  # the cached features are of the encoders before this stage
            arrays["gates"] = _joint_outputs(context, split)["gates"]
        else:
            arrays["gates"] = text_gates(model, features)
        save_arrays(context.output / f"predictions_{split}.npz", arrays)
