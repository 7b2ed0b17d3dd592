"""The figures of a run: every system scored, as JSON and as Markdown."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..common.errors import counted
from ..common.files import replace_file
from ..common.inert_text import in_markdown
from ..common.numerics import sigmoid
from ..common.tables import markdown_table
from .choosing.abstention import abstention_lines
from .choosing.calibration import cross_calibrated
from .choosing.decision_rules import Decision
from .metrics.bootstrap import BOOTSTRAP_METRICS, paired_bootstrap
from .metrics.reliability import OUT_OF_FOLD, calibration_lines, reliability
from .metrics.scores import emotion_scores
from .metrics.titles import TITLES

if TYPE_CHECKING:
    from ..data.labeled_texts import DataSplits, LabeledTexts

MAIN_METRICS = ("jaccard", "micro_f1", "macro_f1", "macro_ap", "rare_ap", "hamming_loss")
MORE_METRICS = ("micro_precision", "micro_recall", "macro_precision", "macro_recall")

_DIFFERENCES = (
    "Differences, with the 95 % interval of a paired bootstrap over texts and seeds; `*` marks "
    "intervals without 0:"
)


@dataclass
class System:
    """A system to score: its logits of each split, one set per seed, and how it decides.

    Attributes:
        name: its name in the tables.
        decision: chosen on out-of-fold training predictions.
        logits: by split, (seeds, rows, labels), before `decision.calibration`.
        out_of_fold: (training rows, labels) logits that the decision was chosen on, if known.
        repeats: the same system of further trainings with encoders of their own, as many seeds
            each; their runs follow its own.
        decided: by split, (seeds, rows, labels) of 0 and 1 that take the place of `decision`.
    """

    name: str
    decision: Decision
    logits: dict[str, np.ndarray] = field(repr=False)
    out_of_fold: np.ndarray | None = field(repr=False, default=None)
    repeats: list[System] = field(default_factory=list, repr=False)
    decided: dict[str, np.ndarray] = field(default_factory=dict, repr=False)

    def probabilities(self, split: str) -> np.ndarray:
        """(seeds, rows, labels) float64, calibrated."""
        trainings = (self, *self.repeats)
        return np.concatenate(
            [sigmoid(one.decision.calibrated(one.logits[split])) for one in trainings]
        )

    def decisions(self, split: str) -> np.ndarray:
        """(seeds, rows, labels) of 0 and 1."""
        trainings = (self, *self.repeats)
        return np.concatenate(
            [one.decided[split] if split in one.decided else one.decision.decide(one.logits[split])
             for one in trainings]
        )  # fmt: skip

    def scores(
        self, split: str, labels: np.ndarray, label_names: Sequence[str], rare: Sequence[str]
    ) -> dict[str, dict[str, Any]]:
        """Mean, standard deviation and values over the seeds of every metric.

        `rare_ap` is the mean average precision of the rare labels.
        """
        runs = [
            emotion_scores(labels, run, label_names=label_names, decisions=decided)
            for run, decided in zip(self.probabilities(split), self.decisions(split), strict=True)
        ]
        for run in runs:
            if rare:
                run["rare_ap"] = float(np.mean([run[f"ap_{label}"] for label in rare]))
        values = {metric: [run[metric] for run in runs] for metric in runs[0]}
        return {
            metric: {
                "mean": float(np.mean(found)),
                "std": float(np.std(found, ddof=1)) if len(found) > 1 else 0.0,
                "values": found,
            }
            for metric, found in values.items()
        }


def rare_labels(
    prevalence: Sequence[float], label_names: Sequence[str], share: float = 0.1
) -> list[str]:
    """The labels that less than `share` of the training texts have."""
    return [name for name, value in zip(label_names, prevalence, strict=True) if value < share]


def score_systems(
    data: DataSplits, systems: Sequence[System], pairs: Sequence[tuple[System, System]]
) -> dict[str, Any]:
    """The part of `results.json` that every kind of run has.

    Args:
        data: the labeled texts; the systems are scored on all splits but the training split.
        systems: what is scored.
        pairs: the systems that are compared with each other.

    Returns:
        Labels, rare labels and splits; `systems`, the scores by system and split; `comparisons`, by
        split and pair; and the decision of each system.
    """
    names = data.label_names
    rare = rare_labels(data.statistics.prevalence.tolist(), names)
    truth = {s: data.splits[s].labels.astype(np.int64) for s in data.held_out_splits}
    return {
        "format": 1,
        "labels": names,
        "rare_labels": rare,
        "splits": data.held_out_splits,
        "systems": {
            system.name: {s: system.scores(s, labels, names, rare) for s, labels in truth.items()}
            for system in systems
        },
        "comparisons": {
            s: {f"{a.name} - {b.name}": compare(a, b, s, labels) for a, b in pairs}
            for s, labels in truth.items()
        },
        "decisions": {system.name: system.decision.to_dict() for system in systems},
    }


def calibration_record(
    system: System, data: DataSplits, before: System | None = None
) -> dict[str, Any] | None:
    """Scale and bias of each label, and ECE and Brier score by split and label, before and after.

    Out of fold, each text is calibrated on the folds that it is not in. Of several seeds the first
    one is taken, which is published.

    Args:
        system: the published one.
        data: the labeled texts.
        before: the system whose out-of-fold logits it was calibrated on; None for itself.
    """
    fitted, held_out = system.decision.calibration, (before or system).out_of_fold
    if fitted is None:
        return None
    shared = len(set(fitted.scale.tolist())) == 1
    splits = {split: system.logits[split][0] for split in data.held_out_splits}
    after = {split: fitted(logits) for split, logits in splits.items()}
    truth = {split: data.splits[split].labels for split in data.held_out_splits}
    if held_out is not None:
        labels = data.splits["train"].labels.astype(np.int64)
        splits = {OUT_OF_FOLD: held_out} | splits
        after = {OUT_OF_FOLD: cross_calibrated(held_out, labels, not shared)} | after
        truth |= {OUT_OF_FOLD: labels}
    return fitted.to_dict() | {
        "before": {name: reliability(truth[name], sigmoid(z)) for name, z in splits.items()},
        "after": {name: reliability(truth[name], sigmoid(z)) for name, z in after.items()},
    }


def compare(
    first: System,
    second: System,
    split: str,
    labels: np.ndarray,
    resamples: int = 2000,
    rare_columns: Sequence[int] = (),
) -> dict[str, Any]:
    """`compare_columns` for every metric of `BOOTSTRAP_METRICS`, and for the rare labels.

    Returns:
        Metric to the fields of `BootstrapResult`; with `rare_columns` also `rare_ap`, the mean
        average precision of these labels.
    """
    found = {
        metric: compare_columns(first, second, split, labels, metric, resamples=resamples)
        for metric in BOOTSTRAP_METRICS
    }
    if len(rare_columns):
        found["rare_ap"] = compare_columns(
            first, second, split, labels, "macro_ap", rare_columns, resamples
        )
    return found


def compare_columns(
    first: System,
    second: System,
    split: str,
    labels: np.ndarray,
    metric: str,
    columns: Sequence[int] | None = None,
    resamples: int = 2000,
) -> dict[str, Any]:
    """Paired bootstrap of one metric of two systems, over rows and seeds.

    Args:
        first: a system.
        second: another one. If one of the two has a single run per training, it is paired with
            every seed of that training.
        split: which logits.
        labels: (rows, labels) of 0 and 1.
        metric: one of `BOOTSTRAP_METRICS`.
        columns: the labels that are compared; None for all.
        resamples: of the rows and seeds.

    Returns:
        The fields of `BootstrapResult`.
    """
    chosen = list(range(labels.shape[1]) if columns is None else columns)
    pick = System.probabilities if metric == "macro_ap" else System.decisions
    runs = [pick(system, split)[..., chosen] for system in (first, second)]
    seeds = max(map(len, runs))
    one, other = (np.repeat(run, seeds // len(run), axis=0) for run in runs)
    groups = len(first.repeats) + 1
    return paired_bootstrap(
        labels[:, chosen], one, other, metric, resamples=resamples,
        groups=groups if groups > 1 else None,
    ).to_dict()  # fmt: skip


def data_record(splits: Mapping[str, LabeledTexts], dataset_name: str | None) -> dict[str, Any]:
    """`split_record` of each split, and the data set that they are from."""
    records = {split: split_record(texts) for split, texts in splits.items()}
    return records | {"dataset_name": dataset_name}


def split_record(texts: LabeledTexts) -> dict[str, Any]:
    """Where the texts came from, how many, and the share of each label; no texts."""
    shares = texts.labels.mean(0).round(4).tolist()
    return {
        "source": texts.source,
        "rows": len(texts),
        "fingerprint": texts.fingerprint(),
        "leaked": texts.inventory.leaked_texts if texts.inventory else 0,
        "inventory": None if texts.inventory is None else texts.inventory.to_dict(),
        "prevalence": dict(zip(texts.label_names, shares, strict=True)),
    }


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a compressed `.npz` so that the file is either the old one or the whole new one."""

    def write(partial: Path) -> None:
        with partial.open("wb") as stream:
            np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]

    replace_file(path, write)


