"""What a distillation can be told on the command line."""

# ruff: noqa: RUF009  (option makes a dataclass field)

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from transformers import HfArgumentParser

from ...common.errors import UserError
from ...data.arguments import DataArguments
from ..choosing.decision_rules import DECISIONS
from ..choosing.thresholds import OBJECTIVES


def option(default: Any, text: str) -> Any:
    """A dataclass field with a help text."""
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata={"help": text})
    return field(default=default, metadata={"help": text})


@dataclass
class DistillationArguments:
    """Teacher, student, unlabeled text and training."""

    model: str = option("", "The teacher: a stack's folder or Hub id.")
    revision: str | None = option(None, "Commit, tag or branch of the teacher's Hub id.")
    teacher_run: str | None = option(
        None,
        "Folder of the run that trained the teacher: its out-of-fold scores are used for the "
        "training texts. Default: the folder around --model, where it is one.",
    )
    teacher_dtype: str = option("auto", "Precision of the teacher: auto, float32 or bfloat16.")
    teacher_scores: str | None = option(
        None, "Where the teacher's scores are kept; several students may share it. Default: "
        "<output_dir>/teacher.",
    )  # fmt: skip
    student: str = option("", "The student's encoder: a Hub id or folder of a stock encoder.")
    student_revision: str | None = option(None, "Commit, tag or branch of the student's Hub id.")
    student_layers: int | None = option(
        None, "Keep so many of the encoder's layers, evenly spaced. Default: all."
    )
    output_dir: str = option("outputs/student", "Where everything of the distillation goes.")
    verify: bool = option(
        False, "Read every finished file again before it is used; else only those up to 64 MB."
    )

    unlabeled_file: str | None = option(
        None, "Texts without labels: .csv, .tsv, .jsonl, .parquet, or .txt with one text a line. "
        "They are streamed.",
    )  # fmt: skip
    unlabeled_text_column: str | None = option(None, "The column of texts of that file.")
    max_unlabeled: int | None = option(None, "Use only the first unlabeled texts.")
    augmented_copies: int = option(
        0,
        "So many altered copies of each training text, without labels; the teacher scores them "
        "out of fold too, where its run has the fold encoders.",
    )
    augmented_word_dropout: float = option(0.15, "Chance that a word of a copy is left out.")
    augmented_mixing: float = option(
        0.5, "Share of the copies that are put together from halves of two training texts."
    )

    temperature: float = option(1.0, "Temperature of the soft labels.")
    soft_weight: float = option(0.5, "Weight of the soft labels against the hard ones.")
    class_weights: str = option(
        "sqrt_inverse", "Of the hard labels: none, inverse, sqrt_inverse, effective_number."
    )
    class_weight_power: float | None = option(None, "Exponent instead of that method's own.")
    epochs: float = option(4.0, "Epochs of the student over training and unlabeled texts.")
    alone_epochs: float | None = option(
        None, "Epochs of the same encoder without a teacher. Default: as --epochs."
    )
    alone: bool = option(True, "Train the same encoder without a teacher too, for the table.")
    learning_rate: float | None = option(
        None, "Of the student's encoder; by default 2.5e-5 * (768 / hidden size)^2."
    )
    head_factor: float = option(10.0, "Learning rate of the student's head over it.")
    batch_size: int = option(32, "Texts a step and device.")
    weight_decay: float = option(0.01, "Weight decay.")
    warmup: float = option(0.1, "Share of the steps.")
    max_length: int = option(128, "Positions the student may use for a text.")
    bf16: bool = option(False, "Train in bf16 mixed precision.")
    attn_implementation: str | None = option(
        None, "Attention in training; by default eager on CPU, where it trains fastest."
    )

    seeds: list[int] = option([0, 1, 2], "One student a seed; the first one is published.")
    cross_fit: int = option(
        5, "Folds for the student's own thresholds; with a teacher's run, its folds are used."
    )
    held_out_folds: int | None = option(
        None, "Hold out only so many of the folds, to save time. Default: all."
    )
    thresholds_from: str = option(
        "teacher", "Where the student's thresholds come from: teacher, so that it gives each label "
        "as often as its teacher; or labels, those of its held-out folds, which the teacher has "
        "seen.",
    )  # fmt: skip
    threshold_objective: str = option(
        "jaccard+macro_f1",
        f"What thresholds chosen on labels maximize: {', '.join(OBJECTIVES)}.",
    )
    fold_thresholds: bool = option(
        False, "Shift the student's scores so that 0.5 is each label's threshold."
    )
    fold_seed: int = option(0, "Seed of the folds and of the altered copies.")
    onnx: bool = option(False, "Export the student to ONNX too, fp32 and int8.")
    logging_steps: int = option(20, "Steps between two log lines.")
    save_steps: int = option(200, "Steps between two checkpoints.")
    report_to: list[str] = option(["none"], "Where the Trainer reports: tensorboard, none, …")

    def __post_init__(self) -> None:
        for name, what in (("model", "the stack to learn from"), ("student", "an encoder")):
            if not getattr(self, name):
                raise UserError(f"--{name} is missing: give {what}, as a folder or Hub id.")
        if not 0.0 <= self.soft_weight <= 1.0:
            raise UserError(f"--soft_weight is {self.soft_weight}; it must lie in [0, 1].")
        if not self.temperature > 0.0:
            raise UserError(f"--temperature is {self.temperature}; it must be above 0.")
        for name in ("augmented_word_dropout", "augmented_mixing"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise UserError(f"--{name} is {getattr(self, name)}; it must lie in [0, 1].")
        if self.augmented_copies < 0:
            raise UserError(f"--augmented_copies is {self.augmented_copies}; give 0 or more.")
        if self.cross_fit < 2:
            raise UserError(f"--cross_fit is {self.cross_fit}; it must be at least 2.")
        for name in ("held_out_folds", "max_unlabeled", "student_layers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"--{name} is {value}; give 1 or more, or leave it out.")
        if not self.seeds:
            raise UserError("--seeds is empty; at least one seed is needed.")
        if self.threshold_objective not in OBJECTIVES:
            raise UserError(
                f"--threshold_objective {self.threshold_objective!r} is unknown; known are "
                f"{', '.join(OBJECTIVES)}."
            )
        if self.thresholds_from not in ("teacher", "labels"):
            raise UserError(
                f"--thresholds_from is {self.thresholds_from!r}; it must be teacher or labels."
            )
        if self.teacher_dtype not in ("auto", "float32", "bfloat16"):
            raise UserError("--teacher_dtype must be auto, float32 or bfloat16.")

    @property
    def decisions(self) -> tuple[str, ...]:
        """Ways of giving labels that are compared beside the thresholds."""
        return DECISIONS

    def loss_options(self, with_teacher: bool) -> dict[str, Any]:
        """Options of `DistillationLoss`.

        Args:
            with_teacher: False for the encoder that is trained alone.
        """
        return {
            "soft_weight": self.soft_weight if with_teacher else 0.0,
            "temperature": self.temperature,
            "class_weights": self.class_weights,
            "class_weight_power": self.class_weight_power,
        }


@dataclass
class Distillation:
    """All arguments of a distillation.

    Attributes:
        data: where the labeled texts are.
        options: the rest.
    """

    data: DataArguments
    options: DistillationArguments

    def to_dict(self) -> dict[str, Any]:
        """Every option and its value, flat."""
        return asdict(self.data) | asdict(self.options)


def parse_distillation(arguments: Sequence[str] | None = None) -> Distillation:
    """Read the command line.

    Args:
        arguments: the words after the program's name; by default those of this process.

    Raises:
        UserError: a value that does not fit.
    """
    parser = HfArgumentParser(
        (DataArguments, DistillationArguments),
        prog="stacked-emotion distill",
        description="Distill a stack into one stock encoder.",
    )
    words = list(sys.argv[1:] if arguments is None else arguments)
    data, options, *_ = parser.parse_args_into_dataclasses(words)
    return Distillation(data, options)
