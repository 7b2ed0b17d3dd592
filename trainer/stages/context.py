"""What every stage works on: the data, the tokenizer, the folds and the folders of a run."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from transformers import TrainingArguments

from ...common.files import fingerprint
from ...common.precision import native_dtype
from ...data.splits import DataSplits, load_splits
from ...tokenization_stacked_emotion import StackedEmotionTokenizer
from ..arguments import TrainingRecipe
from ..choosing.folds import stratified_folds
from ..data_collator import EncodedTexts
from ..results import source_state
from ..running.progress import announce as announce
from ..running.tracking import check_trackers


@dataclass
class RunContext(DataSplits):
    """The data and folders of a run.

    Attributes:
        recipe: all arguments.
        tokenizer: the stack's tokenizer.
        encoded: the encoded texts by split.
        source_states: what each encoder's source holds, see `source_state`; empty where no encoder
            is trained.
    """

    recipe: TrainingRecipe
    tokenizer: StackedEmotionTokenizer
    encoded: dict[str, EncodedTexts] = field(repr=False)
    source_states: dict[str, dict[str, Any]] = field(repr=False, default_factory=dict)

    @classmethod
    def load(cls, recipe: TrainingRecipe) -> RunContext:
        """Read and check the data, and encode it."""
        check_trackers(recipe.stages.report_to)
        splits = load_splits(recipe.data)
        announce(f"The data:\n{DataSplits(splits).report}")
        stack = recipe.stack
        revisions = dict(text.partition("=")[::2] for text in stack.encoder_revisions)
        tokenizers, states = {}, {}
        for name, source in stack.sources().items():
            states[name] = source_state(source, revisions.get(name))
            revision = states[name].get("commit") or revisions.get(name, "main")
            part = StackedEmotionTokenizer.from_tokenizers({name: source}, revision=revision)
            tokenizers[name] = part
        tokenizer = merge_tokenizers(tokenizers, recipe)
        encoded = {
            split: EncodedTexts.from_texts(tokenizer, texts.texts, texts.labels)
            for split, texts in splits.items()
        }
        return cls(splits, recipe, tokenizer, encoded, states)

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

    def training_arguments(self, folder: Path, **options: Any) -> TrainingArguments:
        """Arguments for a `Trainer` of this run, quiet unless the recipe asks for more."""
        stages = self.recipe.stages
        warmup = options.pop("warmup_share", 0.0)
        if options.pop("gradient_checkpointing", False):
            known = {entry.name for entry in fields(TrainingArguments)}
            new, old = "activation_checkpointing", "gradient_checkpointing"
            options[new if new in known else old] = True
        report_to = [] if stages.report_to == ["none"] else stages.report_to
        on_cpu = PartialState().device.type == "cpu"
        bf16 = options.pop("bf16", bool(stages.bf16) and not on_cpu)
        return TrainingArguments(
            output_dir=str(folder),
            lr_scheduler_type="linear",
            warmup_steps=warmup,
            logging_steps=stages.logging_steps,
            report_to=report_to or "none",
            use_cpu=on_cpu,
            bf16=bf16,
            fp16=stages.fp16,
            train_sampling_strategy="group_by_length",
            remove_unused_columns=False,
            label_names=["labels"],
            dataloader_pin_memory=torch.cuda.is_available(),
            **options,
        )

    def checkpointing(self) -> dict[str, Any]:
        """Arguments of a `Trainer` that can be killed and resumed."""
        steps = self.recipe.stages.checkpoint_steps
        every = {"save_strategy": "steps", "save_steps": steps}
        return (every if steps else {"save_strategy": "epoch"}) | {"save_total_limit": 2}


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
        encoder_prefixes=stack.prefixes(),
        placeholders=stack.placeholders(),
        normalization=stack.normalization,
        model_max_length=limit,
    )
