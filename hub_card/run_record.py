"""A finished run, read from its folder for the model card and for publishing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..common.errors import UserError
from ..common.files import read_json
from ..common.privacy import LOCAL, is_hub_id, public_values
from ..inference.decisions import Decision
from ..ngrams_stacked_emotion import HashedNgramsConfig
from ..trainer.arguments import DESCRIBED
from ..trainer.running.provenance import settings_of

FORMAT = 1
SPLITS = ("test", "validation")
RESULTS = (
    "format", "kind", "recipe", "labels", "rare_labels", "splits", "data", "encoders", "loss",
    "stages", "systems", "comparisons", "thresholds", "calibration", "decisions", "environment",
    "seconds_by_part", "seconds", "seeds", "best_single", "left_at_start", "summary", "teacher",
    "student_source", "lead_kept", "note", "abstention",
)  # fmt: skip
"""The parts of `results.json` that are published."""
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


@dataclass(frozen=True)
class RunRecord:
    """What a run left behind, apart from the weights.

    Attributes:
        folder: the run's folder.
        model_folder: the folder with weights, tokenizers and code.
        config: `config.json` of the model, unchanged.
        results: `results.json`; its `recipe` with the paths of `recipe.yaml`.
        predictions: by split, the arrays of `predictions_<split>.npz`: `probabilities` and `labels`
            (rows, labels), `encoder_logits` (rows, encoders, labels).
        given_base_models: Hub ID by encoder name, for encoders that were trained from local copies.
    """

    folder: Path
    model_folder: Path
    config: dict[str, Any] = field(repr=False)
    results: dict[str, Any] = field(repr=False)
    predictions: dict[str, dict[str, np.ndarray]] = field(repr=False)
    given_base_models: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_folder(
        cls, folder: str | Path, base_models: Mapping[str, str] | None = None
    ) -> RunRecord:
        """Read `<folder>/model/config.json`, `results.json` and what else there is.

        Args:
            folder: the `--output_dir` of a training or a distillation, or the `model` in it.
            base_models: Hub ID by encoder name, for encoders that were trained from local copies.

        Raises:
            UserError: the model or `results.json` is missing, damaged or of another format, or the
                two are of different labels.
        """
        run = Path(folder).expanduser()
        if not run.is_dir():
            what = "is a file" if run.is_file() else "is not there"
            raise UserError(f"{folder} {what}. Give the --output_dir of a finished training.")
        if (run / "config.json").is_file() and (run.resolve().parent / "results.json").is_file():
            run = run.resolve().parent
        model = run / "model"
        if not (model / "config.json").is_file():
            raise UserError(
                f"{run} is not a finished run: it has no model/config.json. Give the --output_dir "
                "of a finished training."
            )
        config = _object(model / "config.json")
        results = _object(run / "results.json")
        if results.get("format") != FORMAT:
            raise UserError(
                f"{run / 'results.json'} has format {results.get('format')!r}, but this version "
                f"reads {FORMAT}. Publish with the version that trained the model."
            )
        results["recipe"] = settings_of(run, results)
        predictions = {}
        for split in SPLITS:
            file = run / f"predictions_{split}.npz"
            if file.is_file():
                with np.load(file, allow_pickle=False) as arrays:
                    predictions[split] = {name: arrays[name] for name in arrays.files}
        record = cls(run, model, config, results, predictions, dict(base_models or {}))
        if unknown := sorted(set(record.given_base_models) - set(record.encoder_names)):
            raise UserError(
                f"Base models are given for {unknown}; the encoders are {record.encoder_names}."
            )
        for name, source in record.given_base_models.items():
            if not _HUB_ID.fullmatch(source):
                raise UserError(
                    f"The base model of {name}, {source!r}, is not a Hub ID (user/name)."
                )
        trained = results.get("labels") or record.labels
        if list(trained) != record.labels:
            raise UserError(
                f"results.json has the labels {trained}, but the model in {model} has "
                f"{record.labels}: they belong to different runs."
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
    def rule(self) -> Decision:
        """The decision with its thresholds, for logits and probabilities."""
        scale, least = self.config.get("decision_scale") or 1.0, self.config.get("min_labels", 1)
        limits = list(self.thresholds.values())
        return Decision(self.labels, limits, self.decision, float(scale), least)

    @property
    def encoder_names(self) -> list[str]:
        """The encoders, in the order of the stack."""
        if self.kind == "student":
            return ["student"]
        return list(self.config["encoder_names"])

    @property
    def single(self) -> bool:
        """Whether it is a stack of one encoder."""
        return self.kind == "stack" and len(self.encoder_names) == 1

    def title_of(self, system: str) -> str:
        """What tables and pictures call a system; one encoder is not called a stack."""
        return "this model" if self.single and system == self.published_system else system

    @property
    def published_title(self) -> str:
        """What tables and pictures call the published system."""
        return self.title_of(str(self.published_system))

    @property
    def encoder_sources(self) -> dict[str, str]:
        """Where each encoder came from: a Hub ID, a local folder, or the training texts."""
        hub = self.base_models
        known = dict.fromkeys(self.lexical, "n-grams and words of the training texts")
        return {
            name: hub.get(name) or known.get(name) or (LOCAL if source else "not recorded")
            for name, (source, _) in self._sources().items()
        }

    @property
    def lexical(self) -> list[str]:
        """The lexical encoders, which come from no pretrained model."""
        encoders = self.config.get("encoders") or {}
        kind = HashedNgramsConfig.model_type
        return [name for name, one in encoders.items() if one.get("model_type") == kind]

    @property
    def base_models(self) -> dict[str, str]:
        """The encoders that came from the Hub: id by name."""
        return {
            name: source
            for name, (source, state) in self._sources().items()
            if is_hub_id(source, state)
        } | self.given_base_models

    @property
    def unnamed_encoders(self) -> list[str]:
        """The encoders that came from local folders and that no `base_models` names."""
        hub = self.base_models
        return [name for name, (source, _) in self._sources().items() if source and name not in hub]

    @property
    def local_sources(self) -> list[str]:
        """Every folder that a model or data set came from, as the run wrote it."""
        data = _source({"source": self.setting("dataset_name")})
        sources = [*self._sources().values(), self._teacher(), data]
        return [source for source, state in sources if source and not is_hub_id(source, state)]

    def _sources(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """Of each encoder: its source as the run wrote it, and the state that was used."""
        known = dict(self.results.get("encoders") or {})
        if self.kind == "student":
            known.setdefault("student", {"source": self.results.get("student_source")})
        return {name: _source(known.get(name)) for name in self.encoder_names}

    @property
    def related_data(self) -> dict[str, list[dict[str, Any]]]:
        """The steps on related data that encoders were fine-tuned on first, by encoder name."""
        known = self.results.get("encoders") or {}
        entries = {name: known.get(name) for name in self.encoder_names}
        return {
            name: entry["pretraining"]
            for name, entry in entries.items()
            if isinstance(entry, Mapping) and entry.get("pretraining")
        }

    @property
    def teacher_source(self) -> str:
        """What a student was distilled from: a Hub ID, or that it was a local folder."""
        return self.teacher_id or (LOCAL if self._teacher()[0] else "a stack that was not recorded")

    @property
    def teacher_id(self) -> str | None:
        """Hub ID of what a student was distilled from; None for a local folder."""
        source, state = self._teacher()
        return source if is_hub_id(source, state) else None

    def _teacher(self) -> tuple[str, dict[str, Any]]:
        return _source(self.results.get("teacher"))

    @property
    def summary(self) -> list[str]:
        """What a reader has to know of the figures, in sentences."""
        return [str(self.public(text)) for text in self.results.get("summary") or ()]

    @property
    def left_at_start(self) -> list[str]:
        """The stages whose training gained too little to be kept."""
        return list(self.results.get("left_at_start") or ())

    @property
    def note(self) -> str | None:
        """A remark on the figures, if the run left one."""
        return self.results.get("note")

    def setting(self, name: str) -> Any:
        """A setting of the recipe, at its top or in one of its groups; None where there is none."""
        recipe = self.results.get("recipe") or {}
        groups = [
            group
            for key, group in recipe.items()
            if isinstance(group, Mapping) and key not in DESCRIBED
        ]
        for group in (recipe, *groups):
            if group.get(name) is not None:
                return group[name]
        return None

    @property
    def dataset_name(self) -> str | None:
        """Hub ID of the data set, where the recipe names one and reads no files instead."""
        data = self.results.get("data") or {}
        name = str(data.get("dataset_name") or self.setting("dataset_name") or "")
        return name if is_hub_id(name) and not self.setting("train_file") else None

    def beside_training(self, split: str) -> bool:
        """Whether a split was read from a file in the folder of the training file, and the recipe
        names the data."""
        files = (self.setting(f"{split}_file"), self.setting("train_file"))
        folders = [re.split(r"[/\\]", str(file))[:-1] for file in files if file]
        named = (self.results.get("recipe") or {}).get("data_name")
        return bool(named) and len(folders) == 2 and folders[0] == folders[1]

    @property
    def dataset_config(self) -> str | None:
        """Configuration of the data set, where the recipe names one."""
        return self.setting("dataset_config_name")

    def data_file(self, split: str) -> str | None:
        """Name of the file that the texts of a split were read from; None for a Hub data set."""
        entry = (self.results.get("data") or {}).get(split) or {}
        source = self.setting(f"{split}_file") or (
            None if self.dataset_name else entry.get("source") or self.setting("train_file")
        )
        return re.split(r"[/\\]", str(source).rstrip("/\\"))[-1] if source else None

    @property
    def text_column(self) -> str | None:
        """The column of texts in the data, where the recipe names one."""
        return self.setting("text_column")

    @property
    def synthetic(self) -> bool:
        """Whether it was trained on the bundled synthetic sample."""
        return self.synthetic_file("train")

    def synthetic_file(self, split: str) -> bool:
        """Whether a split was read from the bundled synthetic sample."""
        return Path(self.setting(f"{split}_file") or "").parts[-3:-1] == ("recipes", "sample")

    @property
    def splits(self) -> list[str]:
        """The held-out splits with scores, test first."""
        scored = {split for entry in self.systems.values() for split in entry}
        return [split for split in SPLITS if split in scored]

    def leaked(self, split: str) -> int:
        """Number of texts of a split that also occur in an earlier one."""
        entry = (self.results.get("data") or {}).get(split) or {}
        return int((entry.get("inventory") or {}).get("leaked_texts") or 0)

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
        seeds = self.results.get("seeds")
        if isinstance(seeds, Mapping):
            seeds = seeds.get("layers_on_top")
        return list(seeds or self.setting("head_seeds") or [0])

    @property
    def encoder_seeds(self) -> list[int]:
        """The seeds of whole trainings, encoders and folds too; the first one's are published."""
        seeds = self.results.get("seeds")
        return list(seeds.get("folds_and_encoders") or ()) if isinstance(seeds, Mapping) else []

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
        return self.public({key: self.results[key] for key in RESULTS if key in self.results})

    def public_training_args(self) -> dict[str, Any]:
        """The settings of the run, without local paths and secrets."""
        return self.public(self.results.get("recipe") or {})

    def public(self, value: Any) -> Any:
        """Anything of this run without local paths and secrets; see `public_values`."""
        kept = {*self.labels, *self.encoder_names, *self.systems}
        return public_values(value, self.local_sources, kept)


@dataclass(frozen=True)
class Score:
    """One metric over the seeds.

    Attributes:
        mean: mean over the seeds.
        std: their standard deviation (ddof 1), 0 for a single one.
        values: one value per seed, the published one first.
    """

    mean: float
    std: float
    values: list[float]

    def __str__(self) -> str:
        return f"{self.mean:.3f}" + f" ± {self.std:.3f}" * (len(self.values) > 1)


def _source(entry: Any) -> tuple[str, dict[str, Any]]:
    """Source and state in an entry such as `{"source": …, "source_state": …}`."""
    found = entry if isinstance(entry, Mapping) else {"source": entry}
    return str(found.get("source") or ""), dict(found.get("source_state") or {})


def _object(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UserError(f"{path} is missing: train to the end first.")
    return read_json(path)