def leak_note(entry: Mapping[str, Any]) -> str:
    """What has to be said of the figures of a split whose texts occur in an earlier one, or ""."""
    count = (entry.get("inventory") or {}).get("leaked_texts")
    if not count:
        return ""
    return (
        f"Leaked: {count:,} of the {counted(entry['rows'], 'text')} (also in an earlier split). "
        "These figures are too good."
    )


def baselines_command(folder: str) -> str:
    """The command that scores the baselines on the texts of a finished run; nothing is trained."""
    run = shlex.quote(folder)
    rows = "most_frequent_labels tf_idf_logistic_regression"
    return f"stacked-emotion ablate {run}/recipe.yaml --output_dir {run} --variants {rows}"


def to_markdown(results: dict[str, Any]) -> str:
    """The results as Markdown: scores by system and by label, comparisons and times."""
    lines = [
        "# Results",
        "",
        *(f"- {in_markdown(text)}" for text in results.get("summary", ())),
        "",
    ]
    for split in results["splits"]:
        systems = {name: entry[split] for name, entry in results["systems"].items()}
        last, data = list(systems)[-1], results["data"][split]
        note = leak_note(data)
        source, texts = in_markdown(source_name(data["source"])), counted(data["rows"], "text")
        lines += [
            f"## {split}: {source} ({texts})", "",
            *([f"**{note}**", ""] if note else []),
            systems_table(systems, MAIN_METRICS + MORE_METRICS, marks=system_marks(results, split)),
            "",
            f"By label, {last}:", "",
            label_table(systems[last], results["labels"], shown_thresholds(results)), "",
        ]  # fmt: skip
        if compared := results.get("comparisons", {}).get(split):
            lines += [differences_table(compared), ""]
    if results["splits"] and results.get("kind") != "student":
        command = baselines_command("RUN")
        lines += ["For baselines on the same texts, where RUN is the folder of the run:", "",
                  f"    {command}", ""]  # fmt: skip
    lines += calibration_lines(results.get("calibration"), results["labels"])
    lines += abstention_lines(results.get("abstention"))
    related = [
        [
            name,
            ", ".join(step["sources"]),
            step["texts"],
            step["left_out"],
            ", ".join(step["labels"]),
        ]
        for name, encoder in results.get("encoders", {}).items()
        for step in encoder.get("pretraining", ())
    ]
    if related:
        header = ["encoder", "first fine-tuned on", "texts", "left out", "labels"]
        lines += ["## Related data", "", markdown_table(header, related), ""]
    seconds = results["seconds_by_part"].items()
    times = markdown_table(["part", "seconds"], [(part, f"{value:.0f}") for part, value in seconds])
    lines += ["## Time", "", times, "", f"Hardware: {results['environment']['hardware']}.", ""]
    return "\n".join(lines)


