"""Stages `meta` and `head`: the layers on top of the encoders, on cached features."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as read_top
from safetensors.torch import save_file as save_top
from transformers.utils import logging

from ...common.errors import UserError, counted
from ...common.files import fingerprint
from ...common.finished import NUMBER, Finished, Form, find
from ...modeling_stacked_emotion import StackedEmotionForSequenceClassification
from ..choosing.decision_rules import Decision
from ..choosing.thresholds import DECISION_FORM
from ..features.cache import FeatureCache
from ..running.checkpoints import kept_tensors
from ..running.once import CHECKPOINTS, run_once
from ..running.progress import Remaining, announce
from ..training_arguments import learned_from
from .cached_training import (
    META_PARTS,
    TOP_VERSION,
    HeldOutLogits,
    StopAfterEpochs,
    TopPlan,
    build_stack,
    choose_epoch,
    load_top,
    predict_logits,
    reset_top,
    stack_options,
    top_state,
    train_top,
)
from .context import RunContext, stage_loss
from .encoders import encoder_parts, weights_digest
from .features import make_features, probe_gaps, scored_features, training_features

logger = logging.get_logger(__name__)
STAGE_FORM = Form(
    {
        "epoch": int, "objective_by_epoch": [NUMBER], "decision": DECISION_FORM,
        "probe_gaps": {str: NUMBER}, "stack_words": bool, "loss": {"name": str, "config": dict},
        "log": [dict], "fold_logs": [[dict]],
    },
    ("out_of_fold.safetensors", "seed_*.safetensors", "fold_*.safetensors"),
)  # fmt: skip


def run_meta(context: RunContext) -> dict[str, Any]:
    """Train the meta-learner by itself to predict the labels.

    Returns:
        The chosen epoch, the objective by epoch, the probe gaps and the seconds.
    """
    return _run_stage(context, "meta")


def run_head(context: RunContext) -> dict[str, Any]:
    """Train the Bi-LSTM and the classifier with the hybrid loss, from the meta-learner on.

    Returns:
        The chosen epoch, the objective by epoch, the thresholds and the seconds.
    """
    return _run_stage(context, "head")


def stage_folder(context: RunContext, stage: str) -> Path:
    """Where a stage keeps its weights and out-of-fold logits."""
    return context.output / stage


def finished_stage(context: RunContext, stage: str) -> Finished:
    """What a stage left for this recipe, whole and undamaged.

    Raises:
        UserError: the stage has not run, ran on something else, or a file is damaged.
    """
    folder = stage_folder(context, stage)
    found, problem = find(folder, stage_key(context, stage), form=STAGE_FORM)
    if found is None:
        raise UserError(
            f"{folder} {problem or 'holds no finished work'}: run the stage {stage} first (leave "
            "--stage out to run all)."
        )
    return found


def out_of_fold_logits(context: RunContext, stage: str) -> np.ndarray:
    """(training rows, labels) logits of the stage at its chosen epoch, out of fold."""
    return load_file(stage_folder(context, stage) / "out_of_fold.safetensors")["logits"]


def scored_logits(context: RunContext, stage: str, split: str) -> np.ndarray:
    """(seeds, rows, labels) logits of a split that is only scored."""
    return load_file(stage_folder(context, stage) / f"{split}.safetensors")["logits"]


def top_plan(context: RunContext, stage: str) -> TopPlan:
    """What the recipe says of a stage; without a meta-learner, `meta` has nothing to train."""
    recipe = context.recipe
    settings = recipe.meta if stage == "meta" else recipe.head
    loss = stage_loss(stage, settings, context.statistics)
    if stage == "meta":
        epochs = settings.epochs if recipe.stack.use_meta_learner else 0
        return TopPlan("meta_logits", META_PARTS, epochs, settings, stage, loss)
    return TopPlan("logits", (), settings.epochs, settings, stage, loss)


def _run_stage(context: RunContext, stage: str) -> dict[str, Any]:
    make_features(context, ["train", *context.held_out_splits])
    features = training_features(context)
    key = stage_key(context, stage)
    work = partial(_train, context, stage, features)
    return run_once(stage_folder(context, stage), key, work, STAGE_FORM)


def stage_key(context: RunContext, stage: str) -> str:
    """Fingerprint of everything the outcome of a stage depends on."""
    stages, plan = context.recipe.stages, top_plan(context, stage)
    before: list[str | None] = []
    if stage == "head":
        key = stage_key(context, "meta")
        meta, _ = find(stage_folder(context, "meta"), key)
        before = [key, meta.digest() if meta else None]
    how = plan.settings
    return fingerprint(
        before,
        TOP_VERSION,
        context.data_fingerprint,
        [
            weights_digest(context, name, part)
            for name in context.names
            for part in encoder_parts(context)
        ],
        [context.splits[split].fingerprint() for split in context.held_out_splits],
        stack_options(context.recipe.stack, plan.meta_only),
        {
            "plan": [plan.epochs, how.learning_rate, plan.loss.name, plan.loss.get_config_dict()],
            "batch": [how.batch_size, how.weight_decay, how.warmup, learned_from(how)],
            "trust_factor": stages.trust_factor,
            "gain": stages.gain_in_errors,
            "seeds": stages.head_seeds,
            "folds": [stages.cross_fit, stages.seed],
            "thresholds": [stages.threshold_objective, stages.decisions],
            "gap": stages.probe_gap_limit,
        },
    )


def _train(context: RunContext, stage: str, features: FeatureCache, folder: Path) -> dict[str, Any]:
    """Out-of-fold runs that choose the epoch and the thresholds, then one run a seed."""
    stages, plan = context.recipe.stages, top_plan(context, stage)
    gaps, stack_words = stacks_words(context, features)
    model = build_stack(context, stack_words, plan.meta_only)
    state = PartialState()
    model.to(state.device)
    first_seed = stages.head_seeds[0]
    checkpoints, seeds = folder / CHECKPOINTS, stages.head_seeds
    left = Remaining([plan.epochs] * (context.folds + len(seeds)))
    found = choose_out_of_fold(context, stage, features, model, folder, checkpoints, left)
    epoch, choice = found.epoch, found.decision
    left.sizes[context.folds :] = [epoch] * len(seeds)
    limits = {
        f"threshold_{name}": float(value)
        for name, value in zip(context.label_names, choice.thresholds, strict=True)
    }
    logs: dict[int, list[dict[str, Any]]] = {}
    scored: dict[str, list[np.ndarray]] = {split: [] for split in context.held_out_splits}
    for seed in seeds:

        def train_seed(seed: int = seed) -> tuple[dict[str, torch.Tensor], list[dict[str, Any]]]:
            why = "" if epoch else ": training gained too little out of fold"
            what = f"seed {seed}, {counted(epoch, 'epoch')} on all rows{why}"
            announce(f"Stage {stage}: {what}{left.time_left}.")
            start_top(context, model, stage, seed, f"seed_{seed}")
            if not epoch:
                return top_state(model), []
            with left.part(context.folds + seeds.index(seed)):
                log = train_top(
                    context,
                    model,
                    features,
                    plan,
                    seed,
                    [StopAfterEpochs(epoch)],
                    part=f"{stage}/seed_{seed}",
                    constants=limits,
                )
            return top_state(model), log

        done, logs[seed] = kept_tensors(checkpoints / f"seed_{seed}", train_seed)
        load_top(model, done)
        if state.is_main_process:
            save_top(done, folder / f"seed_{seed}.safetensors")
        for split in context.held_out_splits:
            scored[split].append(
                predict_logits(model, scored_features(context, split), plan.output)
            )
    if state.is_main_process:
        save_file({"logits": found.logits}, folder / "out_of_fold.safetensors")
        for split, logits in scored.items():
            save_file({"logits": np.stack(logits)}, folder / f"{split}.safetensors")
    return {
        "epoch": epoch,
        "objective_by_epoch": found.objective_by_epoch,
        "decision": choice.to_dict(),
        "probe_gaps": gaps,
        "stack_words": stack_words,
        "loss": {"name": plan.loss.name, "config": plan.loss.get_config_dict()},
        "log": logs.get(first_seed, []),
        "fold_logs": found.logs,
    }


def stacks_words(context: RunContext, features: FeatureCache) -> tuple[dict[str, float], bool]:
    """The probe gaps, and whether they allow word vectors to be stacked, not only logits."""
    gaps = probe_gaps(context, features)
    allowed = all(gap <= context.recipe.stages.probe_gap_limit for gap in gaps.values())
    if not allowed:
        logger.warning(
            "The folds' feature spaces differ (probe gaps %s): only logits are stacked.", gaps
        )
    return gaps, allowed


@dataclass
class OutOfFold:
    """What the runs by folds say.

    Attributes:
        epoch: the best one; 0 is the start.
        objective_by_epoch: `decision_objective` of every epoch, cross-validated.
        decision: chosen on the best epoch's logits.
        logits: (training rows, labels) at the best epoch, each from the run that did not see it.
        logs: the trainer's log by fold.
    """

    epoch: int
    objective_by_epoch: list[float]
    decision: Decision
    logits: np.ndarray
    logs: list[list[dict[str, Any]]]


def choose_out_of_fold(
    context: RunContext,
    stage: str,
    features: FeatureCache,
    model: StackedEmotionForSequenceClassification,
    folder: Path,
    checkpoints: Path | None = None,
    left: Remaining | None = None,
) -> OutOfFold:
    """Run a stage by folds, and choose the epoch and the decision on the rows left out.

    Args:
        context: the run.
        stage: meta or head.
        features: of all training rows.
        model: the stack; its layers on top are overwritten.
        folder: the weights on top at the chosen epoch go there, as `fold_<k>.safetensors`.
        checkpoints: see `fold_runs`.
        left: see `fold_runs`.
    """
    stages = context.recipe.stages
    held_out, states, logs = fold_runs(context, stage, features, model, checkpoints, left)
    labels = context.splits["train"].labels
    epoch, scores, decision = choose_epoch(
        held_out, labels, stages.threshold_objective, stages.decisions, stages.gain_in_errors
    )
    if PartialState().is_main_process:
        for fold, kept in enumerate(states):
            save_top(kept[epoch], folder / f"fold_{fold}.safetensors")
    return OutOfFold(epoch, scores, decision, held_out[epoch], logs)


def fold_runs(
    context: RunContext,
    stage: str,
    features: FeatureCache,
    model: StackedEmotionForSequenceClassification,
    checkpoints: Path | None = None,
    left: Remaining | None = None,
) -> tuple[np.ndarray, list[list[dict[str, torch.Tensor]]], list[list[dict[str, Any]]]]:
    """Train the layers on top once a fold, on the other folds' rows, with the first seed.

    Args:
        context: the run.
        stage: meta or head.
        features: of all training rows.
        model: the stack; its layers on top are overwritten.
        checkpoints: a folder of this stage and these settings alone, where finished folds are kept
            for a run that is killed; None keeps none.
        left: the parts of the stage, the folds first, to say how long the rest takes.

    Returns:
        Logits (epochs + 1, training rows, labels) of every row from the run that did not see it,
        epoch 0 being the start; the weights on top by fold and epoch; the trainer's log by fold.
    """
    plan, seed = top_plan(context, stage), context.recipe.stages.head_seeds[0]
    left = left or Remaining([plan.epochs] * context.folds)
    folds, labels = context.fold_of_row, context.splits["train"].labels
    held_out = np.zeros((plan.epochs + 1, *labels.shape), np.float32)
    states: list[list[dict[str, torch.Tensor]]] = []
    logs: list[list[dict[str, Any]]] = []
    for fold in range(context.folds):
        inside = np.flatnonzero(folds == fold)

        def train_fold(
            fold: int = fold, inside: np.ndarray = inside
        ) -> tuple[dict[str, torch.Tensor], list[dict[str, Any]]]:
            announce(f"Stage {stage}: fold {fold + 1} of {context.folds}{left.time_left}.")
            part = f"fold_{fold}"
            start_top(context, model, stage, seed, part)
            keeper = HeldOutLogits(model, features.select(inside), plan.output)
            outside = features.select(np.flatnonzero(folds != fold))
            with left.part(fold):
                log = train_top(
                    context, model, outside, plan, seed, [keeper], part=f"{stage}/{part}"
                )
            return keeper.to_tensors(), log

        if checkpoints is None:
            done, log = train_fold()
        else:
            done, log = kept_tensors(checkpoints / f"fold_{fold}", train_fold)
        held_out[:, inside], by_epoch = HeldOutLogits.from_tensors(done)
        states.append(by_epoch)
        logs.append(log)
    return held_out, states, logs


def start_top(context: RunContext, model: Any, stage: str, seed: int, part: str) -> None:
    """Where a run of the stage begins: from scratch, or from what stage `meta` left."""
    reset_top(model, seed)
    if stage == "head":
        state = read_top(stage_folder(context, "meta") / f"{part}.safetensors")
        learned = {name: value for name, value in state.items() if name.startswith(META_PARTS)}
        load_top(model, top_state(model) | learned)
