"""What a training run can be told: a recipe's keys and the command line's options."""

# ruff: noqa: RUF009  (_option makes a dataclass field)

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml
from transformers import HfArgumentParser

from ..common.errors import UserError, did_you_mean
from ..data.arguments import DataArguments
from ..recipes import RECIPES
from .choosing.decision_rules import DECISIONS
from .choosing.thresholds import OBJECTIVES
from .losses import LOSSES, loss_options

STAGES = ("encoders", "meta", "head", "joint")
_E5 = re.compile(r"(^|[-_/])e5([-_]|$)")


def _option(default: Any, text: str) -> Any:
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata={"help": text})
    return field(default=default, metadata={"help": text})


@dataclass
class StackArguments:
    """The encoders, how they read a text, and the layers on top of them."""

    encoders: list[str] = _option(
        [], "The encoders as name=Hub id or folder; their order is the order of the stack."
    )
    encoder_revisions: list[str] = _option([], "name=commit of an encoder's repository.")
    encoder_prefixes: list[str] = _option(
        [], "name=text put before every text. e5 models get 'query: ' by themselves."
    )
    user_placeholders: list[str] = _option([], "name=what an encoder reads for a user name.")
    link_placeholders: list[str] = _option([], "name=what an encoder reads for a link.")
    normalization: list[str] = _option([], "Any of diacritics, tatweel, elongation.")
    max_length: int = _option(128, "Positions an encoder may use for a text.")
    stacking_level: str = _option("word", "word, or sentence for the comparison.")
    use_meta_learner: bool = _option(True, "Learn the gates; else every encoder counts the same.")
    use_lstm: bool = _option(True, "Run the Bi-LSTM; else pool the stacked words.")
    ensemble_start: bool = _option(True, "Start as the average of the encoders.")
    meta_hidden_size: int = _option(64, "Width of the meta-learner.")
    lstm_hidden_size: int = _option(64, "Width of each direction of the Bi-LSTM.")
    classifier_hidden_size: int = _option(64, "Width of the classifier's hidden layer.")
    contrastive_dim: int = _option(64, "Width of the projection the contrastive part sees.")
    dropout: float = _option(0.3, "Dropout of the layers on top of the encoders.")
    encoder_dropout: float = _option(0.1, "Chance that an encoder is left out of a text.")
    word_dropout: float = _option(0.1, "Chance that a word is left out.")

    def sources(self) -> dict[str, str]:
        """Encoder name to Hub id or folder, in the order of the stack.

        Raises:
            UserError: no encoders, or one not given as name=source.
        """
        if not self.encoders:
            raise UserError(
                "No encoders are given: name them in the recipe (encoders:) or by "
                "--encoders name=Hub-id-or-folder …"
            )
        return pairs("encoders", self.encoders)

    def prefixes(self) -> dict[str, str]:
        """Prefix by encoder name; those of encoders that were replaced are left out."""
        sources = self.sources()
        given = pairs("encoder_prefixes", self.encoder_prefixes)
        known = {
            name: "query: "
            for name, source in sources.items()
            if _E5.search(Path(source).name.lower())
        }
        return {name: text for name, text in (known | given).items() if name in sources}

    def placeholders(self) -> dict[str, dict[str, str]]:
        """Placeholders by encoder name and kind."""
        kinds = {"user": self.user_placeholders, "link": self.link_placeholders}
        table: dict[str, dict[str, str]] = {}
        for kind, given in kinds.items():
            for name, text in pairs(f"{kind}_placeholders", given).items():
                if name in self.sources():
                    table.setdefault(name, {})[kind] = text
        return table

    def config_options(self) -> dict[str, Any]:
        """Fields of `StackedEmotionConfig`."""
        names = (
            "stacking_level use_meta_learner use_lstm ensemble_start meta_hidden_size "
            "lstm_hidden_size classifier_hidden_size contrastive_dim dropout encoder_dropout "
            "word_dropout"
        )
        return {name: getattr(self, name) for name in names.split()}