def systems_table(
    systems: Mapping[str, Mapping[str, Any]],
    metrics: Sequence[str] = MAIN_METRICS,
    aligned: bool = False,
    marks: Mapping[str, str] | None = None,
) -> str:
    """One row per system: the scores that the first one has, of `metrics`.

    Args:
        systems: scores by system.
        metrics: the columns.
        aligned: see `markdown_table`.
        marks: what is added to the names of systems.
    """
    columns = [metric for metric in metrics if metric in next(iter(systems.values()))]
    rows = [
        [name + (marks or {}).get(name, ""), *(score_cell(scores[m]) for m in columns)]
        for name, scores in systems.items()
    ]
    return markdown_table(["system", *(TITLES[m] for m in columns)], rows, aligned)


def differences_table(compared: Mapping[str, Mapping[str, Any]], aligned: bool = False) -> str:
    """One row per pair of systems, from what `compare` returns, below what its cells are."""
    columns = list(next(iter(compared.values())))
    rows = [
        [pair.replace(" - ", " − "), *(interval_cell(found[m]) for m in columns)]
        for pair, found in compared.items()
    ]
    table = markdown_table(["difference", *(TITLES[m] for m in columns)], rows, aligned)
    return f"{_DIFFERENCES}\n\n{table}"


def label_table(
    scores: Mapping[str, Any],
    labels: Sequence[str],
    thresholds: Mapping[str, float] | None,
    aligned: bool = False,
) -> str:
    """One row per label: support, precision, recall, F1, average precision and threshold.

    Args:
        scores: what `System.scores` gives.
        labels: the labels.
        thresholds: by label; None where they are not what a score is compared with.
        aligned: see `markdown_table`.
    """
    kinds = ("precision", "recall", "f1", "ap")
    rows = [
        [in_markdown(label), int(scores[f"support_{label}"]["mean"]),
         *(score_cell(scores[f"{kind}_{label}"]) for kind in kinds),
         *([f"{thresholds[label]:.3f}"] if thresholds else [])]
        for label in labels
    ]  # fmt: skip
    header = ["label", "support", "precision", "recall", "F1", "AP", "threshold"]
    return markdown_table(header if thresholds else header[:-1], rows, aligned)


