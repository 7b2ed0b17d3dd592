"""All settings of a training run: the keys of a recipe and the options of `train`.

A recipe is a YAML file. `encoders:` names the encoders, each with its own settings, and
`encoder_defaults:` holds what is the same for all of them; `meta:`, `head:` and `joint:` hold the
settings of the other stages. Each of these sections also takes any field of
`transformers.TrainingArguments`. Everything else stands at the top level. The path of a key is its
option: `--encoders.marbert.epochs 7`.
"""

# ruff: noqa: RUF009  (option makes a dataclass field)

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any, ClassVar

from ..common.errors import UserError, did_you_mean
from ..common.settings import (
    Whole,
    build,
    checked,
    extras,
    flat,
    hidden,
    merged,
    nested,
    option,
    plain,
)
from ..data.arguments import DataArguments

STAGES = ("encoders", "meta", "head", "joint")
_E5 = re.compile(r"(^|[-_/])e5([-_]|$)")


@dataclass
class LossSettings:
    """A loss by its name, and its own options.

    Raises:
        UserError: an unknown loss or option.
    """

    shorthand: ClassVar[str] = "name"
    name: str = option("weighted_bce", "bce, weighted_bce, focal, asymmetric, lca or hybrid")
    options: dict[str, Any] = option({}, "options of the loss, such as correlation_weight")

    def __post_init__(self) -> None:
        from .losses import LOSSES, loss_options

        if self.name not in LOSSES:
            near = did_you_mean(self.name, LOSSES)
            raise UserError(f"Unknown loss {self.name!r}{near}; known are {', '.join(LOSSES)}.")
        known = loss_options(self.name)
        for name in self.options:
            if name not in known:
                raise UserError(
                    f"The loss {self.name!r} has no option {name!r}{did_you_mean(name, known)}; it "
                    f"has {', '.join(known) or 'none'}."
                )


def _loss(name: str, **options: Any) -> Any:
    text = "loss by name: bce, weighted_bce, focal, asymmetric, lca, hybrid"
    return field(default_factory=lambda: LossSettings(name, options), metadata={"help": text})


@dataclass
class Optimization:
    """How something is trained. Any further key is a field of `transformers.TrainingArguments`."""

    aliases: ClassVar[dict[str, str]] = {
        "num_train_epochs": "epochs",
        "per_device_train_batch_size": "batch_size",
        "warmup_steps": "warmup",
    }
    epochs: float = option(5.0, "epochs")
    learning_rate: float | None = option(
        None, "learning rate of the encoder; default 2.5e-5 * (768 / hidden size)^2"
    )
    batch_size: int = option(32, "texts per step and device")
    weight_decay: float = option(0.01, "weight decay of matrices")
    warmup: float = option(0.1, "warm-up steps, or below 1 their share of all steps")
    training_arguments: dict[str, Any] = extras()

    @classmethod
    def extra_types(cls) -> dict[str, Any]:
        """Fields of `TrainingArguments` and their types; a text says why one cannot be set."""
        from .training_arguments import field_types

        return field_types()


@dataclass
class FineTuning(Optimization):
    """How an encoder is fine-tuned on some labeled texts."""

    head_factor: float = option(
        10.0, "learning rate of the encoder's head, as a multiple of the encoder's"
    )
    layer_decay: float = option(
        1.0, "learning rate of a layer, as a multiple of that of the layer above"
    )
    frozen_layers: int = option(
        -1, "layers that are not trained, from the embeddings up; -1 freezes nothing"
    )
    lora_rank: int = option(0, "train LoRA adapters of this rank instead (peft); 0 for none")
    lora_alpha: float = option(16.0, "scale of the LoRA adapters")
    consistency: float = option(
        0.0, "weight of R-Drop, the agreement of two passes with different dropout"
    )
    loss: LossSettings = _loss("weighted_bce")

    def __post_init__(self) -> None:
        if self.lora_rank < 0:
            raise UserError(f"lora_rank is {self.lora_rank}; it must be at least 0.")


