"""The one place where `transformers.TrainingArguments` are built."""

from __future__ import annotations

from dataclasses import fields
from enum import EnumMeta
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

import torch
from accelerate import PartialState
from transformers import TrainingArguments

from ..common.errors import UserError, check_numbers
from .training_sections import Optimization

_OF_THE_RUN = "the run sets it"
_SEED = "set the run's own seeds instead"
_NO_EVALUATION = "the stages evaluate by themselves"
_RESERVED = {
    "output_dir": _OF_THE_RUN,
    "do_train": _OF_THE_RUN,
    "do_eval": _NO_EVALUATION,
    "do_predict": _NO_EVALUATION,
    "load_best_model_at_end": _NO_EVALUATION,
    "metric_for_best_model": _NO_EVALUATION,
    "greater_is_better": _NO_EVALUATION,
    "batch_eval_metrics": _NO_EVALUATION,
    "remove_unused_columns": _OF_THE_RUN,
    "label_names": "it would not name your labels here; the run sets it",
    "resume_from_checkpoint": "a run resumes by itself",
    "local_rank": "the launcher sets it",
    "seed": _SEED,
    "use_cpu": _OF_THE_RUN,
    "push_to_hub": "publish the finished run instead",
    "label_smoothing_factor": "the losses of this package do not smooth labels",
}
LOGGING_STEPS = 20
"""Steps between two entries in the history of a training, unless the user sets it."""
# Fields that change what is logged and saved, but not what is learned.
_NOT_LEARNED = ("logging_", "log_", "save_", "report_to", "run_name", "disable_tqdm", "dataloader_",
                "project", "trackio_", "skip_memory", "include_num", "ddp_timeout")  # fmt: skip
_CHECKPOINTING = ("activation_checkpointing", "gradient_checkpointing")


@cache
def field_types() -> dict[str, Any]:
    """Every field that a recipe may pass on and its type; of the others, why not, as a text."""
    hints = get_type_hints(TrainingArguments)
    types: dict[str, Any] = {}
    for entry in fields(TrainingArguments):
        name = entry.name
        enums: list[Any] = [one for one in get_args(hints[name]) if isinstance(one, EnumMeta)]
        words = tuple(member.value for enum in enums for member in enum)
        types[name] = Literal[words] if words else hints[name]
        if name.startswith("eval_"):
            types[name] = _NO_EVALUATION
        elif name.startswith("hub_"):
            types[name] = _RESERVED["push_to_hub"]
    types |= dict.fromkeys(_CHECKPOINTING, bool)
    return types | _RESERVED


def learned_from(settings: Optimization) -> dict[str, Any]:
    """The passed-on fields that a result depends on, for its fingerprint."""
    given = settings.training_arguments
    return {name: value for name, value in given.items() if not name.startswith(_NOT_LEARNED)}


def training_arguments(
    folder: Path,
    settings: Optimization,
    where: str,
    *,
    epochs: float,
    learning_rate: float,
    report_to: list[str],
    **options: Any,
) -> TrainingArguments:
    """Arguments for a `Trainer`: linear schedule, batches of texts of like length.

    The settings have batch size, decay, warm-up and passed-on fields, which win over all defaults.

    Raises:
        UserError: a passed-on field has a value that `TrainingArguments` refuses; the message names
            the section, `where`.
    """
    on_cpu = PartialState().device.type == "cpu"
    known = {entry.name for entry in fields(TrainingArguments)}
    given = dict(settings.training_arguments)
    new, old = _CHECKPOINTING if _CHECKPOINTING[0] in known else _CHECKPOINTING[::-1]
    if old in given:
        given[new] = given.pop(old)
    try:
        check_numbers(given, {"gradient_accumulation_steps": {"least": 1}})
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
    if "save_steps" in given:
        given.setdefault("save_strategy", "steps")
    defaults = {
        "lr_scheduler_type": "linear",
        "report_to": "none" if report_to == ["none"] else report_to,
        "train_sampling_strategy": "group_by_length",
        "dataloader_pin_memory": torch.cuda.is_available(),
    }
    try:
        return TrainingArguments(
            **defaults | {
                "output_dir": str(folder),
                "num_train_epochs": epochs,
                "learning_rate": learning_rate,
                "per_device_train_batch_size": settings.batch_size,
                "weight_decay": settings.weight_decay,
                "warmup_steps": settings.warmup,
                "use_cpu": on_cpu,
                "remove_unused_columns": False,
                "label_names": ["labels"],
            } | options | given
        )  # fmt: skip
    except (ValueError, TypeError, ImportError) as error:
        if not given:
            raise
        raise UserError(f"{where}: TrainingArguments refuses these settings: {error}") from error
