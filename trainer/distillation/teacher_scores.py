"""The teacher's scores of every text, computed once and kept on disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from accelerate import PartialState
from safetensors.numpy import load_file, save_file
from transformers.utils import logging

from ...common.errors import counted
from ...common.files import file_digest, fingerprint
from ...common.finished import Form, finished_in
from ...data.labeled_texts import LabeledTexts
from ...inference.predictor import StackedEmotionPredictor
from ..choosing.folds import stratified_folds
from ..running.once import run_once
from ..running.progress import announce
from .arguments import DistillationArguments
from .teacher import Teacher, TeacherRun, logits_of
from .texts import altered_copies, stream_texts

if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.get_logger(__name__)
SHARD_TEXTS = 4096
# Raised when the same teacher comes to other scores: all texts are then scored again.
SCORES_VERSION = 1
OUT_OF_FOLD = "out of fold"
IN_SAMPLE = "in sample"


@dataclass
class TeacherScores:
    """The teacher's scores of every text.

    Attributes:
        training: (rows, labels) logits of the training texts.
        origin: `out of fold` where no score comes from a model that saw the text, or `in sample`.
        fold_of_row: (rows,) fold of each training text; the student's folds are the same.
        scored: (rows, labels) logits by split that is only scored.
        extra: texts without labels, memory-mapped: `text`, `logits` and `fold` (-1 for a text of
            no fold); None where there are none.
        augmented_origin: as `origin`, for the altered copies; None where there are none.
        seconds: of the scoring, by part.
        extra_digest: of the texts without labels and their scores.
    """

    training: np.ndarray
    origin: str
    fold_of_row: np.ndarray
    scored: dict[str, np.ndarray]
    extra: Dataset | None = field(repr=False, default=None)
    augmented_origin: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    extra_digest: str = ""

    @property
    def counts(self) -> dict[str, int]:
        """Number of altered copies and of unlabeled texts."""
        if self.extra is None:
            return {"augmented": 0, "unlabeled": 0}
        folds = np.asarray(self.extra.with_format("numpy")["fold"])
        return {"augmented": int((folds >= 0).sum()), "unlabeled": int((folds < 0).sum())}


def score_all(
    options: DistillationArguments, teacher: Teacher, splits: dict[str, LabeledTexts]
) -> TeacherScores:
    """Score every text that is not scored yet, and read the scores.

    Each part is written once to a folder of its own and read from there afterward. Unlabeled texts
    are written shard by shard: a run that was killed continues with the next shard.
    """
    train = splits["train"]
    store = _Store(Path(options.teacher_scores or Path(options.output_dir) / "teacher"), teacher)
    run = teacher.find_run(options.teacher_run, train)
    if run is not None:
        fold_of_row = run.fold_of_row
        training = run.decision.calibrated(run.out_of_fold_logits()).astype(np.float32)
        origin = OUT_OF_FOLD
    else:
        fold_of_row = stratified_folds(train.labels, options.cross_fit, options.fold_seed)
        training, origin = store.labeled("train", train), IN_SAMPLE
    scored = {
        split: store.labeled(split, texts) for split, texts in splits.items() if split != "train"
    }
    parts: list[Dataset] = []
    augmented_origin = None
    if options.augmented_copies:
        part, augmented_origin = store.augmented(options, train, fold_of_row, run)
        parts += part
    if options.unlabeled_file:
        labeled = {text for texts in splits.values() for text in texts.texts}
        parts += store.unlabeled(options, labeled)
    extra = None
    if parts:
        import datasets

        extra = datasets.concatenate_datasets(parts)
    return TeacherScores(
        training, origin, fold_of_row, scored, extra, augmented_origin, store.seconds,
        fingerprint(store.digests),
    )  # fmt: skip


class _Store:
    """The folder of one teacher's scores."""

    def __init__(self, root: Path, teacher: Teacher) -> None:
        self.root = root
        self.teacher = teacher
        self.seconds: dict[str, float] = {}
        self.digests: list[str] = []

    def labeled(self, split: str, texts: LabeledTexts) -> np.ndarray:
        """Logits of a split, by the teacher as it is."""

        def work(folder: Path) -> dict[str, Any]:
            if PartialState().is_main_process:
                announce(f"Teacher: {counted(len(texts), 'text')} of {split}.")
                save_file({"logits": self._score(texts.texts)}, folder / "scores.safetensors")
            return {"rows": len(texts)}

        folder = self._once(split, [texts.fingerprint()], work, ("scores.safetensors",))
        return load_file(folder / "scores.safetensors")["logits"]

    def augmented(
        self,
        options: DistillationArguments,
        train: LabeledTexts,
        fold_of_row: np.ndarray,
        run: TeacherRun | None,
    ) -> tuple[list[Dataset], str]:
        """Altered copies of the training texts, scored by models that did not see the originals."""
        settings: dict[str, Any] = {
            "copies": options.augmented_copies,
            "word_dropout": options.augmented_word_dropout,
            "mixing": options.augmented_mixing,
            "seed": options.fold_seed,
        }
        names = self.teacher.config.encoder_names
        by_fold = run.fold_models_digest(names) if run is not None else None
        if not by_fold:
            logger.warning(
                "The altered copies are scored by a teacher that has seen the training texts: "
                "there are no models of the folds beside it."
            )

        def work(folder: Path) -> dict[str, Any]:
            made, folds = altered_copies(train.texts, fold_of_row, **settings)
            for fold in range(int(fold_of_row.max()) + 1):
                rows = np.flatnonzero(folds == fold)
                announce(f"Teacher: {len(rows)} altered copies of fold {fold}.")
                score = partial(self._score_fold, run if by_fold else None, fold)
                self._shard(folder / f"{fold:05d}", fold, [made[row] for row in rows], score)
            return {"texts": len(made)}

        key = [train.fingerprint(), settings, fold_of_row.tolist(), by_fold]
        folder = self._once("augmented", key, work)
        return self._read_shards(folder), OUT_OF_FOLD if by_fold else IN_SAMPLE

    def unlabeled(self, options: DistillationArguments, leave_out: set[str]) -> list[Dataset]:
        """The texts of a file, shard by shard."""
        file = Path(str(options.unlabeled_file))

        def work(folder: Path) -> dict[str, Any]:
            texts = stream_texts(
                file, options.unlabeled_text_column, options.max_unlabeled, leave_out
            )
            number = 0
            while chunk := list(islice(texts, SHARD_TEXTS)):
                announce(f"Teacher: unlabeled texts from {number * SHARD_TEXTS:,} on.")
                self._shard(folder / f"{number:05d}", -1, chunk, self._score)
                number += 1
            return {"shards": number}

        key = [
            file_digest(file) if file.is_file() else None,
            options.unlabeled_text_column,
            options.max_unlabeled,
            sorted(leave_out),
        ]
        return self._read_shards(self._once("unlabeled", key, work))

    @cached_property
    def predictor(self) -> StackedEmotionPredictor:
        """The teacher, loaded when it is first needed."""
        return self.teacher.predictor()

    def _score(self, texts: list[str]) -> np.ndarray:
        return logits_of(self.predictor, texts, progress=PartialState().is_main_process)

    def _score_fold(self, run: TeacherRun | None, fold: int, texts: list[str]) -> np.ndarray:
        """By the models of a fold; by the teacher as it is where there is no run."""
        if run is None:
            return self._score(texts)
        predictor = self.teacher.predictor()
        run.load_fold(predictor.model, fold)
        return logits_of(predictor, texts, progress=PartialState().is_main_process)

    def _once(
        self,
        part: str,
        key: list[Any],
        work: Callable[[Path], dict[str, Any]],
        files: tuple[str, ...] = (),
    ) -> Path:
        folder = self.root / part
        digest = fingerprint([SCORES_VERSION, self.teacher.digest, self.teacher.dtype, *key])
        record = run_once(folder, digest, work, Form(files=files))
        self.seconds[part] = record["seconds"]
        return folder

    def _shard(
        self, folder: Path, fold: int, texts: list[str], score: Callable[[list[str]], np.ndarray]
    ) -> None:
        """Score and write a shard unless it is finished."""

        def work(folder: Path) -> dict[str, Any]:
            if PartialState().is_main_process:
                _save_shard(folder, fold, texts, score(texts))
            return {}

        run_once(folder, fingerprint([fold], texts), work)

    def _read_shards(self, folder: Path) -> list[Dataset]:
        import datasets

        finished = finished_in(folder, "remove it and run the same command again.")
        self.digests.append(finished.digest("*.arrow"))
        shards = sorted(path for path in folder.iterdir() if path.is_dir() and path.name.isdigit())
        return [datasets.load_from_disk(str(path)) for path in shards]


def _save_shard(folder: Path, fold: int, texts: list[str], logits: np.ndarray) -> None:
    import datasets

    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "logits": datasets.List(datasets.Value("float32"), length=logits.shape[1]),
            "fold": datasets.Value("int32"),
        }
    )
    columns = {"text": texts, "logits": logits.tolist(), "fold": [fold] * len(texts)}
    datasets.Dataset.from_dict(columns, features=features).save_to_disk(str(folder))
