"""How encoders and stages are trained: sections of a recipe.

Each takes any field of `transformers.TrainingArguments` beside its own keys.
"""

# ruff: noqa: RUF009  (option makes a dataclass field)

from __future__ import annotations

from dataclasses import dataclass, field
from os import PathLike
from typing import Any, ClassVar

from ..common.errors import UserError, check_numbers, did_you_mean
from ..common.settings import extras, flat, hidden, option
from ..data.arguments import DataArguments


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
            number = isinstance(self.options[name], int | float)
            if isinstance(known[name], float) and not number:
                raise UserError(
                    f"The option {name} is {self.options[name]!r}; it must be a number."
                )
        check_numbers(self.options, {})


def _loss(name: str, **options: Any) -> Any:
    about = {"help": "bce, weighted_bce, focal, asymmetric, lca or hybrid", "default": name}
    return field(default_factory=lambda: LossSettings(name, options), metadata=about)


@dataclass
class Optimization:
    """How something is trained. Any further key is a field of `transformers.TrainingArguments`."""

    aliases: ClassVar[dict[str, str]] = {
        "num_train_epochs": "epochs",
        "per_device_train_batch_size": "batch_size",
        "warmup_steps": "warmup",
    }
    epochs: float = option(5.0, "passes over the training texts", least=0)
    learning_rate: float | None = option(
        None, "learning rate of the encoder; default 2.5e-5 * (768 / hidden size)^2", least=0
    )
    batch_size: int = option(32, "texts per step and device", least=1)
    weight_decay: float = option(0.01, "weight decay of matrices", least=0)
    warmup: float = option(0.1, "warm-up steps, or below 1 their share of all steps", least=0)
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
        10.0, "learning rate of its head, as a multiple of the encoder's", least=0
    )
    layer_decay: float = option(
        1.0, "learning rate of a layer, as a multiple of that of the layer above", least=0
    )
    frozen_layers: int = option(
        -1, "lowest layers not to train; 0: the embeddings alone; -1: train all", least=-1
    )
    lora_rank: int = option(
        0, "train LoRA adapters of this rank instead (peft); 0 for none", least=0
    )
    lora_alpha: float = option(16.0, "scale of the LoRA adapters", above=0)
    consistency: float = option(
        0.0, "weight of R-Drop, the agreement of two passes; 0 for none", least=0
    )
    loss: LossSettings = _loss("weighted_bce")


@dataclass
class DataCredit:
    """Who made labeled texts and on what terms; for the model card and the app."""

    data_name: str | None = option(None, "what the data is called, or its Hub ID; gets the credit")
    data_license: str | None = option(None, "license or terms of the data, such as cc-by-4.0")
    data_citation: str | None = option(None, "BibTeX or a sentence that credits its authors")


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
    epochs: float = option(3.0, "passes over these texts", least=0)
    data: RelatedFiles = flat(RelatedFiles, "data")
    credit: DataCredit = flat(DataCredit, "model card and app")
    strip_accents: bool = option(False, "read é as e and ñ as n, for a vocabulary without accents")
    keep_head: bool = option(True, "keep the head if the data that follow have the same labels")


@dataclass
class EncoderTraining(FineTuning):
    """How an encoder is fine-tuned, first on related data."""

    pretraining: list[RelatedData] = option(
        [], "related labeled texts to fine-tune on first, in steps"
    )
    probe: list[int] = option(
        [], "hidden layers of a linear probe, fitted in place of fine-tuning, such as 6 12"
    )
    probe_c: float = option(
        0.003, "C of the probe's logistic regression, as in scikit-learn", above=0
    )


@dataclass
class EncoderSettings(EncoderTraining):
    """An encoder: where it comes from, how it reads a text, and how it is fine-tuned."""

    shorthand: ClassVar[str] = "source"
    source: str = option("", "Hub ID or folder; none for a lexical encoder")
    ngrams: list[int] = option(
        [], "shortest and longest character n-gram of a lexical encoder, such as 2 5"
    )
    ngrams_c: float = option(3.0, "C of its logistic regression, as in scikit-learn", above=0)
    ngrams_bits: int = option(
        17, "its table of n-grams has 2^ngrams_bits rows, at most 2^18", least=8, most=18
    )
    revision: str | None = option(None, "commit, tag or branch of the Hub ID")
    prefix: str | None = option(
        None, "text put before every text; e5 models get 'query: ' by default"
    )
    user_placeholder: str | None = option(None, "replaces user names for this encoder")
    link_placeholder: str | None = option(None, "replaces links for this encoder")

    def __post_init__(self) -> None:
        lengths = self.ngrams
        if lengths and not (len(lengths) == 2 and 1 <= lengths[0] <= lengths[1] <= 16):
            raise UserError(
                f"ngrams is {lengths}; it must be the shortest and the longest, from 1 to 16."
            )
        if lengths and (self.source or self.revision or self.probe or self.pretraining):
            raise UserError(
                "a lexical encoder (ngrams) takes no source, revision, probe or pretraining."
            )


@dataclass
class MetaTraining(Optimization):
    """How stage `meta` trains the meta-learner."""

    epochs: int = option(3, "epochs at most; the best one is kept", least=0)
    learning_rate: float = option(1e-3, "learning rate", least=0)
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

    epochs: int = option(4, "epochs at most; the best one is kept", least=0)
    learning_rate: float = option(5e-4, "learning rate", least=0)
    loss: LossSettings = _loss("hybrid")


PARTS = ("encoders", "heads", "stack_norm", "meta_learner", "lstm", "pooling", "projection",
         "classifier")  # fmt: skip
"""Parts of a stack by their names in `frozen_parts`; so is every encoder's own name."""


@dataclass
class JointTraining(Optimization):
    """How stage `joint` trains the whole stack; its loss is that of stage `head`."""

    epochs: float = option(1.0, "passes over the training texts", least=0)
    learning_rate: float = option(5e-6, "learning rate of the encoders", least=0)
    head_factor: float = option(
        20.0, "learning rate of the other parts, as a multiple of it", least=0
    )
    layer_decay: float = option(
        1.0, "learning rate of a layer, as a multiple of that of the layer above", least=0
    )
    frozen_parts: list[str] = option(
        [], "parts that are not trained, such as an encoder's name, heads or lstm", metavar="NAME"
    )
