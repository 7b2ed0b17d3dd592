"""What every stage works on: the data, the tokenizer, the folds and the folders of a run."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from transformers import TrainingArguments

from ...common.errors import UserError
from ...common.files import fingerprint, write_json
from ...common.precision import native_dtype
from ...configuration_stacked_emotion import StackedEmotionConfig
from ...data.label_statistics import LabelStatistics
from ...data.splits import DataSplits, load_splits
from ...inference.auto_classes import register_auto_classes
from ...tokenization_stacked_emotion import StackedEmotionTokenizer
from ..arguments import STAGES, EncoderTraining, MetaTraining, Optimization, TrainingRecipe
from ..choosing.folds import stratified_folds
from ..data_collator import EncodedTexts
from ..losses import EmotionLoss, build_loss
from ..running.progress import announce as announce
from ..running.tracking import check_trackers
from ..training_arguments import training_arguments

_DONE = "done.json"
CHECKPOINTS = "checkpoints"


@dataclass
class RunContext(DataSplits):
    """The data and folders of a run.

    Attributes:
        recipe: all arguments.
        tokenizer: the stack's tokenizer.
        encoded: the encoded texts by split.
    """

    recipe: TrainingRecipe
    tokenizer: StackedEmotionTokenizer
    encoded: dict[str, EncodedTexts] = field(repr=False)

    @classmethod
    def load(cls, recipe: TrainingRecipe) -> RunContext:
        """Read and check the data, and encode it.

        Raises:
            UserError: bad data, settings or encoders, before anything is trained.
        """
        register_auto_classes()  # stages load what they saved through the Auto classes
        check_trackers(recipe.stages.report_to)
        splits = load_splits(recipe.data)
        recipe.sources()
        tokenizers = {name: _tokenizer_of(recipe, name) for name in recipe.encoders}
        with settings_checked("The settings of the stack"):
            tokenizer = merge_tokenizers(tokenizers, recipe)
        encoded = {
            split: EncodedTexts.from_texts(tokenizer, texts.texts, texts.labels)
            for split, texts in splits.items()
        }
        context = cls(splits, recipe, tokenizer, encoded)
        context.check_stages()
        return context

    def check_stages(self) -> None:
        """Build the loss and the `TrainingArguments` of every stage, so that mistakes show now.

        Raises:
            UserError: a value that does not fit, with its section.
        """
        recipe = self.recipe
        with settings_checked("The settings of the stack"):
            StackedEmotionConfig(
                encoders={"any": {"model_type": "bert"}}, **recipe.stack.config_options()
            )
        sections: dict[str, Any] = {f"encoders.{name}": s for name, s in recipe.encoders.items()}
        for where, given in (sections | {"meta": recipe.meta, "head": recipe.head}).items():
            stage_loss(where, given, self.statistics)
        for where, given in (sections | {s: getattr(recipe, s) for s in STAGES[1:]}).items():
            self.training_arguments(
                self.output / "trainer",
                given,
                where,
                epochs=given.epochs,
                learning_rate=given.learning_rate or 0.0,
            )

    @property
    def names(self) -> list[str]:
        """Encoder names in the order of the stack."""
        return self.tokenizer.encoder_names

    @property
    def output(self) -> Path:
        """The folder of the run."""
        return Path(self.recipe.stages.output_dir)

    @property
    def shared(self) -> Path:
        """The folder with the fine-tuned encoders and the features."""
        return Path(self.recipe.stages.encoders_from or self.recipe.stages.output_dir)

    @property
    def encoders_in_bf16(self) -> bool:
        """Whether the encoders are trained in bf16 mixed precision."""
        asked = self.recipe.stages.bf16
        if asked is None:
            asked = native_dtype(PartialState().device) == torch.bfloat16
        return asked and not self.recipe.stages.fp16

    @cached_property
    def fold_of_row(self) -> np.ndarray:
        """(training rows,) fold of each row, label-stratified.

        With `cross_fit: 0` the folds still choose epochs and thresholds of the layers on top.
        """
        stages = self.recipe.stages
        folds = stages.cross_fit or 5
        return stratified_folds(self.splits["train"].labels, folds, stages.seed)

    @property
    def folds(self) -> int:
        """Number of folds."""
        return int(self.fold_of_row.max()) + 1

    @cached_property
    def data_fingerprint(self) -> str:
        """Of the training texts and labels and the tokenizer."""
        states = [backend.to_str() for backend in self.tokenizer.backends.values()]
        settings = {
            "names": self.names,
            "prefixes": self.tokenizer.encoder_prefixes,
            "placeholders": self.tokenizer.placeholders,
            "normalization": self.tokenizer.normalization,
            "max_length": self.tokenizer.model_max_length,
        }
        return fingerprint(self.splits["train"].fingerprint(), settings, *states)

    def training_arguments(
        self,
        folder: Path,
        settings: Optimization,
        where: str,
        *,
        epochs: float,
        learning_rate: float,
        **options: Any,
    ) -> TrainingArguments:
        """Arguments for a `Trainer` of this run; see `training_arguments.training_arguments`."""
        stages = self.recipe.stages
        on_cpu = PartialState().device.type == "cpu"
        return training_arguments(
            folder,
            settings,
            where,
            epochs=epochs,
            learning_rate=learning_rate,
            report_to=stages.report_to,
            **{
                "logging_steps": stages.logging_steps,
                "bf16": bool(stages.bf16) and not on_cpu,
                "fp16": stages.fp16,
            }
            | options,
        )


# What a `Trainer` keeps that can be killed and resumed.
CHECKPOINTING: dict[str, Any] = {"save_strategy": "epoch", "save_total_limit": 2}


@contextmanager
def settings_checked(what: str) -> Iterator[None]:
    """Turn a `ValueError` or `TypeError` about values of the recipe into a `UserError`."""
    try:
        yield
    except UserError:
        raise
    except (ValueError, TypeError) as error:
        raise UserError(f"{what}: {error}") from error


def stage_loss(
    where: str, settings: EncoderTraining | MetaTraining, statistics: LabelStatistics
) -> EmotionLoss:
    """The loss of a stage.

    Args:
        where: the section of the settings, for messages.
        settings: of the stage.
        statistics: label statistics of the training split.

    Raises:
        UserError: a value that the loss refuses.
    """
    with settings_checked(f"{where}.loss"):
        return build_loss(settings.loss.name, statistics, **settings.loss.options)


def _tokenizer_of(recipe: TrainingRecipe, name: str) -> StackedEmotionTokenizer:
    given = recipe.encoders[name]
    try:
        return StackedEmotionTokenizer.from_tokenizers(
            {name: given.source}, revision=given.revision or "main"
        )
    except (OSError, ValueError) as error:
        raise UserError(
            f"encoders.{name}: the tokenizer of {given.source} cannot be loaded: {error}"
        ) from error


def merge_tokenizers(
    parts: dict[str, StackedEmotionTokenizer], recipe: TrainingRecipe
) -> StackedEmotionTokenizer:
    """One tokenizer from tokenizers of one encoder each, with the recipe's settings."""
    stack = recipe.stack
    limit = min([stack.max_length, *(part.model_max_length for part in parts.values())])
    return StackedEmotionTokenizer(
        list(parts),
        {name: part.backends[name] for name, part in parts.items()},
        {name: part.encoder_pad_ids[name] for name, part in parts.items()},
        encoder_prefixes=recipe.prefixes(),
        placeholders=recipe.placeholders(),
        normalization=stack.normalization,
        model_max_length=limit,
    )


