"""Stage `encoders`: each encoder fine-tuned on related data, by folds and on all rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import torch
from accelerate import PartialState

from ...common.errors import UserError, counted
from ...common.files import fingerprint
from ...common.finished import OTHER_KEY, Finished, Form, finished_in
from ...data.label_statistics import LabelStatistics
from ...data.labeled_texts import DataSplits
from ...modeling_stacked_emotion import StackedEmotionForSequenceClassification
from ..arguments import TrainingRecipe
from ..data_collator import EncodedTextCollator, EncodedTexts
from ..parameter_groups import layer_of, parameter_groups, width_scaled_learning_rate
from ..running.checkpoints import newest_checkpoint
from ..running.jobs import Task, run_tasks
from ..running.once import CHECKPOINTS, finished_record, make
from ..running.progress import show_loss
from ..running.provenance import used_state
from ..running.tracking import send_tensorboard_to
from ..trainer import StackedEmotionTrainer
from ..training_arguments import learned_from
from ..training_sections import EncoderSettings, EncoderTraining, FineTuning
from .context import CHECKPOINTING, RunContext, stage_loss, tokenizer_of_one, tokenizer_state
from .lora import add_lora, merge_lora
from .ngrams import fit_ngrams, new_ngram_encoder
from .probe import fit_probe
from .related_data import RelatedTexts, keeps_head

# Raised when the same settings come to other weights: finished encoders are then trained again.
ENCODER_VERSION = 1
PRETRAINING = "pretraining_"
_DROPOUT = 0.1
_MODEL_FILES = ("*.safetensors", "config.json")
ENCODER_FORM = Form(
    {"settings": {"source": str}, "source_state": dict, "log": [dict]}, _MODEL_FILES
)

_ADVICE = "run the stage encoders first (leave --stage out to run all)."


@dataclass(frozen=True)
class Part:
    """One fine-tuning of an encoder.

    Attributes:
        name: `pretraining_0` … on related data, `fold_0` … and `final` on the run's own.
        where: the section of its settings, for messages.
        given: how it is trained.
        rows: (texts,) the training rows, or all texts of `related`.
        related: the related data; None for the run's own.
        after: the part whose encoder it starts from; None for the source.
        keeps_head: whether it also starts from the head of that part.
        key: fingerprint of everything that its result depends on.
    """

    name: str
    where: str
    given: FineTuning
    rows: np.ndarray
    related: RelatedTexts | None
    after: str | None
    keeps_head: bool
    key: str


def run_encoders(context: RunContext) -> dict[str, Any]:
    """Fine-tune every encoder on related data, by folds, then on all training rows.

    Returns:
        Seconds and settings by encoder and part.
    """
    stages = context.recipe.stages
    chosen = stages.train_encoders or context.names
    if unknown := sorted(set(chosen) - set(context.names)):
        raise UserError(f"train_encoders names {unknown}, which are not among {context.names}.")
    records: dict[str, dict[str, Any]] = {name: {} for name in context.names if name in chosen}
    tasks = []
    for name, found in records.items():
        for part in _parts(context, name):
            folder = encoder_folder(context.shared, name, part.name)
            found[part.name] = finished_record(folder, part.key, ENCODER_FORM)
            if found[part.name] is None:
                tasks.append(
                    Task(
                        f"{name}, {part.name}",
                        partial(make, folder, part.key, partial(_run_part, context, name, part)),
                        f"Stage encoders: {name}, {part.name}, {counted(len(part.rows), 'text')}",
                        len(part.rows) * part.given.epochs,
                        f"{name}, {part.after}" if part.after and not found[part.after] else None,
                    )
                )
    done = run_tasks(tasks, stages.jobs, "Stage encoders")
    return {
        name: {part: record or done[f"{name}, {part}"] for part, record in found.items()}
        for name, found in records.items()
    }


def finished_encoders(context: RunContext) -> dict[str, Any]:
    """What `run_encoders` returned for this recipe, on whatever device; nothing is trained.

    Raises:
        UserError: an encoder is not there, is damaged, or was made from something else.
    """
    advice = _ADVICE
    if given := context.recipe.stages.encoders_from:
        advice = f"train {given} with this recipe, or leave --encoders_from out."
    asked = context.recipe.stages.attn_implementation
    devices = [(bf16, attention) for bf16 in (False, True) for attention in (asked, "eager")]
    records: dict[str, Any] = {}
    for name in context.names:
        records[name] = {}
        for ways in zip(*(_parts(context, name, device) for device in devices), strict=True):
            found = fine_tuned(context, name, ways[0].name)
            if found.key not in [part.key for part in ways]:
                raise UserError(f"{found.folder} {OTHER_KEY}: {advice}")
            records[name][ways[0].name] = found.record
    return records


def _parts(
    context: RunContext, name: str, device: tuple[bool, str | None] | None = None
) -> list[Part]:
    """The parts of an encoder in their order: related data first.

    Args:
        context: the run.
        name: of the encoder.
        device: whether it is trained in bf16, and with which attention; by default as here.
    """
    encoder, steps = context.recipe.encoders[name], context.related.get(name, [])
    stages, where = context.recipe.stages, f"encoders.{name}"
    parts: list[Part] = []
    after, kept = None, False
    before: list[Any] = []
    for place, (step, related) in enumerate(zip(encoder.pretraining, steps, strict=True)):
        key = fingerprint(
            ENCODER_VERSION,
            related.fingerprint(),
            *tokenizer_state(tokenizer_of_one(context.tokenizer, name)),
            *_training_key(context, name, step, device),
            *before,
        )
        part, rows = f"{PRETRAINING}{place}", np.arange(len(related.labels))
        section = f"{where}.pretraining.{place}"
        parts.append(Part(part, section, step, rows, related, after, kept, key))
        following = steps[place + 1] if place + 1 < len(steps) else context
        after, kept = part, keeps_head(step, related.label_names, following.label_names)
        before = [[key, kept]]
    kept = kept and not encoder.probe
    for part, rows in encoder_parts(context).items():
        folds = [part, stages.cross_fit, stages.seed] if part != "final" else ["final"]
        key = fingerprint(
            ENCODER_VERSION,
            context.encoder_fingerprints[name],
            *_training_key(context, name, encoder, device),
            folds,
            *before,
        )
        parts.append(Part(part, where, encoder, rows, None, after, kept, key))
    return parts


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
    return finished_in(encoder_folder(context.shared, name, part), _ADVICE, ENCODER_FORM)


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


def _training_settings(given: FineTuning, recipe: TrainingRecipe) -> dict[str, Any]:
    """What the recipe says of a fine-tuning, as plain values."""
    if is_probed(given):
        return {"probe": given.probe, "probe_c": given.probe_c}
    if is_lexical(given):
        return {key: getattr(given, key) for key in ("ngrams", "ngrams_c", "ngrams_bits")}
    settings: dict[str, Any] = {
        key: getattr(given, key)
        for key in (
            "epochs", "learning_rate", "frozen_layers", "head_factor", "layer_decay", "batch_size",
            "weight_decay", "warmup",
        )
    }  # fmt: skip
    settings |= {
        "loss": given.loss.name,
        "loss_options": given.loss.options,
        "dropout": _DROPOUT,
        "bf16": recipe.stages.bf16,
        "seed": recipe.stages.seed,
    }
    if given.lora_rank:
        settings["lora"] = [given.lora_rank, given.lora_alpha]
    if given.consistency:
        settings["consistency"] = given.consistency
    if learned := learned_from(given):
        settings["training_arguments"] = learned
    return settings


def _training_key(
    context: RunContext, name: str, given: FineTuning, device: tuple[bool, str | None] | None
) -> list[Any]:
    """What a fine-tuned encoder depends on beside its texts: its source and the settings."""
    encoder, state = context.recipe.encoders[name], context.source_states.get(name) or {}
    bf16, attention = device or (context.encoders_in_bf16, _attention(context))
    return [
        state if any(state.values()) else [encoder.source, encoder.revision],
        _training_settings(given, context.recipe),
        [bf16, context.recipe.stages.fp16, attention],
    ]


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


def _texts_of(context: RunContext, name: str, part: Part) -> EncodedTexts:
    """The encoded texts that a part is trained on, as this encoder alone reads them."""
    if part.related is None:
        return context.encoded["train"].select(part.rows).column(context.names.index(name))
    tokenizer = tokenizer_of_one(context.tokenizer, name)
    return EncodedTexts.from_texts(tokenizer, part.related.texts, part.related.labels)


def _start(
    context: RunContext, name: str, part: Part, data: DataSplits | RelatedTexts
) -> StackedEmotionForSequenceClassification:
    """The stack of one encoder that a part trains: its source, or what an earlier part left."""
    encoder, state = context.recipe.encoders[name], context.source_states.get(name) or {}
    revision = state.get("commit") or encoder.revision
    options: dict[str, Any] = {} if revision is None else {"hub_options": {"revision": revision}}
    source: Any = encoder.source
    if is_lexical(encoder):
        backend = context.tokenizer.backends[name]
        source = new_ngram_encoder(backend, len(data.label_names), encoder)
    before = None
    if part.after is not None:
        before = load_fine_tuned(context, name, part.after)
        source = before.get_encoder(name)
        options = {"encoder_heads": before.config.encoder_heads} if part.keeps_head else {}
    build = partial(
        StackedEmotionForSequenceClassification.from_encoders,
        labels=data.label_names,
        attn_implementation=_attention(context),
        use_meta_learner=False,
        use_lstm=False,
        use_classifier=False,
        dropout=_DROPOUT,
    )
    model: Any = build({name: source}, **options)
    if is_probed(part.given):
        head = {"layers": part.given.probe}
        model = build({name: model.get_encoder(name)}, encoder_heads={name: head})
    start_at_prevalence(model, name, data.statistics.prevalence)
    if before is not None and part.keeps_head:
        old = [before.config.label2id[label] for label in data.label_names]
        state_dict = before.get_encoder_head(name).state_dict()
        for key in ("output.weight", "output.bias"):
            state_dict[key] = state_dict[key][old]
        model.get_encoder_head(name).load_state_dict(state_dict)
    return model


def is_probed(given: FineTuning) -> TypeGuard[EncoderTraining]:
    """Whether the encoder gets a linear probe instead of a fine-tuning."""
    return isinstance(given, EncoderTraining) and bool(given.probe)


def is_lexical(given: FineTuning) -> TypeGuard[EncoderSettings]:
    """Whether it is fitted on n-grams instead."""
    return isinstance(given, EncoderSettings) and bool(given.ngrams)


def _run_part(context: RunContext, name: str, part: Part, folder: Path) -> dict[str, Any]:
    """Fine-tune an encoder, or fit its probe or its n-grams, and save it."""
    data, encoder = part.related or context, context.recipe.encoders[name]
    torch.manual_seed(context.recipe.stages.seed)
    model = _start(context, name, part, data)
    texts = _texts_of(context, name, part)
    if is_probed(part.given) or is_lexical(part.given):
        if is_lexical(part.given):
            fit_ngrams(model, name, texts, part.given.ngrams_c)
        else:
            fit_probe(model, name, texts, part.given.probe_c)
        model.config._attn_implementation = None
        if PartialState().is_main_process:
            model.save_pretrained(folder)
        learned: dict[str, Any] = {"log": []}
    else:
        learned = _fine_tune(context, name, part, model, texts, data.statistics, folder)
    settings = {"source": encoder.source, "revision": encoder.revision}
    settings |= _training_settings(part.given, context.recipe) | learned.pop("settings", {})
    state = used_state(encoder.source, context.source_states.get(name) or {})
    record = {"settings": settings, "source_state": state} | learned
    return record | ({} if part.related is None else {"data": part.related.record()})


def _fine_tune(
    context: RunContext,
    name: str,
    part: Part,
    model: StackedEmotionForSequenceClassification,
    texts: EncodedTexts,
    statistics: LabelStatistics,
    folder: Path,
) -> dict[str, Any]:
    given, stages = part.given, context.recipe.stages
    width = model.config.encoders[name].hidden_size
    rate = given.learning_rate or width_scaled_learning_rate(width)
    _freeze(model, name, given.frozen_layers)
    adapted = add_lora(model, name, given.lora_rank, given.lora_alpha) if given.lora_rank else None
    trainer = StackedEmotionTrainer(
        model=model,
        args=context.training_arguments(
            folder / CHECKPOINTS,
            given,
            part.where,
            epochs=given.epochs,
            learning_rate=rate,
            bf16=context.encoders_in_bf16,
            seed=stages.seed,
            **CHECKPOINTING,
        ),
        train_dataset=texts,
        data_collator=EncodedTextCollator(),
        loss=stage_loss(part.where, given, statistics),
        consistency_weight=given.consistency,
        optimizer_groups=parameter_groups(
            model,
            {name: rate},
            given.head_factor,
            given.weight_decay,
            given.layer_decay,
        ),
    )
    show_loss(trainer, given, stages.logging_steps)
    send_tensorboard_to(trainer, context.shared / "tensorboard/encoders" / name / folder.name)
    trainer.train(resume_from_checkpoint=newest_checkpoint(folder / CHECKPOINTS))
    if adapted is not None:
        merge_lora(adapted)
    model.config._attn_implementation = None
    trainer.save_finished(folder)
    log = [entry for entry in trainer.state.log_history if "loss" in entry]
    return {"log": log, "settings": {"learning_rate": rate}}


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
