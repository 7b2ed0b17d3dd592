"""The teacher: a finished stack, and the run that trained it where that is at hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import snapshot_download
from safetensors.torch import load_file
from transformers.utils import logging

from ...common.errors import UserError
from ...common.files import fingerprint, parse_json, read_json
from ...common.finished import RECORD, Form, find
from ...configuration_stacked_emotion import StackedEmotionConfig
from ...data.labeled_texts import LabeledTexts
from ...inference.model_files import ModelFiles
from ...inference.predictor import StackedEmotionPredictor
from ..arguments import DESCRIBED
from ..choosing.decision_rules import Decision
from ..choosing.folds import stratified_folds
from ..parameter_groups import top_parameters
from ..running.provenance import settings_of, source_state
from .arguments import DistillationArguments

logger = logging.get_logger(__name__)
_LARGEST_LOGIT = 16.0


_SYSTEMS = {"head": "stack", "meta": "meta"}
"""What `results.json` calls the system that a stage leaves."""


@dataclass(frozen=True)
class TeacherRun:
    """The run a teacher comes from, whose folds never saw some of the training texts.

    Attributes:
        folder: of the run.
        stage: the stage the model was made by, `head` or `meta`.
        folds: number of folds.
        fold_of_row: (training rows,).
        encoders: folder with the fine-tuned encoders, which may be another run's.
    """

    folder: Path
    stage: str
    folds: int
    fold_of_row: np.ndarray
    encoders: Path

    def out_of_fold_logits(self) -> np.ndarray:
        """(training rows, labels), each row from models that did not see it."""
        file = self.folder / self.stage / "out_of_fold.safetensors"
        return load_file(file)["logits"].float().numpy()

    @property
    def decision(self) -> Decision:
        """How the stack of that stage decides, with the calibration of its logits."""
        decisions = read_json(self.folder / "results.json")["decisions"]
        return Decision.from_dict(decisions[_SYSTEMS[self.stage]])

    def fold_models_digest(self, names: list[str]) -> str | None:
        """Digest of every fold's encoders and layers on top; None if one is missing or damaged."""
        folders = [self._encoder(name, fold) for name in names for fold in range(self.folds)]
        form = Form(files=("*.safetensors",))
        found = [
            find(folder, None, form=form)[0] for folder in (self.folder / self.stage, *folders)
        ]
        whole = [one.digest("*.safetensors") for one in found if one is not None]
        return fingerprint(whole) if len(whole) == len(found) else None

    def load_fold(self, model: Any, fold: int) -> None:
        """Put the weights of a fold into the teacher's model, in place.

        Raises:
            UserError: the files do not belong to this model.
        """
        state: dict[str, torch.Tensor] = {}
        for name in model.config.encoder_names:
            for file in sorted(self._encoder(name, fold).glob("*.safetensors")):
                state |= {
                    key: value
                    for key, value in load_file(file).items()
                    if key.startswith((f"stacked.encoder_{name}.", f"stacked.head_{name}."))
                }
        state |= load_file(self.folder / self.stage / f"fold_{fold}.safetensors")
        parameters = dict(model.named_parameters())
        tops = {name for name, _ in top_parameters(model)}
        if missing := sorted(set(parameters) - set(state)):
            kind = "layers on top" if set(missing) <= tops else "encoders"
            raise UserError(
                f"The {kind} of fold {fold} in {self.folder} are not those of the teacher: "
                f"{missing[:3]} are missing. Give the run that trained it by --teacher_run."
            )
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(state[name])

    def _encoder(self, name: str, fold: int) -> Path:
        return self.encoders / "encoders" / name / f"fold_{fold}"


