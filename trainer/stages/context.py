"""What every stage works on: the data, the tokenizer, the folds and the folders of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from transformers import TrainingArguments

from ...common.errors import UserError, did_you_mean, quoted
from ...common.files import fingerprint
from ...configuration_stacked_emotion import StackedEmotionConfig
from ...data.arguments import DataArguments
from ...data.label_statistics import LabelStatistics
from ...data.labeled_texts import DataSplits, load_splits
from ...data.tables import Table
from ...inference.auto_classes import register_auto_classes
from ...inference.backends.precision import native_dtype
from ...tokenization_stacked_emotion import StackedEmotionTokenizer
from ..arguments import STAGES, TrainingRecipe
from ..choosing.folds import stratified_folds
from ..data_collator import EncodedTexts
from ..encoder_checks import check_attention, check_encoders, refuse_problems
from ..losses import EmotionLoss, build_loss
from ..running.progress import announce as announce
from ..running.progress import announce_device
from ..running.provenance import keyed_state, source_state
from ..running.tracking import check_trackers
from ..training_arguments import LOGGING_STEPS, training_arguments
from ..training_sections import FineTuning, MetaTraining, Optimization
from .ngrams import ngram_tokenizer
from .related_data import RelatedTexts, load_related, report_related


@dataclass
class RunContext(DataSplits):
    """The data and folders of a run.

    Attributes:
        recipe: all arguments.
        tokenizer: the stack's tokenizer.
        encoded: the encoded texts by split.
        source_states: what each encoder's source holds, see `source_state`; empty where no encoder
            is trained.
        related: the related data that each encoder is fine-tuned on first.
    """

    recipe: TrainingRecipe
    tokenizer: StackedEmotionTokenizer
    encoded: dict[str, EncodedTexts] = field(repr=False)
    source_states: dict[str, dict[str, Any]] = field(repr=False, default_factory=dict)
    related: dict[str, list[RelatedTexts]] = field(repr=False, default_factory=dict)

    @classmethod
    def load(cls, recipe: TrainingRecipe, tables: Mapping[str, Table] | None = None) -> RunContext:
        """Read and check the data, and encode it.

        Args:
            recipe: all arguments.
            tables: tables by option, such as `train_file`, to read in place of its files.

        Raises:
            UserError: bad data, settings or encoders, before anything is trained.
        """
        jobs, ranks = recipe.stages.jobs, PartialState().num_processes
        if jobs > 1 and ranks > 1:
            raise UserError(
                f"--jobs {jobs} is for one process, but {ranks} were launched, which share each "
                "part already: leave out --jobs or --num_processes."
            )
        register_auto_classes()  # stages load what they saved through the Auto classes
        check_trackers(recipe.stages.report_to)
        check_attention(recipe.stages.attn_implementation)
        given: dict[str, Any] = dict(tables or {})
        splits = load_splits(replace(recipe.data, **given))
        announce(f"The data:\n{DataSplits(splits).report}")
        labels = splits["train"].label_names
        for name in sorted({*recipe.description.label_definitions} - {*labels}):
            announce(f"label_definitions: there is no label {name!r}{did_you_mean(name, labels)}.")
        if len(splits) == 1:
            announce(_nothing_held_out(recipe.data))
        related = load_related(recipe, splits)
        names = list(recipe.sources())
        sources = {name: source for name, source in recipe.sources().items() if source}
        states = {
            name: source_state(source, recipe.encoders[name].revision)
            for name, source in sources.items()
        }
        commits = {name: states[name].get("commit") for name in states}
        revisions = {name: commit for name, commit in commits.items() if commit}
        checks = check_encoders(
            sources,
            revisions,
            splits["train"].texts,
            recipe.stack.max_length,
            torch.bfloat16 if encoders_in_bf16(recipe) else torch.float32,
        )
        said = {check.name: check.to_text() for check in checks}
        said = {name: said.get(name, f"{name}: a lexical encoder") for name in names}
        refuse_problems(checks)
        announce("The encoders:\n" + "\n".join(f"  {text}" for text in said.values()))
        for check in checks:
            layers = recipe.encoders[check.name].probe
            if len(set(layers)) < len(layers) or set(layers) - {*range((check.layers or 0) + 1)}:
                raise UserError(
                    f"encoders.{check.name}.probe is {layers}; they must be different "
                    f"layers from 0 to {check.layers}."
                )
        states = {name: keyed_state(sources[name], state) for name, state in states.items()}
        most = recipe.stack.max_length
        tokenizers = {
            name: _tokenizer_of(recipe, name, revisions.get(name))
            if name in sources
            else ngram_tokenizer(name, splits["train"].texts, most)
            for name in names
        }
        limit = min([most, *(check.max_length for check in checks if check.max_length)])
        with settings_checked("The settings of the stack"):
            tokenizer = merge_tokenizers(tokenizers, recipe, limit)
        report_related(recipe, related, tokenizer.backends, splits["train"].label_names)
        encoded = {
            split: EncodedTexts.from_texts(tokenizer, texts.texts, texts.labels)
            for split, texts in splits.items()
        }
        context = cls(splits, recipe, tokenizer, encoded, states, related)
        context.check_stages()
        context.check_folds()
        announce_device(context.encoders_in_bf16)
        return context

    def check_folds(self) -> None:
        """Make the folds, and note and say which labels a fold lacks.

        Raises:
            UserError: there are fewer texts than folds.
        """
        with settings_checked("stages.cross_fit"):
            folds = self.fold_of_row
        inventory = self.splits["train"].inventory
        if inventory is None:
            return
        inventory.count_folds(self.splits["train"].labels, folds)
        for fold, names in inventory.folds_without_positives.items():
            announce(f"{fold} has no positive text for {quoted(names)}.")

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
        for name, related in self.related.items():
            for place, texts in enumerate(related):
                where = f"encoders.{name}.pretraining.{place}"
                sections[where] = recipe.encoders[name].pretraining[place]
                stage_loss(where, sections[where], texts.statistics)
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
        return encoders_in_bf16(self.recipe)

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
        train = self.splits["train"].fingerprint()
        return fingerprint(train, *tokenizer_state(self.tokenizer))

    @cached_property
    def encoder_fingerprints(self) -> dict[str, str]:
        """Of the training texts and labels as each encoder alone reads them."""
        train = self.encoded["train"]
        return {
            name: fingerprint(
                self.splits["train"].label_names,
                self.tokenizer.backends[name].to_str(),
                train.column(index).fingerprint(),
            )
            for index, name in enumerate(self.names)
        }

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
                "logging_steps": stages.logging_steps or LOGGING_STEPS,
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
    where: str, settings: FineTuning | MetaTraining, statistics: LabelStatistics
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


def encoders_in_bf16(recipe: TrainingRecipe) -> bool:
    """Whether a recipe trains the encoders in bf16 mixed precision on this device."""
    asked = recipe.stages.bf16
    if asked is None:
        asked = native_dtype(PartialState().device) == torch.bfloat16
    return asked and not recipe.stages.fp16


def _nothing_held_out(data: DataArguments) -> str:
    """What a run without validation and test texts is warned of."""
    unread = ""
    if data.train_file and data.dataset_name:
        unread = f" --train_file takes the place of the whole data set {data.dataset_name}."
    return (
        f"Warning: there are no validation or test texts, so nothing is scored.{unread} Give "
        "--validation_file or --test_file, or hold out training texts by --validation_fraction "
        "0.1."
    )


def _tokenizer_of(recipe: TrainingRecipe, name: str, commit: str | None) -> StackedEmotionTokenizer:
    given = recipe.encoders[name]
    try:
        return StackedEmotionTokenizer.from_tokenizers(
            {name: given.source}, revision=commit or given.revision or "main"
        )
    except (OSError, ValueError) as error:
        raise UserError(
            f"encoders.{name}: the tokenizer of {given.source} cannot be loaded: {error}"
        ) from error


def merge_tokenizers(
    parts: dict[str, StackedEmotionTokenizer], recipe: TrainingRecipe, max_length: int
) -> StackedEmotionTokenizer:
    """One tokenizer from tokenizers of one encoder each, with the recipe's settings.

    Args:
        parts: tokenizer by encoder name.
        recipe: prefixes, placeholders and normalization.
        max_length: positions a text may use; lowered to what every tokenizer takes.
    """
    stack = recipe.stack
    limit = min([max_length, *(part.model_max_length for part in parts.values())])
    return StackedEmotionTokenizer(
        list(parts),
        {name: part.backends[name] for name, part in parts.items()},
        {name: part.encoder_pad_ids[name] for name, part in parts.items()},
        encoder_prefixes=recipe.prefixes(),
        placeholders=recipe.placeholders(),
        normalization=stack.normalization,
        model_max_length=limit,
    )


def tokenizer_of_one(whole: StackedEmotionTokenizer, name: str) -> StackedEmotionTokenizer:
    """The part of a stack's tokenizer that belongs to one encoder."""
    return StackedEmotionTokenizer(
        [name],
        {name: whole.backends[name]},
        {name: whole.encoder_pad_ids[name]},
        encoder_prefixes={k: v for k, v in whole.encoder_prefixes.items() if k == name},
        placeholders={k: v for k, v in whole.placeholders.items() if k == name},
        normalization=whole.normalization,
        model_max_length=whole.model_max_length,
    )


def tokenizer_state(tokenizer: StackedEmotionTokenizer) -> list[Any]:
    """Everything that the encoding of a text depends on, for fingerprints."""
    settings = {
        "names": tokenizer.encoder_names,
        "prefixes": tokenizer.encoder_prefixes,
        "placeholders": tokenizer.placeholders,
        "normalization": tokenizer.normalization,
        "max_length": tokenizer.model_max_length,
    }
    return [settings, *(backend.to_str() for backend in tokenizer.backends.values())]