@dataclass
class StageArguments:
    """What the stages do. Lengths are in epochs, the schedules are linear with warm-up."""

    output_dir: str = _option("outputs/run", "Where everything of the run goes.")
    encoders_from: str | None = _option(
        None, "Take fine-tuned encoders and features from this run's folder (ablations share them)."
    )
    stage: list[str] = _option([], "Only these stages: encoders, meta, head, joint.")
    joint: bool = _option(False, "Run the joint stage after head.")
    verify: bool = _option(
        False, "Read every finished file again before it is used; else only those up to 64 MB."
    )
    seed: int = _option(0, "Seed of the folds and of the encoders.")
    head_seeds: list[int] = _option(
        [0, 1, 2], "One meta-learner and head are trained a seed; the first one is published."
    )
    cross_fit: int = _option(
        5, "Folds whose encoders did not see a row make its features; 0 for in-sample features."
    )
    probe_gap_limit: float = _option(
        0.1,
        "If a linear probe on the features of the other folds loses more macro AP than this "
        "against the folds' own heads, only logits are stacked.",
    )
    threshold_objective: str = _option(
        "jaccard+macro_f1", f"What thresholds maximize: {OBJECTIVES}."
    )
    decisions: list[str] = _option(
        list(DECISIONS),
        f"Ways of giving labels to choose from, out of fold: {', '.join(DECISIONS)}.",
    )
    gain_in_errors: float = _option(
        0.0,
        "What stages meta and head learned is kept only if it gains more than so many standard "
        "errors over where they began, out of fold; 0 takes the best epoch, the start included.",
    )
    logging_steps: int = _option(20, "Steps between two log lines.")
    report_to: list[str] = _option(["none"], "Where the Trainer reports: tensorboard, none, …")
    bf16: bool | None = _option(
        None,
        "Train the encoders in bf16 mixed precision; by default where the device computes in it.",
    )
    fp16: bool = _option(False, "Train in fp16 mixed precision (GPU).")
    gradient_checkpointing: bool = _option(
        False, "Trade time for memory in stages encoders, joint."
    )
    checkpoint_steps: int = _option(
        0, "Steps between two checkpoints, stages encoders and joint; 0 for one an epoch."
    )
    attn_implementation: str | None = _option(
        None, "Attention of the encoders; by default eager on CPU, where it trains fastest."
    )

    encoder_epochs: float = _option(5.0, "Epochs of stage encoders.")
    encoder_epochs_by_name: list[str] = _option([], "name=epochs where one encoder differs.")
    encoder_learning_rate: float | None = _option(
        None, "Of the encoders; by default 2.5e-5 * (768 / hidden size)^2."
    )
    encoder_learning_rates: list[str] = _option([], "name=learning rate where one differs.")
    encoder_frozen_layers: list[str] = _option(
        [], "name=layers that stay as they are, from the embeddings up; -1 freezes nothing."
    )
    encoder_lora_rank: int = _option(
        0, "Train LoRA adapters of this rank (peft) instead of the encoders' weights; 0 for none."
    )
    encoder_lora_alpha: float = _option(16.0, "Scale of the adapters over their rank.")
    encoder_consistency: float = _option(
        0.0, "Weight of the agreement of two passes with other dropout (R-Drop), stage encoders."
    )
    encoder_consistency_by_name: list[str] = _option(
        [], "name=weight where one encoder differs; costs a second pass."
    )
    train_encoders: list[str] = _option(
        [], "Stage encoders trains only these, so that several machines can share the work."
    )
    encoder_head_factor: float = _option(10.0, "Learning rate of an encoder's head over its own.")
    encoder_layer_decay: float = _option(1.0, "Learning rate of a layer over the one above it.")
    encoder_batch_size: int = _option(32, "Texts a step and device, stage encoders.")
    encoder_weight_decay: float = _option(0.01, "Stage encoders.")
    encoder_warmup: float = _option(0.1, "Share of the steps, stage encoders.")
    encoder_loss: str = _option("weighted_bce", f"Loss of stage encoders: {', '.join(LOSSES)}.")
    encoder_loss_options: list[str] = _option([], "option=value of that loss.")

    meta_epochs: int = _option(3, "Most epochs of stage meta.")
    meta_learning_rate: float = _option(1e-3, "Stage meta.")
    meta_loss: str = _option("weighted_bce", "Loss of stage meta.")
    meta_loss_options: list[str] = _option([], "option=value of that loss.")
    head_epochs: int = _option(4, "Most epochs of stage head; 0 is a candidate.")
    head_learning_rate: float = _option(5e-4, "Stage head.")
    trust_factor: float = _option(
        50.0,
        "Learning rate of the trust per encoder and label over that of the other layers on top.",
    )
    top_batch_size: int = _option(32, "Texts a step and device, stages meta and head.")
    top_weight_decay: float = _option(0.01, "Stages meta and head.")
    top_warmup: float = _option(0.1, "Share of the steps, stages meta and head.")
    loss: str = _option("hybrid", f"Loss of stages head and joint: {', '.join(LOSSES)}.")
    loss_options: list[str] = _option([], "option=value of that loss, e.g. correlation_weight=0.5.")

    joint_epochs: float = _option(1.0, "Epochs of stage joint.")
    joint_learning_rate: float = _option(5e-6, "Of the encoders in stage joint.")
    joint_head_factor: float = _option(20.0, "Learning rate of the other parts over it.")
    joint_frozen_parts: list[str] = _option(
        [],
        "What stage joint leaves as it is: encoder names, encoders, heads, stack_norm, "
        "meta_learner, lstm, pooling, projection, classifier.",
    )

    def __post_init__(self) -> None:
        for stage in self.stage:
            if stage not in STAGES:
                raise UserError(f"Unknown stage {stage!r}; the stages are {', '.join(STAGES)}.")
        for option, name in (
            ("encoder_loss", self.encoder_loss),
            ("meta_loss", self.meta_loss),
            ("loss", self.loss),
        ):
            if name not in LOSSES:
                raise UserError(f"{option}: unknown loss {name!r}; known are {', '.join(LOSSES)}.")
        if self.cross_fit == 1 or self.cross_fit < 0:
            raise UserError(f"cross_fit is {self.cross_fit}; it must be 0 or at least 2.")
        for option in ("checkpoint_steps", "encoder_lora_rank"):
            if getattr(self, option) < 0:
                raise UserError(f"{option} is {getattr(self, option)}; it must be at least 0.")
        if not self.head_seeds:
            raise UserError("head_seeds is empty; at least one seed is needed.")
        if unknown := sorted(set(self.decisions) - set(DECISIONS)) or not self.decisions:
            raise UserError(f"decisions: {unknown} is unknown; known are {', '.join(DECISIONS)}.")
        if self.threshold_objective not in OBJECTIVES:
            raise UserError(
                f"threshold_objective {self.threshold_objective!r} is unknown; known are "
                f"{', '.join(OBJECTIVES)}."
            )

    def options_of(self, stage: str) -> dict[str, Any]:
        """The options of a stage's loss, with their types.

        Args:
            stage: "encoder", "meta" or "head".
        """
        given = self.loss_options if stage == "head" else getattr(self, f"{stage}_loss_options")
        name = self.loss if stage == "head" else getattr(self, f"{stage}_loss")
        known = loss_options(name)
        typed = {}
        for key, text in pairs("loss_options", given).items():
            if key not in known:
                raise UserError(
                    f"The loss {name!r} has no option {key!r}; it has {', '.join(known)}."
                )
            try:
                typed[key] = json.loads(text)
            except ValueError:
                typed[key] = text
        return typed


