"""All settings of a distillation: the options of `distill`, which are also keys of YAML."""

# ruff: noqa: RUF009  (option makes a dataclass field)

from __future__ import annotations

import os
from argparse import Namespace
from dataclasses import dataclass
from typing import Any, Literal

from ...common.command_line import Parser, add_settings, settings_given
from ...common.errors import UserError
from ...common.privacy import refuse_secret_settings
from ...common.settings import (
    build,
    checked,
    flat,
    merged,
    option,
    plain,
    read_yaml,
)
from ...data.arguments import DataArguments
from ..arguments import SEED
from ..recipe import recipe_file
from ..training_sections import Optimization


@dataclass
class DistillationArguments(Optimization):
    """Teacher, student, unlabeled texts and training."""

    model: str = option("", "the teacher: folder of a stack or run, or Hub ID", group="teacher")
    revision: str | None = option(
        None, "commit, tag or branch of the teacher's Hub ID", group="teacher"
    )
    teacher_run: str | None = option(
        None, "run that trained the teacher; default: the folder around --model", group="teacher",
        metavar="DIR",
    )  # fmt: skip
    teacher_dtype: Literal["auto", "float32", "bfloat16"] = option(
        "auto", "precision of the teacher", group="teacher"
    )
    teacher_scores: str | None = option(
        None, "folder of the teacher's scores, which students may share", group="teacher",
        metavar="DIR",
    )  # fmt: skip
    student: str = option("", "Hub ID or folder of a stock encoder", group="student")
    student_revision: str | None = option(
        None, "commit, tag or branch of the student's Hub ID", group="student"
    )
    student_layers: int | None = option(
        None, "keep this many of the encoder's layers, evenly spaced; default: all", group="student"
    )
    output_dir: str = option("outputs/student", "folder of everything it writes", metavar="DIR")
    verify: bool = option(
        False, "read every finished file again before use; else only those up to 64 MB"
    )

    unlabeled_file: str | None = option(
        None, "unlabeled texts: .csv, .tsv, .jsonl, .parquet, or .txt with a text per line",
        group="unlabeled texts", metavar="FILE",
    )  # fmt: skip
    unlabeled_text_column: str | None = option(
        None, "the column of texts of that file", group="unlabeled texts"
    )
    max_unlabeled: int | None = option(
        None, "use only the first unlabeled texts", group="unlabeled texts"
    )
    augmented_copies: int = option(
        0, "altered copies of each training text, without labels", group="unlabeled texts"
    )
    augmented_word_dropout: float = option(
        0.15, "chance that a word of a copy is left out", group="unlabeled texts"
    )
    augmented_mixing: float = option(
        0.5, "share of copies made of halves of two texts", group="unlabeled texts"
    )

    temperature: float = option(1.0, "temperature of the soft labels")
    soft_weight: float = option(0.5, "weight of the soft labels against the hard ones")
    class_weights: Literal["none", "inverse", "sqrt_inverse", "effective_number"] = option(
        "sqrt_inverse", "class weights"
    )
    class_weight_power: float | None = option(
        None, "exponent of the class weights, in place of the one above"
    )
    epochs: float = option(4.0, "epochs of the student over training and unlabeled texts", least=0)
    alone_epochs: float | None = option(
        None, "epochs of the same encoder without a teacher; default: as --epochs", least=0
    )
    alone: bool = option(True, "train the same encoder without a teacher too, for the table")
    learning_rate: float | None = option(
        None, "learning rate of the student's encoder; default 2.5e-5 * (768 / hidden size)^2",
        least=0,
    )  # fmt: skip
    head_factor: float = option(
        10.0, "learning rate of the student's head, as a multiple of it", least=0
    )
    max_length: int = option(128, "sub-words that the student reads per text", least=3)
    bf16: bool = option(False, "train in bf16 mixed precision")
    attn_implementation: str | None = option(
        None, "attention in training; default: eager on CPU, where it is fastest"
    )

    seeds: list[int] = option([0, 1, 2], "seeds of the students; the first is published", **SEED)
    cross_fit: int = option(5, "folds for the student's thresholds, without a teacher's run")
    held_out_folds: int | None = option(None, "hold out only this many folds; default: all")
    thresholds_from: Literal["teacher", "labels"] = option(
        "teacher", "give each label as often as the teacher, or as the labels say"
    )
    threshold_objective: Literal["jaccard", "micro_f1", "macro_f1", "jaccard+macro_f1"] = option(
        "jaccard+macro_f1", "what thresholds maximize"
    )
    fold_thresholds: bool = option(
        False, "shift the student's scores so that 0.5 is each label's threshold"
    )
    fold_seed: int = option(0, "seed of the folds and of the altered copies", **SEED)
    onnx: bool = option(False, "export the student to ONNX too, fp32 and int8")
    logging_steps: int | None = option(
        None, "steps between two log lines; default: a line every half minute", least=1
    )
    save_steps: int = option(200, "steps between two checkpoints", least=1)
    report_to: list[str] = option(["none"], "trackers, such as tensorboard", metavar="NAME")

    def __post_init__(self) -> None:
        for name, what in (("model", "the stack to learn from"), ("student", "an encoder")):
            if not getattr(self, name):
                raise UserError(f"--{name} is missing: give {what}, as a folder or Hub ID.")
        if not self.output_dir:
            raise UserError("--output_dir is empty; give a folder.")
        for name in ("student", "output_dir", "teacher_run", "teacher_scores", "unlabeled_file"):
            if given := getattr(self, name):
                setattr(self, name, os.path.expanduser(given))
        for name in ("soft_weight", "augmented_word_dropout", "augmented_mixing"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise UserError(f"--{name} is {getattr(self, name)}; it must be within 0 and 1.")
        if not self.temperature > 0.0:
            raise UserError(f"--temperature is {self.temperature}; it must be above 0.")
        least = {"augmented_copies": 0, "cross_fit": 2, "held_out_folds": 1, "max_unlabeled": 1,
                 "student_layers": 1}  # fmt: skip
        for name, lowest in least.items():
            value = getattr(self, name)
            if value is not None and value < lowest:
                raise UserError(f"--{name} is {value}; it must be at least {lowest}.")
        self.seeds = list(dict.fromkeys(self.seeds))
        if not self.seeds:
            raise UserError("--seeds is empty; at least one seed is needed.")

    def loss_options(self, with_teacher: bool) -> dict[str, Any]:
        """Options of `DistillationLoss`; without a teacher those of the encoder alone."""
        return {
            "soft_weight": self.soft_weight if with_teacher else 0.0,
            "temperature": self.temperature,
            "class_weights": self.class_weights,
            "class_weight_power": self.class_weight_power,
        }


@dataclass
class Distillation:
    """All settings of a distillation.

    Attributes:
        data: where the labeled texts are.
        options: the rest.
    """

    data: DataArguments = flat(DataArguments, "data")
    options: DistillationArguments = flat(DistillationArguments, "training")

    def to_dict(self) -> dict[str, Any]:
        """Every key and its value, flat."""
        return plain(self)


def add_distillation_options(parser: Parser) -> None:
    """Add every setting of a distillation, and a YAML file of them."""
    parser.usage = "%(prog)s --model STACK --student ENCODER --train_file FILE [options]"
    parser.add_argument("--config", metavar="FILE", help="a YAML file of these options")
    add_settings(parser, Distillation)
    parser.epilog = (
        "Every field of transformers.TrainingArguments is an option too, such as "
        "--gradient_accumulation_steps 4."
    )


def distillation_of(parser: Parser, options: Namespace) -> Distillation:
    """The settings of a parsed command line.

    Raises:
        UserError: a value that does not fit.
    """
    file = recipe_file(options.config) if options.config else None
    below = checked(Distillation, read_yaml(file), f"{file}: ") if file else {}
    values = merged(below, settings_given(parser, options))
    refuse_secret_settings(values)
    return build(Distillation, values)
