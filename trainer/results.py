"""The figures of a run: every system scored, as JSON and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from huggingface_hub import hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import HFValidationError

from ..common.files import file_digest
from ..common.numerics import sigmoid
from .choosing.decision_rules import Decision
from .metrics.bootstrap import BOOTSTRAP_METRICS, paired_bootstrap
from .metrics.scores import emotion_scores

if TYPE_CHECKING:
    from ..data.labeled_texts import LabeledTexts

_SOURCE_FILES = ("*.json", "*.txt", "*.model", "tokenizers/*/*.json")
HEADLINES = ("jaccard", "micro_f1", "macro_f1", "macro_ap", "hamming_loss")


@dataclass
class System:
    """One system to score: logits of each split, one set a seed, and how it decides.

    Attributes:
        name: as in the tables.
        decision: chosen on out-of-fold training predictions.
        logits: by split, (seeds, rows, labels).
    """

    name: str
    decision: Decision
    logits: dict[str, np.ndarray] = field(repr=False)

    def probabilities(self, split: str) -> np.ndarray:
        """(seeds, rows, labels)."""
        return sigmoid(self.logits[split])

    def decisions(self, split: str) -> np.ndarray:
        """(seeds, rows, labels) of 0 and 1."""
        return self.decision.decide(self.logits[split])

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
        return {
            metric: {
                "mean": float(np.mean([run[metric] for run in runs])),
                "std": float(np.std([run[metric] for run in runs], ddof=1))
                if len(runs) > 1
                else 0.0,
                "values": [run[metric] for run in runs],
            }
            for metric in runs[0]
        }


def rare_labels(
    prevalence: Sequence[float], label_names: Sequence[str], share: float = 0.1
) -> list[str]:
    """The labels that less than `share` of the training texts have."""
    return [name for name, value in zip(label_names, prevalence, strict=True) if value < share]


def compare(
    first: System,
    second: System,
    split: str,
    labels: np.ndarray,
    resamples: int = 2000,
    rare_columns: Sequence[int] = (),
    metrics: Sequence[str] = BOOTSTRAP_METRICS,
) -> dict[str, Any]:
    """Paired bootstrap of two systems on one split, over rows and seeds.

    Args:
        first: a system.
        second: another; where one of the two has a single run, it is paired with every seed.
        split: which logits.
        labels: (rows, labels) of 0 and 1.
        resamples: of the rows and seeds.
        rare_columns: labels whose mean average precision is compared too, as `rare_ap`.
        metrics: what is compared, of `BOOTSTRAP_METRICS`.

    Returns:
        Metric to the fields of `BootstrapResult`.
    """
    outcome = {}
    every = list(range(labels.shape[1]))
    tasks = [(metric, metric, every) for metric in metrics]
    if len(rare_columns):
        tasks.append(("rare_ap", "macro_ap", list(rare_columns)))
    for name, metric, columns in tasks:
        runs = _paired(first, second, split, metric)
        one, other = (run[..., columns] for run in runs)
        outcome[name] = paired_bootstrap(
            labels[:, columns], one, other, metric, resamples=resamples
        ).to_dict()
    return outcome


def compare_labels(
    first: System,
    second: System,
    split: str,
    labels: np.ndarray,
    columns: Sequence[int],
    resamples: int = 2000,
) -> list[dict[str, Any]]:
    """Paired bootstrap of the average precision of single labels; see `compare`."""
    one, other = _paired(first, second, split, "macro_ap")
    return [
        paired_bootstrap(
            labels[:, [c]], one[..., [c]], other[..., [c]], "macro_ap", resamples=resamples
        ).to_dict()
        for c in columns
    ]


def _paired(
    first: System, second: System, split: str, metric: str
) -> tuple[np.ndarray, np.ndarray]:
    """What a metric takes of two systems, with equally many seeds."""
    seeds = max(len(first.logits[split]), len(second.logits[split]))
    pick = System.probabilities if metric == "macro_ap" else System.decisions
    runs = [pick(system, split) for system in (first, second)]
    one, other = (run if len(run) == seeds else np.repeat(run[:1], seeds, axis=0) for run in runs)
    return one, other


def data_record(splits: Mapping[str, LabeledTexts], dataset_name: str | None) -> dict[str, Any]:
    """Where the texts of each split came from, how many, and the share of each label; no texts."""
    record: dict[str, Any] = {
        split: {
            "source": texts.source,
            "rows": len(texts),
            "fingerprint": texts.fingerprint(),
            "inventory": None if texts.inventory is None else texts.inventory.to_dict(),
            "prevalence": dict(
                zip(texts.label_names, texts.labels.mean(0).round(4).tolist(), strict=True)
            ),
        }
        for split, texts in splits.items()
    }
    return record | {"dataset_name": dataset_name}


def source_state(source: str, revision: str | None = None) -> dict[str, Any]:
    """Which state of an encoder's source is there now.

    Args:
        source: a folder or a Hub ID.
        revision: branch, tag or commit of a Hub ID.

    Returns:
        `commit`, that of the Hub, which its local cache knows too; or `files`, the SHA-256 of
        weights, configuration and tokenizer files in a folder. The value is null or empty where
        nothing is known.
    """
    if Path(source).is_dir():
        return {"files": _digests(Path(source))}
    try:
        config = hf_hub_download(source, "config.json", revision=revision)
    except (OSError, HFValidationError):
        return {"commit": None}  # the loading of the encoder says what is wrong
    return {"commit": Path(config).parent.name}


def used_state(source: str, state: dict[str, Any]) -> dict[str, Any]:
    """A source's state after it was loaded: with the files that the Hub's cache holds by now.

    Args:
        source: a folder or a Hub ID.
        state: what `source_state` returned before the loading.
    """
    if not state.get("commit"):
        return state
    config = try_to_load_from_cache(source, "config.json", revision=state["commit"])
    return state | {"files": _digests(Path(config).parent)} if isinstance(config, str) else state


def _digests(folder: Path) -> dict[str, str]:
    """SHA-256 of weights, configuration and tokenizer files by relative path."""
    files = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
    files += sorted(path for pattern in _SOURCE_FILES for path in folder.glob(pattern))
    return {path.relative_to(folder).as_posix(): file_digest(path) for path in files}


def to_markdown(results: dict[str, Any]) -> str:
    """The results as Markdown: systems by metric, class-wise, and what was compared."""
    lines = ["# Results", ""]
    for split in results["splits"]:
        lines += [f"## {split} ({results['data'][split]['rows']} texts)", ""]
        names = {"jaccard": "Jaccard", "micro_f1": "micro-F1", "macro_f1": "macro-F1",
                 "macro_ap": "macro AP", "hamming_loss": "Hamming", "micro_precision": "micro-P",
                 "micro_recall": "micro-R", "macro_precision": "macro-P",
                 "macro_recall": "macro-R", "rare_ap": "rare AP"}  # fmt: skip
        systems = {name: entry[split] for name, entry in results["systems"].items()}
        first = next(iter(systems.values()))
        names = {metric: title for metric, title in names.items() if metric in first}
        lines += ["| system | " + " | ".join(names.values()) + " |",
                  "|" + " --- |" * (len(names) + 1)]  # fmt: skip
        for name, scores in systems.items():
            cells = " | ".join(_cell(scores[metric]) for metric in names)
            lines.append(f"| {name} | {cells} |")
        lines += ["", f"Class-wise, {list(systems)[-1]}:", "",
                  "| label | support | precision | recall | F1 | AP | threshold |",
                  "|" + " --- |" * 7]  # fmt: skip
        last = list(systems.values())[-1]
        for label in results["labels"]:
            support = int(last[f"support_{label}"]["mean"])
            row = (_cell(last[f"{kind}_{label}"]) for kind in ("precision", "recall", "f1", "ap"))
            threshold = results["thresholds"][label]
            lines.append(f"| {label} | {support} | {' | '.join(row)} | {threshold:.3f} |")
        lines.append("")
        for pair, outcome in results.get("comparisons", {}).get(split, {}).items():
            for metric, entry in outcome.items():
                lines.append(
                    f"- {pair}, {metric}: {entry['difference']:+.4f}, 95 % interval "
                    f"[{entry['low']:+.4f}, {entry['high']:+.4f}]"
                )
        lines.append("")
    lines += ["## Time", "", "| part | seconds |", "| --- | --- |"]
    lines += [f"| {part} | {seconds:.0f} |" for part, seconds in results["seconds_by_part"].items()]
    lines += ["", f"Hardware: {results['environment']['hardware']}.", ""]
    return "\n".join(lines)


def _cell(entry: dict[str, Any]) -> str:
    if len(entry["values"]) > 1:
        return f"{entry['mean']:.3f} ± {entry['std']:.3f}"
    return f"{entry['mean']:.3f}"
