"""Stage `encoders`: each encoder fine-tuned on the labels, by folds and on all rows."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PrinterCallback

from ...common.errors import UserError
from ...common.files import fingerprint
from ...common.finished import Finished, finished_in
from ...modeling_stacked_emotion import StackedEmotionForSequenceClassification
from ..arguments import TrainingRecipe
from ..data_collator import EncodedTextCollator, EncodedTexts
from ..parameter_groups import layer_of, parameter_groups, width_scaled_learning_rate
from ..results import used_state
from ..running.checkpoints import newest_checkpoint
from ..running.jobs import Task, run_tasks
from ..running.once import CHECKPOINTS, finished_record, make
from ..running.progress import ProgressReport, has_listener
from ..running.tracking import send_tensorboard_to
from ..trainer import StackedEmotionTrainer
from ..training_arguments import learned_from
from .context import CHECKPOINTING, RunContext, stage_loss
from .lora import add_lora, merge_lora

# Raised when the same settings come to other weights: finished encoders are then trained again.
ENCODER_VERSION = 1
_MODEL_FILES = ("*.safetensors", "config.json")


def run_encoders(context: RunContext) -> dict[str, Any]:
    """Fine-tune every encoder by folds, then on all training rows.

    Returns:
        Seconds and settings by encoder and part (`fold_0` …, `final`).
    """
    stages = context.recipe.stages
    chosen = stages.train_encoders or context.names
    if unknown := sorted(set(chosen) - set(context.names)):
        raise UserError(f"train_encoders names {unknown}, which are not among {context.names}.")
    found: dict[str, Any] = {}
    tasks = []
    parts = encoder_parts(context)
    for index, name in enumerate(context.names):
        for part, rows in parts.items() if name in chosen else ():
            task, folder = f"{name}, {part}", encoder_folder(context.shared, name, part)
            key = encoder_key(context, name, part)
            found[task] = finished_record(folder, key)
            if found[task] is None:
                work = partial(make, folder, key, partial(_fine_tune, context, index, rows))
                message = f"Stage encoders: {task}, {len(rows)} texts."
                size = len(rows) * context.recipe.encoders[name].epochs
                tasks.append(Task(task, work, message, size))
    found |= run_tasks(tasks, stages.jobs, "Stage encoders")
    return {
        name: {part: found[f"{name}, {part}"] for part in parts}
        for name in context.names
        if name in chosen
    }


def encoder_parts(context: RunContext) -> dict[str, np.ndarray]:
    """The training rows of each part: one a fold, and `final` with all."""
    folds = context.fold_of_row
    parts = {}
    if context.recipe.stages.cross_fit:
        parts = {f"fold_{fold}": np.flatnonzero(folds != fold) for fold in range(context.folds)}
    return parts | {"final": np.arange(len(folds))}


def encoder_folder(shared: Path, name: str, part: str) -> Path:
    """Where a fine-tuned encoder is, in the folder of its run."""
    return shared / "encoders" / name / part


def fine_tuned(context: RunContext, name: str, part: str) -> Finished:
    """A fine-tuned encoder that is there and undamaged.

    Raises:
        UserError: the stage has not run, or a file is damaged.
    """
    return finished_in(
        encoder_folder(context.shared, name, part),
        "run the stage encoders first (leave --stage out to run all).",
    )


def fine_tuned_folder(context: RunContext, name: str, part: str) -> Path:
    """The folder of a fine-tuned encoder that is there; see `fine_tuned`."""
    return fine_tuned(context, name, part).folder


def load_fine_tuned(
    context: RunContext, name: str, part: str
) -> StackedEmotionForSequenceClassification:
    """The stack of one encoder that this stage left in a folder.

    Raises:
        UserError: the stage has not run.
    """
    return load_stack_of_one(fine_tuned_folder(context, name, part))


def load_stack_of_one(folder: Path) -> StackedEmotionForSequenceClassification:
    """The model in a folder of this stage, in float32."""
    return StackedEmotionForSequenceClassification.from_pretrained(folder, dtype=torch.float32)


def weights_digest(context: RunContext, name: str, part: str) -> str:
    """Digest of a fine-tuned encoder's weights and configuration."""
    return fine_tuned(context, name, part).digest(*_MODEL_FILES)


def encoder_settings(recipe: TrainingRecipe, name: str) -> dict[str, Any]:
    """What the recipe says of an encoder's fine-tuning, as plain values."""
    given, stages = recipe.encoders[name], recipe.stages
    settings: dict[str, Any] = {
        key: getattr(given, key)
        for key in (
            "source", "revision", "epochs", "learning_rate", "frozen_layers", "head_factor",
            "layer_decay", "batch_size", "weight_decay", "warmup",
        )
    }  # fmt: skip
    settings |= {
        "loss": given.loss.name,
        "loss_options": given.loss.options,
        "dropout": 0.1,
        "bf16": stages.bf16,
        "seed": stages.seed,
    }
    if given.lora_rank:
        settings["lora"] = [given.lora_rank, given.lora_alpha]
    if given.consistency:
        settings["consistency"] = given.consistency
    if learned := learned_from(given):
        settings["training_arguments"] = learned
    return settings