@dataclass
class RelatedFiles(DataArguments):
    """Labeled texts that are only trained on: as `DataArguments`, without held-out splits."""

    train_file: Any = option(None, "a file of labeled texts, or a list of such files")
    validation_file: str | None = hidden(None)
    test_file: str | None = hidden(None)
    validation_split: str = hidden("validation")
    test_split: str = hidden("test")
    max_validation_samples: int | None = hidden(None)
    drop_leaked: bool = hidden(False)
    validation_fraction: float | None = hidden(None)

    def __post_init__(self) -> None:
        given = self.train_file if isinstance(self.train_file, list) else [self.train_file]
        if not (given and all(isinstance(file, (str, PathLike)) for file in given)):
            if given != [None]:
                raise UserError("train_file must be a path or a list of paths.")
            if not self.dataset_name:
                raise UserError("there are no texts; give train_file or dataset_name.")
        super().__post_init__()


@dataclass
class RelatedData(FineTuning):
    """Labeled texts that an encoder is fine-tuned on before the run's own, and how.

    What it does not say of the training, it takes from the encoder, except for the epochs.
    """

    shorthand: ClassVar[str] = "train_file"
    epochs: float = option(3.0, "epochs")
    data: RelatedFiles = flat(RelatedFiles, "data")
    strip_accents: bool = option(False, "read é as e and ñ as n, for a vocabulary without accents")
    keep_head: bool = option(True, "keep the head if the data that follow have the same labels")


@dataclass
class EncoderTraining(FineTuning):
    """How an encoder is fine-tuned, first on related data."""

    pretraining: list[RelatedData] = option(
        [], "related labeled texts to fine-tune on first, in steps"
    )
    frozen: bool = option(False, "do not train the encoder; fit a linear probe on hidden layers")
    probe_layers: list[int] = option(
        [], "layers that the probe reads, 0 for the embeddings; default: the middle and the last"
    )
    probe_strength: float = option(0.01, "C of the probe's logistic regression")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.probe_layers and not self.frozen:
            raise UserError("probe_layers needs frozen: true.")
        if not self.probe_strength > 0:
            raise UserError(f"probe_strength is {self.probe_strength}; it must be above 0.")


@dataclass
class EncoderSettings(EncoderTraining):
    """An encoder: where it comes from, how it reads a text, and how it is fine-tuned."""

    shorthand: ClassVar[str] = "source"
    source: str = option("", "Hub ID or folder")
    revision: str | None = option(None, "commit, tag or branch of the Hub ID")
    prefix: str | None = option(
        None, "text put before every text; e5 models get 'query: ' by default"
    )
    user_placeholder: str | None = option(None, "replaces user names for this encoder")
    link_placeholder: str | None = option(None, "replaces links for this encoder")


@dataclass
class MetaTraining(Optimization):
    """How stage `meta` trains the meta-learner."""

    epochs: int = option(3, "epochs at most; the best one is kept")
    learning_rate: float = option(1e-3, "learning rate")
    loss: LossSettings = _loss("weighted_bce")

    @classmethod
    def extra_types(cls) -> dict[str, Any]:
        """As in other stages, but for what would change the number of epochs."""
        from .training_arguments import field_types

        return field_types() | {
            name: "this stage keeps every epoch by itself"
            for name in field_types()
            if name.startswith("save_") or name == "max_steps"
        }


@dataclass
class HeadTraining(MetaTraining):
    """How stage `head` trains the Bi-LSTM and the classifier."""

    epochs: int = option(4, "epochs at most; the best one is kept")
    learning_rate: float = option(5e-4, "learning rate")
    loss: LossSettings = _loss("hybrid")


@dataclass
class JointTraining(Optimization):
    """How stage `joint` trains the whole stack; its loss is that of stage `head`."""

    epochs: float = option(1.0, "epochs")
    learning_rate: float = option(5e-6, "learning rate of the encoders")
    head_factor: float = option(20.0, "learning rate of the other parts, as a multiple of it")
    layer_decay: float = option(
        1.0, "learning rate of a layer, as a multiple of that of the layer above"
    )
    frozen_parts: list[str] = option(
        [], "not trained: encoder names, encoders, heads, stack_norm, meta_learner, lstm, …"
    )