def shown_thresholds(results: Mapping[str, Any]) -> dict[str, float] | None:
    """The thresholds of the published system by label; None if it decides by expected Jaccard."""
    kinds = [decision["kind"] for decision in results.get("decisions", {}).values()]
    return None if kinds[-1:] == ["expected_jaccard"] else results["thresholds"]


def system_marks(results: Mapping[str, Any], split: str) -> dict[str, str]:
    """What tables add to the names of systems: the best single encoder, stages that were not kept.

    Args:
        results: of a run, or of anything that has systems.
        split: which scores are shown.
    """
    marks = {}
    if best := (results.get("best_single") or {}).get(split):
        marks[best] = " (best single encoder here)"
    if "meta" in results.get("left_at_start", ()):
        marks["meta"] = " (training not kept: the average)"
    if "head" in results.get("left_at_start", ()):
        same = "meta" if results["recipe"]["ensemble_start"] else "untrained"
        marks["stack"] = f" (stage head not kept: {same})"
    return marks


def source_name(source: str) -> str:
    """The name of a file without its folders; a data set as it is."""
    return re.sub(r".*[/\\](?=[^/\\]*\.\w+( \(.*\))?$)", "", source)


def interval_cell(entry: Mapping[str, float]) -> str:
    """A difference with its interval, and `*` where 0 lies outside."""
    mark = "*" if entry["low"] > 0 or entry["high"] < 0 else ""
    return f"{entry['difference']:+.3f} [{entry['low']:+.3f}, {entry['high']:+.3f}]{mark}"


def score_cell(entry: Mapping[str, Any]) -> str:
    """A score of `System.scores` as text: mean ± standard deviation, or one value."""
    if len(entry["values"]) > 1:
        return f"{entry['mean']:.3f} ± {entry['std']:.3f}"
    return f"{entry['mean']:.3f}"