@dataclass(frozen=True)
class Teacher:
    """The stack that is distilled.

    Attributes:
        source: as given, a folder or Hub ID.
        folder: where it is on this machine.
        config: its configuration.
        digest: of its weights, configuration and tokenizers.
        dtype: in which it scores.
        commit: on the Hub; None for a folder.
    """

    source: str
    folder: Path
    config: StackedEmotionConfig
    digest: str
    dtype: str
    commit: str | None = None

    @classmethod
    def load(cls, options: DistillationArguments) -> Teacher:
        """Find the model's files, from the Hub if need be, and read its configuration.

        Raises:
            UserError: there is no stack.
        """
        files = ModelFiles(options.model, options.revision)
        if (folder := files.folder) is None:
            with files.reading("the teacher"):
                given = files.options["revision"]
                folder = Path(snapshot_download(files.location, revision=given))
        if not (folder / "config.json").is_file() or not list(folder.glob("*.safetensors")):
            raise UserError(
                f"{options.model} is not a finished model (config.json and *.safetensors). Give "
                "the folder of a finished run or of a model, or a Hub ID."
            )
        kind = read_json(folder / "config.json").get("model_type")
        if kind != StackedEmotionConfig.model_type:
            raise UserError(
                f"{options.model} is a {kind} model; the teacher must be a stack "
                f"({StackedEmotionConfig.model_type})."
            )
        return cls(
            options.model,
            folder,
            StackedEmotionConfig.from_pretrained(folder),
            fingerprint(source_state(str(folder))),
            options.teacher_dtype,
            None if files.folder else folder.name,
        )

    @property
    def labels(self) -> list[str]:
        """The labels in the order of the logits; the student has the same."""
        return list(self.config.label_names)

    @property
    def decision(self) -> Decision:
        """How the teacher gives labels."""
        thresholds = np.asarray(self.config.thresholds or [0.5] * len(self.labels))
        if self.config.decision == "expected_jaccard":
            return Decision("expected_jaccard", thresholds, self.config.decision_scale,
                            min_labels=self.config.min_labels)  # fmt: skip
        return Decision("shrunk" if len(set(thresholds)) > 1 else "global", thresholds)

    @property
    def description(self) -> dict[str, Any]:
        """What the teacher's recipe says of texts and labels; it is true of the student too."""
        for folder in (self.folder, self.folder.resolve().parent):
            if (folder / "results.json").is_file():
                recipe = read_json(folder / "results.json").get("recipe") or {}
                return {name: recipe.get(name) for name in DESCRIBED}
        return {}

    def predictor(self) -> StackedEmotionPredictor:
        """The teacher with its tokenizer, ready to score."""
        return StackedEmotionPredictor.from_pretrained(
            str(self.folder), dtype=self.dtype, backend="torch"
        )

    def find_run(self, given: str | None, train: LabeledTexts) -> TeacherRun | None:
        """The run the teacher comes from, if it is at hand and was trained on these texts.

        Args:
            given: the folder of the run; by default the one around the model's folder.
            train: the training texts, whose order is that of the out-of-fold scores.

        Returns:
            The run, or None, with a warning, if the teacher's own scores must be used.

        Raises:
            UserError: a run was given that cannot be used.
        """
        folder = Path(given) if given else self.folder.resolve().parent
        run, problem = read_run(folder, train)
        if run is None and given:
            raise UserError(f"--teacher_run {given}: {problem}.")
        if run is None:
            logger.warning(
                "The training texts are scored in sample, by a teacher that may have seen them: "
                "%s. Give the run that trained it by --teacher_run.",
                problem,
            )
        return run


def logits_of(predictor: StackedEmotionPredictor, texts: list[str], progress: bool) -> np.ndarray:
    """(texts, labels) float32 log-odds, in their order."""
    scores = torch.from_numpy(predictor.predict_proba(texts, progress=progress)).double()
    return torch.logit(scores).clamp(-_LARGEST_LOGIT, _LARGEST_LOGIT).float().numpy()


def read_run(folder: Path, train: LabeledTexts) -> tuple[TeacherRun | None, str]:
    """The run that was trained on these texts, or what is wrong with it."""
    try:
        results = parse_json(folder / "results.json")
        recipe, data = settings_of(folder, results), dict(results["data"]["train"])
        folds, seed = int(recipe.get("cross_fit") or 0), int(recipe["seed"])
    except (OSError, ValueError, KeyError, TypeError):
        return None, f"there is no results.json of a training run in {folder}"
    stages = [name for name in ("head", "meta") if (folder / name / RECORD).is_file()]
    if not stages:
        return None, f"{folder} has no out-of-fold scores (head/out_of_fold.safetensors)"
    form = Form(files=("out_of_fold.safetensors",))
    if (problem := find(folder / stages[0], None, form=form)[1]) is not None:
        return None, f"{folder / stages[0]} {problem}"
    if not folds:
        return None, f"the run in {folder} was trained without cross-fitting"
    if data.get("fingerprint") != train.fingerprint():
        return None, f"the run in {folder} was trained on other texts than {train.source}"
    fold_of_row = stratified_folds(train.labels, folds, seed)
    encoders = Path(str(recipe.get("encoders_from") or folder))
    if not (encoders / "encoders").is_dir():
        encoders = folder
    return TeacherRun(folder, stages[0], folds, fold_of_row, encoders), ""
