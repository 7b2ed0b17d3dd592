"""All settings of a training run: the keys of a recipe and the options of `train`.

A recipe is a YAML file. `encoders:` names the encoders, each with its own settings, and
`encoder_defaults:` holds what is the same for all of them; `meta:`, `head:` and `joint:` hold the
settings of the other stages. Each of these sections also takes any field of
`transformers.TrainingArguments`. Everything else stands at the top level. The path of a key is its
option: `--encoders.marbert.epochs 7`.
"""

# ruff: noqa: RUF009  (option makes a dataclass field)

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ..common.errors import UserError, did_you_mean
from ..common.settings import (
    Whole,
    build,
    checked,
    flat,
    hidden,
    merged,
    nested,
    option,
    plain,
)
from ..data.arguments import DataArguments
from .training_sections import (
    PARTS,
    DataCredit,
    EncoderSettings,
    EncoderTraining,
    HeadTraining,
    JointTraining,
    MetaTraining,
    RelatedData,
)

SEED = {"least": 0, "most": 2**32 - 1}
"""The range of a seed, as numpy takes it."""
STAGES = ("encoders", "meta", "head", "joint")
LANGUAGE_CODE = re.compile(r"[a-z]{2,3}|multilingual")
_E5 = re.compile(r"(^|[-_/])e5([-_]|$)")


@dataclass
class StackArguments:
    """How texts are read, and the layers on top of the encoders."""

    normalization: list[str] = option([], "what to normalize: diacritics, tatweel, elongation")
    max_length: int = option(128, "sub-words that an encoder reads per text", least=1)
    stacking_level: str = option("word", "word or sentence", metavar="word|sentence")
    use_meta_learner: bool = option(True, "learn which encoders to trust; else all count the same")
    use_lstm: bool = option(True, "run the Bi-LSTM; otherwise pool the stacked words")
    ensemble_start: bool = option(True, "start as the average of the encoders")
    meta_hidden_size: int = option(64, "width of the meta-learner")
    lstm_hidden_size: int = option(64, "width of each direction of the Bi-LSTM")
    classifier_hidden_size: int = option(64, "width of the classifier's hidden layer")
    contrastive_dim: int = option(64, "width of the projection for the contrastive loss", least=0)
    dropout: float = option(0.3, "dropout of the layers on top of the encoders")
    encoder_dropout: float = option(0.1, "chance that an encoder is left out in training")
    word_dropout: float = option(0.1, "chance that a word is left out in training")

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
        1, "folds of encoders trained at a time, each in a one-thread process", least=1
    )
    seed: int = option(0, "seed of the folds and of the encoders", **SEED)
    encoder_seeds: list[int] = option(
        [], "repeat the whole training, once per seed of folds and encoders", **SEED
    )
    head_seeds: list[int] = option(
        [0, 1, 2], "seeds of the layers on top, trained once each; the first is kept", **SEED
    )
    cross_fit: int = option(5, "folds; 0: train on features of texts that the encoders have seen")
    probe_gap_limit: float = option(
        0.1, "stack only logits if the probe gap of the folds (macro AP) is larger", least=0
    )
    trust_factor: float = option(
        50.0, "learning rate of the trust in encoders, as a multiple of the stage's", least=0
    )
    threshold_objective: str = option(
        "jaccard+macro_f1",
        "what thresholds maximize: jaccard, micro_f1, macro_f1; default: jaccard+macro_f1",
    )
    decisions: list[str] = option(
        ["global", "shrunk", "expected_jaccard"],
        "decision rules to try; default: all (global, shrunk, expected_jaccard)", metavar="RULE",
    )  # fmt: skip
    min_labels: int = option(
        1, "fewest labels that expected_jaccard gives a text: 1 or 0", least=0, most=1
    )
    abstain: float | None = option(
        None, "give labels only to this share of texts, the surest, such as 0.9; default: all",
        above=0, most=1,
    )  # fmt: skip
    gain_in_errors: float = option(
        1.0, "keep what a stage trains if it gains this many standard errors"
    )
    adaptive_agreement: float = option(
        0.99, "label agreement that adaptive prediction keeps with the full stack",
        above=0, most=1,
    )  # fmt: skip
    logging_steps: int | None = option(
        None, "steps between two log lines; default: a line every half minute", least=1
    )
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
        if not self.output_dir:
            raise UserError("output_dir is empty; give a folder.")
        self.output_dir = os.path.expanduser(self.output_dir)
        if self.encoders_from:
            self.encoders_from = os.path.expanduser(self.encoders_from)
        if self.cross_fit == 1 or self.cross_fit < 0:
            raise UserError(f"cross_fit is {self.cross_fit}; it must be 0 or at least 2.")
        if self.abstain is not None and (not self.cross_fit or "joint" in self.stage):
            raise UserError(
                "abstain needs predictions of texts that no part has seen: set cross_fit to 2 or "
                "more, and leave out stage joint."
            )
        if self.encoder_seeds:
            if self.encoders_from:
                raise UserError("encoder_seeds trains encoders anew: leave out encoders_from.")
            self.encoder_seeds = list(dict.fromkeys(self.encoder_seeds))
            self.seed = self.encoder_seeds[0]
        self.head_seeds = list(dict.fromkeys(self.head_seeds))
        if not self.head_seeds:
            raise UserError("head_seeds is empty; at least one seed is needed.")


@dataclass
class Description:
    """What the model card and the app say of texts and labels; training does not read it.

    Raises:
        UserError: a language that is not an ISO 639 code.
    """

    language: list[str] | str = option(
        [], "ISO 639 codes of the texts, such as ar or en", metavar="CODE"
    )
    label_definitions: dict[str, str] = option({}, "what each label means, as a YAML mapping")
    examples: dict[str, str] = option(
        {}, "invented texts for card and app, by caption, as a YAML mapping"
    )

    def __post_init__(self) -> None:
        if isinstance(self.language, str):
            self.language = [self.language]
        for code in self.language:
            if not LANGUAGE_CODE.fullmatch(code):
                raise UserError(f"language: {code!r} is not an ISO 639 code such as ar, en, es.")


CREDIT = tuple(entry.name for entry in fields(DataCredit))
"""The keys of `DataCredit`."""
DESCRIBED = (*(entry.name for entry in fields(Description)), *CREDIT)
"""All keys that only the card and the app read."""


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
        description: what card and app say of texts and labels.
        credit: what they say of the data's authors.
        source: the recipe file, if there is one.

    Raises:
        UserError: `joint.frozen_parts` names a part that no such stack has.
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
    description: Description = flat(Description, "model card and app")
    credit: DataCredit = flat(DataCredit, "model card and app")
    source: str | None = hidden(None)

    def __post_init__(self) -> None:
        parts = [*self.encoders, *PARTS]
        for name in self.joint.frozen_parts if self.encoders else ():
            if name not in parts:
                raise UserError(
                    f"joint.frozen_parts: there is no part {name!r}{did_you_mean(name, parts)}; "
                    f"there are {', '.join(parts)}."
                )

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
