"""Finished runs against the first of them, on the same texts: the command `compare`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from ...common.errors import UserError, counted, did_you_mean, listed, quoted
from ...common.finished import Form, finished_in
from ...common.inert_text import in_markdown
from ...common.numerics import sigmoid
from ...data.labeled_texts import LabeledTexts, load_splits
from ..choosing.decision_rules import Decision, cross_fitted_decision
from ..labeling.review import data_of_run, run_results
from ..results import System, compare, differences_table, leak_note, source_name, systems_table
from ..running.provenance import settings_of
from .reliability import OUT_OF_FOLD
from .scores import jaccard_per_row

Texts = Mapping[str, LabeledTexts]
_ADVICE = "train again with the same settings, which makes what is missing."
_CROSS_FITTED = (
    "Each training text is scored by models that did not see it (of the first seed), and decided "
    "by a calibration and a rule that were fitted on other folds."
)


@dataclass(frozen=True)
class _Run:
    """A finished training and the name of the system of it that is compared."""

    folder: Path
    results: dict[str, Any]
    system: str


@dataclass
class KeptSystem(System):
    """A system as a finished run kept it; its labels come in the order of the first run.

    Attributes:
        columns: where the labels of the first run are among its own.
        cross_fitted: (training rows, labels) of 0 and 1; see `cross_fitted_decision`.
    """

    columns: list[int] = field(default_factory=list)
    cross_fitted: np.ndarray | None = field(repr=False, default=None)

    def probabilities(self, split: str) -> np.ndarray:
        """As of any system; out of fold (trainings, rows, labels), uncalibrated.

        Calibrations of several folds would change the order of the texts of a label.
        """
        trainings: list[Any] = [self, *self.repeats]
        if split == OUT_OF_FOLD:
            return sigmoid(np.stack([one.out_of_fold for one in trainings]))[..., self.columns]
        return super().probabilities(split)[..., self.columns]

    def decisions(self, split: str) -> np.ndarray:
        """As of any system; out of fold (trainings, rows, labels), cross-fitted."""
        trainings: list[Any] = [self, *self.repeats]
        if split == OUT_OF_FOLD:
            return np.stack([one.cross_fitted for one in trainings])[..., self.columns]
        return super().decisions(split)[..., self.columns]


def compare_runs(
    folders: Sequence[str | Path],
    system: str | None = None,
    files: Mapping[str, str | Path | None] | None = None,
) -> dict[str, Any]:
    """Compare finished runs with the first of them by a paired bootstrap.

    Args:
        folders: of the runs, two or more.
        system: which of their systems: `meta`, `average` or an encoder; by default the last one,
            which is published.
        files: where the texts of the first run are now, by split; by default where its recipe says.

    Returns:
        `systems` and `comparisons` as in `results.json`, for the splits on whose texts all runs
        can be compared, and `out of fold`. `notes` says why one is left out. Where some runs have
        more trainings or seeds, the first ones are compared.

    Raises:
        UserError: a folder is not that of a finished training or its files are damaged, the runs
            have other labels, the texts have changed, or there is nothing to compare.
    """
    if len(folders) < 2:
        raise UserError("Give two runs or more: the others are compared with the first one.")
    runs = [_open(Path(folder).expanduser(), system) for folder in folders]
    first, names = runs[0], runs[0].results["labels"]
    for run in runs:
        if differing := sorted({*run.results["labels"]} ^ {*names}):
            raise UserError(
                f"{run.folder} and {first.folder} have other labels: {quoted(differing)} is in one "
                "of them only. Compare runs with the same labels."
            )
    texts = _texts(first, files or {})
    why = {s: next(filter(None, (_obstacle(run, s, texts) for run in runs)), "") for s in texts}
    splits = [split for split in texts if not why[split]]
    notes = [f"{split} is left out: {why[split]}." for split in texts if why[split]]
    if not splits:
        raise UserError(f"There is nothing to compare. {' '.join(notes)}")
    systems = [_kept_system(run, splits, texts) for run in runs]
    notes += _same_seeds(systems)
    titled = dict(zip(_titles(runs), systems, strict=True))
    title, base = next(iter(titled.items()))
    truth = {split: texts[split].labels.astype(np.int64) for split in splits}
    rare = first.results["rare_labels"]
    columns = [names.index(name) for name in rare]
    return {
        "format": 1,
        "runs": {name: one.name for name, one in titled.items()},
        "notes": notes,
        "labels": names,
        "rare_labels": rare,
        "splits": splits,
        "data": {split: first.results["data"][split] for split in splits},
        "systems": {
            name: {split: one.scores(split, truth[split], names, rare) for split in splits}
            for name, one in titled.items()
        },
        "comparisons": {
            split: {
                f"{name} - {title}": compare(one, base, split, truth[split], rare_columns=columns)
                for name, one in list(titled.items())[1:]
            }
            for split in splits
        },
    }


def comparison_markdown(found: Mapping[str, Any]) -> str:
    """The tables of scores and differences by split, from what `compare_runs` returns."""
    systems = {in_markdown(name): scores for name, scores in found["systems"].items()}
    which = in_markdown(listed(sorted({*found["runs"].values()})))
    lines = [f"System of each run: {which}. Compared with {next(iter(systems))}.", ""]
    lines += [f"{in_markdown(note)}\n" for note in found["notes"]]
    for split in found["splits"]:
        data, pairs = found["data"][split], found["comparisons"][split]
        source, leak = in_markdown(source_name(data["source"])), leak_note(data)
        lines += [
            f"## {split}: {source} ({counted(data['rows'], 'text')})\n",
            *([f"**{leak}**\n"] if leak else []),
            *([f"{_CROSS_FITTED}\n"] if split == OUT_OF_FOLD else []),
            systems_table({name: one[split] for name, one in systems.items()}, aligned=True) + "\n",
            differences_table({in_markdown(p): pairs[p] for p in pairs}, aligned=True) + "\n",
        ]
    return "\n".join(lines).rstrip()


def _open(folder: Path, system: str | None) -> _Run:
    """A run by its folder; `data` of its results has the training texts as `out of fold`."""
    results = run_results(folder)
    if results.get("kind") == "student":
        raise UserError(f"{folder} is a distillation. Give the folders of trainings.")
    if missing := {"labels", "rare_labels", "systems", "data", "decisions", "recipe"} - {*results}:
        raise UserError(
            f"The results.json of {folder} is damaged or of another version: it has no "
            f"{listed(sorted(missing))}. Train again."
        )
    known = list(results["systems"])
    if system is not None and system not in known:
        near = did_you_mean(system, known)
        raise UserError(f"{folder} has no system {system!r}{near}. It has {listed(known)}.")
    data = {OUT_OF_FOLD if name == "train" else name: one for name, one in results["data"].items()}
    return _Run(folder, results | {"data": data}, system or known[-1])


def _titles(runs: Sequence[_Run]) -> list[str]:
    """Names of the folders, with places where they are the same, and systems where they differ."""
    names = [run.folder.resolve().name for run in runs]
    if len({*names}) < len(names):
        names = [f"{name} ({place})" for place, name in enumerate(names, 1)]
    if len({run.system for run in runs}) > 1:
        names = [f"{name}, {run.system}" for name, run in zip(names, runs, strict=True)]
    return names


def _texts(run: _Run, files: Mapping[str, str | Path | None]) -> Texts:
    """The texts of a run, read again: those that are only scored, and the training texts last.

    Raises:
        UserError: they have changed since.
    """
    given = {name: files.get(name) and str(files[name]) for name in ("train", "validation", "test")}
    read = load_splits(data_of_run(run.folder, run.results, given))
    texts = {name: read[name] for name in ("validation", "test") if name in read}
    texts[OUT_OF_FOLD] = read["train"]
    for split, found in texts.items():
        if found.fingerprint() != run.results["data"].get(split, {}).get("fingerprint"):
            name = "train" if split == OUT_OF_FOLD else split
            raise UserError(
                f"{found.source}: these are not the texts and labels that {run.folder} was made "
                f"with. Train again, or say where the file of that time is by --{name}_file."
            )
    return texts


def _in_order(texts: LabeledTexts, labels: Sequence[str]) -> LabeledTexts:
    columns = [texts.label_names.index(name) for name in labels]
    return replace(texts, label_names=list(labels), labels=texts.labels[:, columns])


def _obstacle(run: _Run, split: str, texts: Texts) -> str | None:
    """Why a run cannot be compared on these texts; None if it can."""
    data = run.results["data"].get(split)
    own = _in_order(texts[split], run.results["labels"])
    if data is None or data["fingerprint"] != own.fingerprint():
        return f"{run.folder} has other texts or none"
    if split == OUT_OF_FOLD and not run.results["recipe"].get("cross_fit"):
        return f"{run.folder} was trained without cross-fitting"
    if split == OUT_OF_FOLD and run.system == "joint":
        return f"the stack of {run.folder} was trained end to end on all training texts"
    return None


def _kept_system(run: _Run, splits: Sequence[str], texts: Texts) -> KeptSystem:
    """The system of a run, which must give the figures that the run has.

    Raises:
        UserError: files are missing, damaged, or of another training than the figures.
    """
    try:
        system = _read_system(run, splits, texts)
        for split in {*splits} - {OUT_OF_FOLD}:
            truth = texts[split].labels.astype(np.int64)
            now = [jaccard_per_row(truth, given).mean() for given in system.decisions(split)]
            if not np.allclose(now, run.results["systems"][run.system][split]["jaccard"]["values"]):
                raise ValueError("other scores")
    except UserError:
        raise
    except (LookupError, TypeError, ValueError) as error:
        raise UserError(
            f"The predictions in {run.folder} do not fit its results.json ({error}): they are of "
            "another training or version. Train again with the same settings."
        ) from error
    return system


def _read_system(run: _Run, splits: Sequence[str], texts: Texts) -> KeptSystem:
    results, train = run.results, texts[OUT_OF_FOLD]
    logits = {split: _logits(run, split) for split in splits}
    system = KeptSystem(run.system, Decision.from_dict(results["decisions"][run.system]), logits)
    system.columns = [results["labels"].index(label) for label in train.label_names]
    if OUT_OF_FOLD in logits:
        held_out, recipe = logits.pop(OUT_OF_FOLD)[0], results["recipe"]
        rules = recipe["decisions"], recipe["threshold_objective"], recipe.get("min_labels", 1)
        labels = _in_order(train, results["labels"]).labels
        again, system.cross_fitted = cross_fitted_decision(held_out, labels, *rules)
        if not np.allclose(again.thresholds, system.decision.thresholds, atol=1e-6):
            raise ValueError("another decision")
        system.out_of_fold = held_out
    for seed in results["seeds"]["folds_and_encoders"][1:]:
        repeat = _open(run.folder / f"seed_{seed}", run.system)
        system.repeats.append(_read_system(repeat, splits, texts))
    return system


def _logits(run: _Run, split: str) -> np.ndarray:
    """(seeds, rows, labels) logits that a run kept of its system.

    Raises:
        UserError: they are missing or damaged.
    """
    encoders = list(run.results["encoders"])
    if run.system not in (*encoders, "average"):
        folder = run.folder / ("head" if run.system == "stack" else run.system)
        file = f"{split.replace(' ', '_')}.safetensors"
        finished_in(folder, _ADVICE, Form(files=(file,)))
        logits = load_file(folder / file)["logits"]
        return logits.reshape(-1, *logits.shape[-2:])
    shared = Path(settings_of(run.folder, run.results).get("encoders_from") or run.folder)
    folder = shared / "features" / ("train" if split == OUT_OF_FOLD else split)
    finished_in(folder, _ADVICE, Form(files=("logits.bin",)))
    logits = np.fromfile(folder / "logits.bin", np.float32)
    logits = logits.reshape(-1, len(encoders), len(run.results["labels"]))
    average = run.system == "average"
    return (logits.mean(1) if average else logits[:, encoders.index(run.system)])[None]


def _same_seeds(systems: Sequence[KeptSystem]) -> list[str]:
    """Cut all systems to the trainings and seeds that each has, and say so."""
    seeds = [len(next(iter(one.logits.values()), (0,))) for one in systems]
    trainings = [1 + len(one.repeats) for one in systems]
    if len({*seeds}) == len({*trainings}) == 1:
        return []
    for system in systems:
        system.repeats = system.repeats[: min(trainings) - 1]
        for one in (system, *system.repeats):
            one.logits = {split: logits[: min(seeds)] for split, logits in one.logits.items()}
    first, each = counted(min(trainings), "training"), counted(min(seeds), "seed")
    return [f"Not all runs have as many seeds: compared are the first {first}, {each} of each."]
