"""The figures of a run: every system scored, as JSON and as Markdown."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .decisions import Decision
from .metrics.bootstrap import paired_bootstrap
from .metrics.scores import emotion_scores

HEADLINES = ("jaccard", "micro_f1", "macro_f1", "macro_ap", "hamming_loss")
PACKAGES = ("torch", "transformers", "datasets", "evaluate", "accelerate", "huggingface-hub")


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
        return 1.0 / (1.0 + np.exp(-self.logits[split].astype(np.float64)))

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
    first: System, second: System, split: str, labels: np.ndarray, resamples: int = 2000
) -> dict[str, Any]:
    """Paired bootstrap of two systems on one split, over rows and seeds."""
    seeds = max(len(first.logits[split]), len(second.logits[split]))

    def spread(values: np.ndarray) -> np.ndarray:
        return values if len(values) == seeds else np.repeat(values[:1], seeds, axis=0)

    outcome = {}
    for metric in ("jaccard", "micro_f1", "macro_f1", "macro_ap"):
        pick = System.probabilities if metric == "macro_ap" else System.decisions
        outcome[metric] = paired_bootstrap(
            labels,
            spread(pick(first, split)),
            spread(pick(second, split)),
            metric,
            resamples=resamples,
        ).to_dict()
    return outcome


def environment() -> dict[str, Any]:
    """Versions, hardware and git state."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    hardware = (
        f"{platform.machine()}, {os.cpu_count()} CPU cores, {torch.get_num_threads()} threads"
    )
    if torch.cuda.is_available():
        hardware += f", {torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}"
    root = Path(__file__).parent.parent
    state = None
    if (root / ".git").exists():
        command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        state = answer.stdout.strip() or None
    return {"versions": versions, "hardware": hardware, "git": state}


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