@dataclass
class TrainingRecipe:
    """All arguments of a run, and the recipe file they began with, if any."""

    data: DataArguments
    stack: StackArguments
    stages: StageArguments
    source: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Every option and its value, flat."""
        return asdict(self.data) | asdict(self.stack) | asdict(self.stages)


def pairs(option: str, values: Sequence[str]) -> dict[str, str]:
    """`name=value` texts as a dict.

    Raises:
        UserError: a text without `=`, or a name twice.
    """
    table: dict[str, str] = {}
    for text in values:
        name, sign, value = str(text).partition("=")
        if not sign:
            raise UserError(f"{option}: {text!r} must have the form name=value.")
        if name in table:
            raise UserError(f"{option}: {name!r} is given twice.")
        table[name] = value
    return table


def recipe_file(path: str | Path) -> Path:
    """The file of a recipe.

    Args:
        path: a YAML file, or the name of a recipe of the package (`semeval2018_arabic`).

    Raises:
        UserError: neither is there.
    """
    file = Path(path)
    if file.is_file():
        return file
    inside = RECIPES / f"{file.name.removesuffix('.yaml')}.yaml"
    if not inside.exists():
        known = ", ".join(sorted(entry.stem for entry in RECIPES.glob("*.yaml")))
        raise UserError(f"There is no recipe {path}; those of the package are {known}.")
    return inside


def read_recipe(path: str | Path) -> dict[str, Any]:
    """The options a recipe sets; mappings become lists of `name=value`.

    Args:
        path: a YAML file, or the name of a recipe of the package (`semeval2018_arabic`).

    Raises:
        UserError: no such file, not YAML, or an unknown key, with the nearest known one.
    """
    file = recipe_file(path)
    try:
        recipe = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise UserError(f"The recipe {file} is not valid YAML: {error}") from error
    if not isinstance(recipe, Mapping):
        raise UserError(f"The recipe {file} must hold key: value lines.")
    known_keys = [
        entry.name
        for kind in (DataArguments, StackArguments, StageArguments)
        for entry in fields(kind)
    ]
    settings: dict[str, Any] = {}
    for key, value in recipe.items():
        if key not in known_keys:
            raise UserError(
                f"The recipe {file} has an unknown key {key!r}.{did_you_mean(str(key), known_keys)}"
            )
        if isinstance(value, Mapping):
            value = [
                f"{name}={entry if isinstance(entry, str) else json.dumps(entry)}"
                for name, entry in value.items()
            ]
        settings[str(key)] = value
    return settings


def parse_recipe(arguments: Sequence[str] | None = None) -> TrainingRecipe:
    """Read `--config recipe.yaml` and the command line, which wins.

    Args:
        arguments: the command line without the program; by default that of this process.

    Raises:
        UserError: see `read_recipe`, and values that do not fit.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    kinds = (DataArguments, StackArguments, StageArguments)
    parser = HfArgumentParser(kinds, description="Train a stack of encoders.")
    parser.add_argument(
        "--config", help="A recipe: a YAML file, or the name of one of the package."
    )
    config, _ = parser.parse_known_args([word for word in words if word not in ("-h", "--help")])
    if config.config:
        settings = read_recipe(config.config)
        parser.set_defaults(**settings)
    data, stack, stages, *_ = parser.parse_args_into_dataclasses(words)
    source = str(recipe_file(config.config)) if config.config else None
    return TrainingRecipe(data, stack, stages, source)