def run_once(folder: Path, key: str, work: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """Do a piece of work unless its finished result is there.

    The work gets a folder of its own and returns a JSON-able record; when it is done, the record is
    written last, so that a killed run does it again, from what it finds in the folder. Its
    `checkpoints` are removed after that.

    Args:
        folder: the folder of the result.
        key: fingerprint of everything the result depends on; another key clears the folder.
        work: what to do.

    Returns:
        The record, with `seconds`.
    """
    state = PartialState()
    record = read_record(folder, key)
    state.wait_for_everyone()
    if record is not None:
        if state.is_main_process:
            shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
        return record
    if state.is_main_process:
        started = folder / "started.txt"
        if folder.exists() and not (started.exists() and started.read_text() == key):
            for mark in (folder / _DONE, started):  # first, so that half a folder is not believed
                mark.unlink(missing_ok=True)
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        started.write_text(key)
    state.wait_for_everyone()
    begin = time.monotonic()
    record = work(folder) | {"key": key}
    record["seconds"] = round(time.monotonic() - begin, 2)
    if state.is_main_process:
        write_json(folder / _DONE, record)
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    state.wait_for_everyone()
    return record


def read_record(folder: Path, key: str) -> dict[str, Any] | None:
    """The record of a finished piece of work with that key, or None."""
    try:
        record = json.loads((folder / _DONE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and record.get("key") == key else None
