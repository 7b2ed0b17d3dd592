"""The parts of a distillation: students by folds and seeds, each done once."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState
from safetensors.numpy import load_file, save_file
from transformers import PreTrainedTokenizerBase
from transformers.utils import logging

from ...common.errors import counted
from ...common.files import fingerprint
from ...common.finished import NUMBER, Form
from ...data.labeled_texts import DataSplits, load_splits
from ...inference.auto_classes import register_auto_classes
from ..encoder_checks import check_attention
from ..running.once import run_once
from ..running.progress import announce, announce_device
from ..running.provenance import keyed_state, source_state, used_state
from ..running.tracking import check_trackers
from ..training_arguments import learned_from
from .arguments import Distillation, DistillationArguments
from .student import check_student, student_tokenizer
from .teacher import Teacher
from .teacher_scores import TeacherScores, score_all
from .training import StudentPlan, StudentRows, student_logits, train_student

logger = logging.get_logger(__name__)

STUDENT = "student"
ALONE = "alone"
# Raised when the same settings come to other weights: finished students are then trained again.
STUDENT_VERSION = 1
STUDENT_FORM = Form(
    {"texts": int, "losses": [NUMBER], "source": str, "source_state": dict}, ("*.safetensors",)
)
# What a training depends on beside its texts; the second only with a teacher.
_TRAINING_OPTIONS = (
    "student_layers",
    "class_weights",
    "class_weight_power",
    "learning_rate",
    "head_factor",
    "batch_size",
    "weight_decay",
    "warmup",
    "max_length",
    "bf16",
    "attn_implementation",
)
_TEACHER_OPTIONS = ("temperature", "soft_weight")


@dataclass
class DistillationContext(DataSplits):
    """Texts, teacher and folders of a distillation.

    Attributes:
        arguments: all options.
        teacher: the stack.
        scores: the teacher's.
        tokenizer: the student's.
    """

    arguments: Distillation
    teacher: Teacher
    scores: TeacherScores
    tokenizer: PreTrainedTokenizerBase

    @classmethod
    def load(cls, arguments: Distillation) -> DistillationContext:
        """Read and check the data, find the teacher, and score every text.

        Raises:
            UserError: bad data, options or folders, each with how to fix it.
        """
        register_auto_classes()  # the teacher may be loaded through the Auto classes
        options = arguments.options
        check_trackers(options.report_to)
        check_attention(options.attn_implementation)
        check_student(options.student, options.student_revision)
        state = source_state(options.student, options.student_revision)
        options.student_revision = state.get("commit") or options.student_revision
        teacher = Teacher.load(options)
        splits = load_splits(arguments.data, teacher.labels)
        announce(f"The data:\n{DataSplits(splits).report}")
        announce_device(options.bf16)
        tokenizer = student_tokenizer(options.student, options.student_revision, options.max_length)
        scores = score_all(options, teacher, splits)
        return cls(splits, arguments, teacher, scores, tokenizer)

    @property
    def options(self) -> DistillationArguments:
        """The options but those of the data."""
        return self.arguments.options

    @property
    def output(self) -> Path:
        """The folder of the distillation."""
        return Path(self.options.output_dir)

    @property
    def folds(self) -> list[int]:
        """The folds that are held out in turn to choose the student's thresholds."""
        count = int(self.scores.fold_of_row.max()) + 1
        return list(range(min(count, self.options.held_out_folds or count)))

    @property
    def variants(self) -> list[str]:
        """`student`, and `alone` for the encoder without a teacher."""
        return [STUDENT, ALONE] if self.options.alone else [STUDENT]

    @cached_property
    def student_state(self) -> dict[str, Any]:
        """Which state of the pretrained encoder is trained; see `keyed_state`."""
        source = self.options.student
        return keyed_state(source, source_state(source, self.options.student_revision))

    def plan(self, variant: str, seed: int) -> StudentPlan:
        """What a training of this variant does."""
        epochs = self.options.epochs
        if variant == ALONE and self.options.alone_epochs is not None:
            epochs = self.options.alone_epochs
        return StudentPlan(variant == STUDENT, epochs, seed)

    def key(self, variant: str, part: str, seed: int) -> str:
        """Fingerprint of everything a trained student depends on."""
        chosen = {name: getattr(self.options, name) for name in _TRAINING_OPTIONS}
        chosen["training_arguments"] = learned_from(self.options)
        learned: list[Any] = []
        if variant == STUDENT:
            chosen |= {name: getattr(self.options, name) for name in _TEACHER_OPTIONS}
            learned = [fingerprint(self.scores.training.tolist()), self.scores.extra_digest]
        return fingerprint(
            self.splits["train"].fingerprint(),
            [self.splits[split].fingerprint() for split in self.held_out_splits],
            STUDENT_VERSION,
            self.student_state
            if any(self.student_state.values())
            else [self.options.student, self.options.student_revision],
            chosen,
            asdict(self.plan(variant, seed)),
            self.scores.fold_of_row.tolist() if part.startswith("fold") else [],
            part,
            learned,
        )

    def train_all(self) -> dict[str, dict[str, Any]]:
        """Train every student that is not there yet.

        Returns:
            The record of each by variant and part (`fold_0` …, `seed_0` …).
        """
        first = self.options.seeds[0]
        todo = [(f"fold_{fold}", first) for fold in self.folds]
        todo += [(f"seed_{seed}", seed) for seed in self.options.seeds]
        records: dict[str, dict[str, Any]] = {}
        for variant in self.variants:
            records[variant] = {}
            for part, seed in todo:
                records[variant][part] = run_once(
                    self.part_folder(variant, part),
                    self.key(variant, part, seed),
                    lambda folder, variant=variant, part=part, seed=seed: self._train(  # type: ignore[misc]
                        variant, part, seed, folder
                    ),
                    STUDENT_FORM,
                )
        return records

    def part_folder(self, variant: str, part: str) -> Path:
        """Where a trained student's logits, and the first seed's weights, are."""
        return self.output / variant / part

    def _train(self, variant: str, part: str, seed: int, folder: Path) -> dict[str, Any]:
        train, folds = self.splits["train"], self.scores.fold_of_row
        fold = int(part.removeprefix("fold_")) if part.startswith("fold_") else None
        inside = np.flatnonzero(folds != fold)
        logits = self.scores.training[inside] if variant == STUDENT else None
        extra = self.scores.extra if variant == STUDENT else None
        rows = StudentRows(train.select(inside), logits, extra, fold)
        announce(f"Distillation: {variant}, {part}, {counted(len(rows), 'text')}.")
        model, log = train_student(
            self.options, self.plan(variant, seed), rows, self.statistics, self.tokenizer, folder
        )
        if fold is None:
            scored = {split: self.splits[split].texts for split in self.held_out_splits}
        else:
            outside = np.flatnonzero(folds == fold)
            scored = {"held_out": [train.texts[row] for row in outside]}
        if PartialState().is_main_process:
            for name, texts in scored.items():
                found = student_logits(model, self.tokenizer, texts)
                save_file({"logits": found}, folder / f"{name}.safetensors")
            if variant == STUDENT and part == f"seed_{self.options.seeds[0]}":
                model.save_pretrained(folder / "model")
        source = self.options.student
        return {
            "texts": len(rows),
            "losses": [entry["loss"] for entry in log],
            "source": source,
            "source_state": used_state(source, self.student_state),
        }

    def held_out_logits(self, variant: str) -> tuple[np.ndarray, np.ndarray]:
        """The rows that were held out, and their (rows, labels) logits."""
        folds = self.scores.fold_of_row
        logits = np.zeros((len(folds), len(self.label_names)), np.float32)
        for fold in self.folds:
            file = self.part_folder(variant, f"fold_{fold}") / "held_out.safetensors"
            logits[folds == fold] = load_file(file)["logits"]
        rows = np.flatnonzero(np.isin(folds, self.folds))
        return rows, logits[rows]

    def scored_logits(self, variant: str, split: str) -> np.ndarray:
        """(seeds, rows, labels) logits of a split that is only scored."""
        folders = [self.part_folder(variant, f"seed_{seed}") for seed in self.options.seeds]
        return np.stack([load_file(one / f"{split}.safetensors")["logits"] for one in folders])