def encoder_key(context: RunContext, name: str, part: str) -> str:
    """Fingerprint of everything a fine-tuned encoder depends on."""
    stages = context.recipe.stages
    folds = [part, stages.cross_fit, stages.seed] if part != "final" else ["final"]
    settings = encoder_settings(context.recipe, name)
    source = [settings.pop("source"), settings.pop("revision")]
    state = context.source_states.get(name) or {}
    return fingerprint(
        ENCODER_VERSION,
        context.data_fingerprint,
        state if any(state.values()) else source,
        settings,
        [context.encoders_in_bf16, stages.fp16, _attention(context)],
        folds,
    )


def _attention(context: RunContext) -> str | None:
    """The attention an encoder is trained with; None for the model's own choice."""
    asked = context.recipe.stages.attn_implementation
    return "eager" if asked is None and not torch.cuda.is_available() else asked


def start_at_prevalence(
    model: StackedEmotionForSequenceClassification, name: str, prevalence: np.ndarray
) -> None:
    """Set the bias of an encoder's head to the log-odds of the labels' prevalence."""
    share = torch.from_numpy(np.clip(prevalence, 1e-4, 1 - 1e-4))
    head = model.get_encoder_head(name)
    with torch.no_grad():
        head.output.bias.copy_(torch.log(share / (1 - share)))


def _fine_tune(context: RunContext, index: int, rows: np.ndarray, folder: Path) -> dict[str, Any]:
    name, recipe = context.names[index], context.recipe
    given, stages = recipe.encoders[name], recipe.stages
    settings = encoder_settings(recipe, name)
    torch.manual_seed(stages.seed)
    state = context.source_states.get(name) or {}
    revision = state.get("commit") or given.revision
    model = StackedEmotionForSequenceClassification.from_encoders(
        {name: given.source},
        labels=context.label_names,
        attn_implementation=_attention(context),
        hub_options={} if revision is None else {"revision": revision},
        use_meta_learner=False,
        use_lstm=False,
        use_classifier=False,
        dropout=settings["dropout"],
    )
    start_at_prevalence(model, name, context.statistics.prevalence)
    width = model.config.encoders[name].hidden_size
    rate = given.learning_rate or width_scaled_learning_rate(width)
    texts: EncodedTexts = context.encoded["train"].select(rows).column(index)
    _freeze(model, name, given.frozen_layers)
    adapted = add_lora(model, name, given.lora_rank, given.lora_alpha) if given.lora_rank else None
    trainer = StackedEmotionTrainer(
        model=model,
        args=context.training_arguments(
            folder / CHECKPOINTS,
            given,
            f"encoders.{name}",
            epochs=given.epochs,
            learning_rate=rate,
            bf16=context.encoders_in_bf16,
            seed=stages.seed,
            **CHECKPOINTING,
        ),
        train_dataset=texts,
        data_collator=EncodedTextCollator(),
        loss=stage_loss(f"encoders.{name}", given, context.statistics),
        consistency_weight=given.consistency,
        optimizer_groups=parameter_groups(
            model,
            {name: rate},
            given.head_factor,
            given.weight_decay,
            given.layer_decay,
        ),
    )
    if has_listener():
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(ProgressReport)
    send_tensorboard_to(trainer, context.shared / "tensorboard/encoders" / name / folder.name)
    trainer.train(resume_from_checkpoint=newest_checkpoint(folder / CHECKPOINTS))
    if adapted is not None:
        merge_lora(adapted)
    model.config._attn_implementation = None
    trainer.save_finished(folder)
    log = [entry for entry in trainer.state.log_history if "loss" in entry]
    return {
        "settings": settings | {"learning_rate": rate},
        "source_state": used_state(settings["source"], state),
        "log": log,
    }


def _freeze(model: StackedEmotionForSequenceClassification, name: str, frozen_layers: int) -> None:
    """Leave only the encoder's upper layers and its head to be trained."""
    model.requires_grad_(False)
    model.get_encoder(name).requires_grad_(True)
    model.get_encoder_head(name).requires_grad_(True)
    if frozen_layers < 0:
        return
    for key, parameter in model.get_encoder(name).named_parameters():
        layer = layer_of(key)
        if layer is None or layer < frozen_layers:
            parameter.requires_grad_(False)
