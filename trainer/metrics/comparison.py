"""Finished runs against the first of them, on the same texts: the command `compare`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from ...common.errors import UserError, counted, did_you_mean, listed, quoted
from ...common.finished import Form, finished_in
from ...common.inert_text import in_markdown
from ...data.labeled_texts import LabeledTexts, load_splits
from ..choosing.decision_rules import Decision, cross_fitted_decision
from ..labeling.review import data_of_run, run_results
from ..results import System, compare, differences_table, leak_note, source_name, systems_table
from ..running.provenance import settings_of
from .reliability import OUT_OF_FOLD
from .scores import jaccard_per_row

Texts = Mapping[str, LabeledTexts]
_CROSS_FITTED = (
    "Each training text is scored by models that did not see it (of the first seed), and decided "
    "by a calibration and a rule that were fitted on other folds."
)


@dataclass(frozen=True)
class _Run:
    """A finished training; `data` of its results has the training texts as `out of fold`."""

    folder: Path
    results: dict[str, Any]
    system: str


def compare_runs(
    folders: Sequence[str | Path],
    system: str | None = None,
    reading: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Compare finished runs with the first of them by a paired bootstrap.

    Args:
        folders: of the runs, two or more.
        system: which of their systems: `meta`, `average` or an encoder; by default the last one,
            which is published.
        reading: data options of the first run that have changed since, such as `train_file`.

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
    first, labels, rare = runs[0], runs[0].results["labels"], runs[0].results["rare_labels"]
    for run in runs:
        if differing := sorted({*run.results["labels"]} ^ {*labels}):
            raise UserError(
                f"{run.folder} and {first.folder} have other labels: {quoted(differing)} is in one "
                "of them only. Compare runs with the same labels."
            )
    texts = _texts(first, reading or {})
    why = {s: next(filter(None, (_obstacle(run, s, texts) for run in runs)), "") for s in texts}
    notes = [f"{split} is left out: {why[split]}." for split in texts if why[split]]
    splits = [split for split in texts if not why[split]]
    if not splits:
        raise UserError(f"There is nothing to compare. {' '.join(notes)}")
    counts = ("folds_and_encoders", "layers_on_top")
    sizes = [tuple(len(run.results["seeds"][key]) for key in counts) for run in runs]
    size = min(one[0] for one in sizes), min(one[1] for one in sizes)
    if len({*sizes}) > 1:
        each = f"{counted(size[0], 'training')}, {counted(size[1], 'seed')} of each"
        notes.append(f"Not all runs have as many seeds: compared are the first {each}.")
    names = [run.folder.resolve().name for run in runs]
    if len({*names}) < len(names):
        names = [f"{name} ({place})" for place, name in enumerate(names, 1)]
    systems = [_read_system(run, splits, texts, size) for run in runs]
    named = dict(zip(names, systems, strict=True))
    return {
        "runs": {name: one.name for name, one in named.items()}, "notes": notes, "labels": labels,
        "rare_labels": rare, "splits": splits,
        "data": {split: first.results["data"][split] for split in splits},
        **_figures(named, {split: texts[split] for split in splits}, rare),
    }  # fmt: skip


def _figures(systems: Mapping[str, System], texts: Texts, rare: Sequence[str]) -> dict[str, Any]:
    """Scores by run and split, and differences from the first run by split and pair."""
    scores: dict[str, Any] = {name: {} for name in systems}
    pairs: dict[str, Any] = {split: {} for split in texts}
    (first, base), *others = systems.items()
    for split, found in texts.items():
        truth, labels = found.labels.astype(np.int64), found.label_names
        for name, one in systems.items():
            own = one.scores(split, truth, labels, rare)
            if split == OUT_OF_FOLD:  # the calibration that these show has seen the texts
                own = {m: own[m] for m in own if m not in ("brier", "ece", "micro_ap")}
            scores[name][split] = own
        columns = [labels.index(name) for name in rare]
        for name, one in others:
            entry = compare(one, base, split, truth, rare_columns=columns)
            pairs[split][f"{name} - {first}"] = entry
    return {"systems": scores, "comparisons": pairs}


def comparison_markdown(found: Mapping[str, Any]) -> str:
    """The tables of scores and differences by split, from what `compare_runs` returns."""
    systems = {in_markdown(name): scores for name, scores in found["systems"].items()}
    which = listed([f"{system} of {name}" for name, system in found["runs"].items()])
    lines = [f"{in_markdown(note)}\n" for note in (f"Compared: {which}.", *found["notes"])]
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
    results = run_results(folder)
    known = list(results.get("systems", ()))
    needed = {"labels", "systems", "decisions", "data", "encoders", "seeds", "recipe_digest"}
    if results.get("kind") == "student" or needed - {*results}:
        raise UserError(
            f"{folder} is not a training, or its results.json is damaged or of another version. "
            "Give the folders of trainings."
        )
    if system is not None and system not in known:
        near = did_you_mean(system, known)
        raise UserError(f"{folder} has no system {system!r}{near}. It has {listed(known)}.")
    data = {OUT_OF_FOLD if name == "train" else name: one for name, one in results["data"].items()}
    return _Run(folder, results | {"data": data}, system or known[-1])


def _texts(run: _Run, reading: Mapping[str, Any]) -> Texts:
    """The texts of a run, read again: those that are only scored, and the training texts last.

    Raises:
        UserError: they have changed since.
    """
    splits = ("validation", "test", "train")
    read = load_splits(data_of_run(run.folder, run.results, reading, splits))
    texts = {OUT_OF_FOLD if s == "train" else s: read[s] for s in splits if s in read}
    for split, found in texts.items():
        if found.fingerprint() != run.results["data"].get(split, {}).get("fingerprint"):
            option = f"--{'train' if split == OUT_OF_FOLD else split}_file"
            raise UserError(
                f"{found.source} has other texts or labels than {run.folder} was made with. Train "
                f"again, or say where the unchanged file is by {option}."
            )
    return texts


def _in_order(texts: LabeledTexts, labels: Sequence[str]) -> LabeledTexts:
    columns = [texts.label_names.index(name) for name in labels]
    return replace(texts, label_names=list(labels), labels=texts.labels[:, columns])


def _obstacle(run: _Run, split: str, texts: Texts) -> str | None:
    """Why a run cannot be compared on these texts; None if it can."""
    own = _in_order(texts[split], run.results["labels"]).fingerprint()
    if run.results["data"].get(split, {}).get("fingerprint") != own:
        return f"{run.folder} has other texts, or none"
    if split == OUT_OF_FOLD and not run.results["recipe"].get("cross_fit"):
        return f"{run.folder} was trained without cross-fitting"
    if split == OUT_OF_FOLD and run.system == "joint":
        return f"the stack of {run.folder} was trained end to end on all training texts"
    return None


def _read_system(run: _Run, splits: Sequence[str], texts: Texts, size: tuple[int, int]) -> System:
    """The system of a run, decided and calibrated, with the labels in the order of the texts.

    Raises:
        UserError: files are missing, damaged, or do not give the figures of the run.
    """
    results, order = run.results, texts[OUT_OF_FOLD].label_names
    columns = [results["labels"].index(label) for label in order]
    try:
        decision = Decision.from_dict(results["decisions"][run.system])
        system = System(run.system, replace(decision, calibration=None), {})
        for split in splits:
            labels = _in_order(texts[split], results["labels"]).labels.astype(np.int64)
            logits = _logits(run, split, labels.shape)
            if split == OUT_OF_FOLD:
                recipe = results["recipe"]
                rules = recipe["decisions"], recipe["threshold_objective"]
                least = recipe.get("min_labels", 1)
                again, decided = cross_fitted_decision(logits[0], labels, *rules, least)
                fits = np.allclose(again.thresholds, decision.thresholds, atol=1e-6)
            else:
                decided = decision.decide(logits)
                scores = [jaccard_per_row(labels, given).mean() for given in decided]
                recorded = results["systems"][run.system][split]["jaccard"]["values"]
                fits = np.allclose(scores, recorded[: len(scores)])
            if not fits:
                raise ValueError(f"{split}: other figures")
            system.logits[split] = decision.calibrated(logits)[: size[1], :, columns]
            system.decided[split] = decided.reshape(logits.shape)[: size[1], :, columns]
        for seed in results["seeds"]["folds_and_encoders"][1 : size[0]]:
            repeat = _open(run.folder / f"seed_{seed}", run.system)
            system.repeats.append(_read_system(repeat, splits, texts, size))
    except UserError:
        raise
    except (LookupError, TypeError, ValueError) as error:
        raise UserError(
            f"The predictions in {run.folder} do not fit its results.json ({error}): they are of "
            "another training or version. Train again with the same settings."
        ) from error
    return system


def _logits(run: _Run, split: str, shape: tuple[int, ...]) -> np.ndarray:
    """(seeds, rows, labels) logits that a run kept of its system, whose last axes are `shape`.

    Raises:
        UserError: they are missing or damaged.
    """
    encoders = list(run.results["encoders"])
    if run.system in (*encoders, "average"):
        shared = Path(settings_of(run.folder, run.results).get("encoders_from") or run.folder)
        folder = shared / "features" / ("train" if split == OUT_OF_FOLD else split)
        file = "logits.bin"
    else:
        folder = run.folder / ("head" if run.system == "stack" else run.system)
        file = f"{split.replace(' ', '_')}.safetensors"
    finished_in(folder, "train again with the same settings.", Form(files=(file,)))
    if file != "logits.bin":
        return load_file(folder / file)["logits"].reshape(-1, *shape)
    logits = np.fromfile(folder / file, np.float32).reshape(shape[0], len(encoders), shape[1])
    average = run.system == "average"
    return (logits.mean(1) if average else logits[:, encoders.index(run.system)])[None]