@dataclass
class StackArguments:
    """How texts are read, and the layers on top of the encoders."""

    normalization: list[str] = option([], "what to normalize: diacritics, tatweel, elongation")
    max_length: int = option(128, "sub-words that an encoder reads per text")
    stacking_level: str = option("word", "word or sentence", metavar="word|sentence")
    use_meta_learner: bool = option(True, "learn the gates; otherwise encoders count the same")
    use_lstm: bool = option(True, "run the Bi-LSTM; otherwise pool the stacked words")
    ensemble_start: bool = option(True, "start as the average of the encoders")
    meta_hidden_size: int = option(64, "width of the meta-learner")
    lstm_hidden_size: int = option(64, "width of each direction of the Bi-LSTM")
    classifier_hidden_size: int = option(64, "width of the classifier's hidden layer")
    contrastive_dim: int = option(64, "width of the projection for the contrastive loss")
    dropout: float = option(0.3, "dropout of the layers on top of the encoders")
    encoder_dropout: float = option(0.1, "chance that an encoder is left out of a text")
    word_dropout: float = option(0.1, "chance that a word is left out")

    def config_options(self) -> dict[str, Any]:
        """Fields of `StackedEmotionConfig`."""
        reading = ("normalization", "max_length")
        return {name: value for name, value in vars(self).items() if name not in reading}


@dataclass
class StageArguments:
    """What the stages share."""

    output_dir: str = option("outputs/run", "folder of everything the run writes", metavar="DIR")
    encoders_from: str | None = option(
        None, "take fine-tuned encoders and features from this run", metavar="DIR"
    )
    stage: list[str] = option(
        ["encoders", "meta", "head"], "stages to run: encoders, meta, head, joint", metavar="STAGE"
    )
    verify: bool = option(
        False, "read every finished file again before use; else only those up to 64 MB"
    )
    train_encoders: list[str] = option(
        [], "fine-tune only these, so that machines can share the work", metavar="NAME"
    )
    jobs: int = option(
        1, "encoder parts trained at a time, each in a process of its own with one thread"
    )
    seed: int = option(0, "seed of the folds and of the encoders")
    head_seeds: list[int] = option(
        [0, 1, 2], "seeds of the layers on top, one training each; the first is published"
    )
    cross_fit: int = option(
        5, "folds of cross-fitting; 0: features of texts that the encoders have seen"
    )
    probe_gap_limit: float = option(
        0.1, "stack only logits if the folds' features differ by more macro AP"
    )
    trust_factor: float = option(
        50.0, "learning rate of the trust, as a multiple of that of meta and head"
    )
    threshold_objective: str = option(
        "jaccard+macro_f1",
        "what thresholds maximize: jaccard, micro_f1, macro_f1, jaccard+macro_f1",
    )
    decisions: list[str] = option(
        ["global", "shrunk", "expected_jaccard"],
        "decision rules to choose from: global, shrunk, expected_jaccard", metavar="RULE",
    )  # fmt: skip
    gain_in_errors: float = option(
        0.0, "standard errors by which an epoch must beat the start; 0 takes the best epoch"
    )
    logging_steps: int = option(20, "steps between two log lines")
    report_to: list[str] = option(["none"], "trackers, such as tensorboard", metavar="NAME")
    bf16: bool | None = option(
        None, "bf16 mixed precision for encoders; default: where the device has it"
    )
    fp16: bool = option(False, "fp16 mixed precision (GPU)")
    attn_implementation: str | None = option(
        None, "attention of the encoders; default: eager on CPU, where it is fastest"
    )

    def __post_init__(self) -> None:
        from .choosing.decision_rules import DECISIONS
        from .choosing.thresholds import OBJECTIVES

        for name, known in (
            ("stage", STAGES), ("decisions", DECISIONS), ("threshold_objective", OBJECTIVES),
        ):  # fmt: skip
            given = getattr(self, name)
            for value in [given] if isinstance(given, str) else given:
                if value not in known:
                    near = did_you_mean(value, known)
                    raise UserError(f"{name}: {value!r} is not known{near}; known are "
                                    f"{', '.join(known)}.")  # fmt: skip
            if not given:
                raise UserError(f"{name} is empty; known are {', '.join(known)}.")
        if self.cross_fit == 1 or self.cross_fit < 0:
            raise UserError(f"cross_fit is {self.cross_fit}; it must be 0 or at least 2.")
        if self.jobs < 1:
            raise UserError(f"jobs is {self.jobs}; it must be at least 1.")
        if not self.head_seeds:
            raise UserError("head_seeds is empty; at least one seed is needed.")


