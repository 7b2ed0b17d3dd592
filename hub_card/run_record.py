"""A finished training run, read back from its folder for the model card and for publishing."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..common.errors import UserError
from ..common.settings import by_path

FORMAT = 1
SPLITS = ("test", "validation")
RESULTS = (
    "format", "kind", "recipe", "labels", "rare_labels", "splits", "data", "encoders", "loss",
    "stages", "systems", "comparisons", "thresholds", "decisions", "environment", "energy",
    "seconds_by_part", "seconds", "seeds", "teacher", "student_source", "lead_kept", "note",
)  # fmt: skip
"""The parts of `results.json` that are published."""
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_LOCAL_PATH = re.compile(r"(?:~|\.{1,2})?[/\\]|[A-Za-z]:[/\\]|.*[/\\].*[/\\]")
_ASSIGNED = re.compile(r"([a-z][a-z0-9_]*=)(.+)", re.DOTALL)
_SECRET_KEY = re.compile(r"(^|_)(token|api_key|password|secret)s?$", re.IGNORECASE)


@dataclass(frozen=True)
class RunRecord:
    """What a run left behind, apart from the weights.

    Attributes:
        folder: the run's folder.
        model_folder: the folder with weights, tokenizers and code.
        config: `config.json` of the model, as it stands there.
        results: `results.json` as it stands there; empty parts where it has none.
        training_args: `training_args.json`.
        predictions: by split, the arrays of `predictions_<split>.npz`: `probabilities` and `labels`
            (rows, labels), `encoder_logits` (rows, encoders, labels).
        given_base_models: Hub id by encoder name, for encoders that were trained from local copies.
    """

    folder: Path
    model_folder: Path
    config: dict[str, Any] = field(repr=False)
    results: dict[str, Any] = field(repr=False)
    training_args: dict[str, Any] = field(repr=False)
    predictions: dict[str, dict[str, np.ndarray]] = field(repr=False)
    given_base_models: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_folder(
        cls, folder: str | Path, base_models: Mapping[str, str] | None = None
    ) -> RunRecord:
        """Read `<folder>/model/config.json`, `results.json` and what else there is.

        Args:
            folder: the `--output_dir` of a training or a distillation.
            base_models: Hub id by encoder name, for encoders that were trained from local copies.

        Raises:
            UserError: the model or `results.json` is missing, damaged or of another format, or the
                two are of different labels.
        """
        run = Path(folder)
        model = run / "model"
        if not (model / "config.json").is_file():
            raise UserError(
                f"{run} is no finished run: there is no model/config.json in it. Give the "
                "--output_dir of a training that went through."
            )
        config = _read_json(model / "config.json")
        results = _read_json(run / "results.json")
        if results.get("format") != FORMAT:
            raise UserError(
                f"{run / 'results.json'} has the format {results.get('format')!r}, this version "
                f"reads {FORMAT}: publish with the version that trained the model."
            )
        arguments = run / "training_args.json"
        training_args = (
            _read_json(arguments) if arguments.is_file() else dict(results.get("recipe") or {})
        )
        predictions = {}
        for split in SPLITS:
            file = run / f"predictions_{split}.npz"
            if file.is_file():
                with np.load(file, allow_pickle=False) as arrays:
                    predictions[split] = {name: arrays[name] for name in arrays.files}
        record = cls(
            run, model, config, results, training_args, predictions, dict(base_models or {})
        )
        if unknown := sorted(set(record.given_base_models) - set(record.encoder_names)):
            raise UserError(
                f"Base models are given for {unknown}; the encoders are {record.encoder_names}."
            )
        for name, source in record.given_base_models.items():
            if not _HUB_ID.fullmatch(source):
                raise UserError(f"The base model of {name}, {source!r}, is no Hub id (user/name).")
        trained = results.get("labels") or record.labels
        if list(trained) != record.labels:
            raise UserError(
                f"results.json is about the labels {trained}, the model in {model} has "
                f"{record.labels}: they are not of one run."
            )
        return record

    @property
    def labels(self) -> list[str]:
        """The labels, in the order of the logits."""
        names = self.config["id2label"]
        return [names[str(index)] for index in range(len(names))]

    @property
    def kind(self) -> str:
        """ "stack", or "student" for a stock encoder that was distilled from one."""
        return "student" if self.results.get("kind") == "student" else "stack"

    @property
    def thresholds(self) -> dict[str, float]:
        """Threshold by label; 0.5 where the model stores none."""
        if self.kind == "student":
            stored = self.results.get("thresholds") or {}
            return {label: float(stored.get(label, 0.5)) for label in self.labels}
        values = self.config.get("thresholds") or [0.5] * len(self.labels)
        return dict(zip(self.labels, map(float, values), strict=True))

    @property
    def decision(self) -> str:
        """How labels are given: "threshold" or "expected_jaccard"."""
        return self.config.get("decision") or "threshold"

    @property
    def encoder_names(self) -> list[str]:
        """The encoders, in the order of the stack."""
        if self.kind == "student":
            return ["student"]
        return list(self.config["encoder_names"])

    @property
    def encoder_sources(self) -> dict[str, str]:
        """Where each encoder came from: a Hub id, or the name of a local folder."""
        return {
            name: self.given_base_models.get(name) or plain_value(source or "not recorded")
            for name, source in self._sources().items()
        }

    @property
    def base_models(self) -> dict[str, str]:
        """The encoders that came from the Hub: id by name."""
        return {
            name: source
            for name, source in self._sources().items()
            if _HUB_ID.fullmatch(source) and not Path(source).exists()
        } | self.given_base_models

    def _sources(self) -> dict[str, str]:
        known = dict(self.results.get("encoders") or {})
        if self.kind == "student":
            known.setdefault("student", {"source": self.results.get("student_source")})
        return {
            name: str((known.get(name) or {}).get("source") or "") for name in self.encoder_names
        }

    @property
    def teacher_source(self) -> str:
        """What a student was distilled from: a Hub id, or the name of a local folder."""
        source = self._teacher()
        return plain_value(source) if source else "a stack that was not recorded"

    @property
    def teacher_id(self) -> str | None:
        """Hub id of what a student was distilled from; None for a local folder."""
        source = self._teacher()
        is_id = _HUB_ID.fullmatch(source) and not Path(source).exists()
        return source if is_id else None

    def _teacher(self) -> str:
        teacher = self.results.get("teacher") or {}
        source = teacher.get("source") if isinstance(teacher, Mapping) else teacher
        return str(source or "")

    @property
    def note(self) -> str | None:
        """A remark on the figures, if the run left one."""
        return self.results.get("note")

    @property
    def dataset_name(self) -> str | None:
        """Hub id of the data set, where the recipe names one."""
        data = self.results.get("data") or {}
        return data.get("dataset_name") or (self.results.get("recipe") or {}).get("dataset_name")

    @property
    def dataset_config(self) -> str | None:
        """Configuration of the data set, where the recipe names one."""
        return (self.results.get("recipe") or {}).get("dataset_config_name")

    @property
    def synthetic(self) -> bool:
        """Whether it was trained on the embedded synthetic sample."""
        train = (self.results.get("recipe") or {}).get("train_file") or ""
        return Path(train).parts[-3:-1] == ("recipes", "sample")

    @property
    def splits(self) -> list[str]:
        """The held-out splits with scores, test first."""
        scored = {split for entry in self.systems.values() for split in entry}
        return [split for split in SPLITS if split in scored]

    @property
    def systems(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Scores by system, split and metric."""
        return self.results.get("systems") or {}

    @property
    def published_system(self) -> str | None:
        """The system whose weights are in `model/`: the last one scored."""
        return list(self.systems)[-1] if self.systems else None

    @property
    def seeds(self) -> list[int]:
        """The seeds of the layers on top; the first one's weights are in `model/`."""
        recipe = self.results.get("recipe") or {}
        return list(self.results.get("seeds") or recipe.get("head_seeds") or [0])

    def score(self, system: str, split: str, metric: str) -> Score | None:
        """One metric of one system, or None where it was not computed."""
        entry = self.systems.get(system, {}).get(split, {}).get(metric)
        if entry is None:
            return None
        if isinstance(entry, Mapping):
            values = [float(value) for value in entry.get("values") or [entry["mean"]]]
            return Score(float(entry["mean"]), float(entry.get("std") or 0.0), values)
        return Score(float(entry), 0.0, [float(entry)])

    def public_results(self) -> dict[str, Any]:
        """The known parts of `results.json`, without local paths and secrets."""
        return public_values({key: self.results[key] for key in RESULTS if key in self.results})

    def public_training_args(self) -> dict[str, Any]:
        """`training_args.json` without local paths and secrets."""
        return public_values(self.training_args)

    def public_settings(self) -> dict[str, Any]:
        """The same by paths such as `head.learning_rate`.

        Of an encoder's settings only those that differ from `encoder_defaults`.
        """
        settings = by_path(self.public_training_args())
        return {
            key: value
            for key, value in settings.items()
            if not key.startswith("encoders.")
            or value != settings.get(re.sub(r"^encoders\.\w+", "encoder_defaults", key))
        }


@dataclass(frozen=True)
class Score:
    """One metric over the seeds.

    Attributes:
        mean: mean over the seeds.
        std: their standard deviation (ddof 1), 0 for a single one.
        values: one value a seed, the published one first.
    """

    mean: float
    std: float
    values: list[float]

    def __str__(self) -> str:
        if len(self.values) > 1:
            return f"{self.mean:.3f} ± {self.std:.3f}"
        return f"{self.mean:.3f}"


def public_values(value: Any) -> Any:
    """A JSON value without local paths (their last part stays) and without secrets."""
    if isinstance(value, Mapping):
        return {
            str(key): public_values(entry)
            for key, entry in value.items()
            if not _SECRET_KEY.search(str(key))
        }
    if isinstance(value, list | tuple):
        return [public_values(entry) for entry in value]
    return plain_value(value) if isinstance(value, str) else value


def plain_value(text: str) -> str:
    """A path cut to its last part, also behind `name=`; any other text as it is.

    Hub ids (`user/name`) and web addresses are no paths.
    """
    if assigned := _ASSIGNED.fullmatch(text):
        return assigned[1] + plain_value(assigned[2])
    if "://" in text or not _LOCAL_PATH.match(text) or "\n" in text:
        return text
    return re.split(r"[/\\]", text.rstrip("/\\"))[-1]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: train to the end first.") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}).") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} must hold a JSON object.")
    return value