@dataclass
class TrainingRecipe:
    """All settings of a run.

    Attributes:
        data: where the labeled texts are.
        encoders: the encoders by name, in the order of the stack.
        pretraining: related data for each encoder that names none.
        encoder_defaults: what an encoder does not say itself.
        meta: stage `meta`.
        head: stage `head`.
        joint: stage `joint`.
        stack: the layers on top.
        stages: what the stages share.
        source: the recipe file, if there is one.
    """

    data: DataArguments = flat(DataArguments, "data")
    encoders: dict[str, EncoderSettings] = field(
        default_factory=dict,
        metadata={"help": "the encoders, in the order of the stack", "group": "encoders",
                  "metavar": "NAME=SOURCE"},
    )  # fmt: skip
    stages: StageArguments = flat(StageArguments, "run")
    pretraining: list[RelatedData] = option(
        [], "related labeled texts to fine-tune the encoders on first, one file per step",
        metavar="FILE", group="encoders",
    )  # fmt: skip
    encoder_defaults: EncoderTraining = option(
        EncoderTraining, "stage encoders (one encoder: --encoders.NAME.epochs …)"
    )
    meta: MetaTraining = option(MetaTraining, "stage meta")
    head: HeadTraining = option(HeadTraining, "stage head")
    joint: JointTraining = option(JointTraining, "stage joint")
    stack: StackArguments = flat(StackArguments, "texts and layers on top")
    source: str | None = hidden(None)

    def sources(self) -> dict[str, str]:
        """Encoder name to Hub ID or folder, in the order of the stack.

        Raises:
            UserError: there are no encoders.
        """
        if not self.encoders:
            raise UserError(
                "No encoders are given: name them in the recipe (encoders:) or with "
                "--encoders NAME=HUB_ID_OR_FOLDER …"
            )
        return {name: settings.source for name, settings in self.encoders.items()}

    def prefixes(self) -> dict[str, str]:
        """Prefix by encoder name."""
        known = {
            name: "query: " if _E5.search(Path(source).name.lower()) else ""
            for name, source in self.sources().items()
        }
        given = {k: v.prefix for k, v in self.encoders.items() if v.prefix is not None}
        return {name: text for name, text in (known | given).items() if text}

    def placeholders(self) -> dict[str, dict[str, str]]:
        """Placeholders by encoder name and kind."""
        table = {
            name: {"user": settings.user_placeholder, "link": settings.link_placeholder}
            for name, settings in self.encoders.items()
        }
        kept = {
            k: {kind: v for kind, v in row.items() if v is not None} for k, row in table.items()
        }
        return {name: row for name, row in kept.items() if row}

    def to_dict(self) -> dict[str, Any]:
        """Every key and its value, as in a recipe."""
        return plain(self)

    def changed(self, by_path: Mapping[str, Any]) -> TrainingRecipe:
        """The recipe with other values.

        Args:
            by_path: values by paths such as `head.learning_rate` and `dropout`; a section is
                replaced as a whole.
        """
        values = nested({k: Whole(v) if isinstance(v, dict) else v for k, v in by_path.items()})
        recipe = build(TrainingRecipe, merged(plain(self), checked(TrainingRecipe, values)))
        return replace(recipe, source=self.source)
