"""Whether a model decides as its card and `results.json` say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ...common.errors import UserError, counted
from ...common.files import read_json
from ...common.inert_text import one_line
from ...common.numerics import sigmoid
from ...data.labeled_texts import DataArguments, LabeledTexts, load_labeled_texts
from ...inference.decisions import Decision
from ...trainer.metrics.scores import emotion_scores
from ...trainer.running.provenance import settings_of
from .report import Outcome, judged

ROUNDED = 1e-3
"""The card has scores with four decimals; other processors round their last bits otherwise."""
_FIGURES = ("jaccard", "micro_f1", "macro_f1", "macro_ap", "hamming_loss", "brier")
_SPLITS = ("test", "validation")


@dataclass(frozen=True)
class Recorded:
    """What was written down about a model.

    Attributes:
        results: `results.json`; empty if there is none.
        run: the run's folder, where the model is still in it.
        examples: scores by label, by text of the card.
    """

    results: dict[str, Any]
    run: Path | None
    examples: dict[str, dict[str, float]]

    @classmethod
    def of(cls, folder: Path) -> Recorded:
        """Read what is in a model's folder, or in that of its run.

        A repository that was gathered in the run's folder belongs to the run, unless the model
        was trained again since.
        """
        run = folder.resolve().parent
        found = [
            read_json(place / "results.json") if (place / "results.json").is_file() else {}
            for place in (folder, run)
        ]
        own, of_run = found
        if folder.resolve().name == "model":
            own = own or of_run
        belongs = bool(of_run) and own.get("systems") == of_run.get("systems")
        return cls(own, run if belongs else None, card_scores(folder / "README.md"))

    @property
    def system(self) -> str | None:
        """The system whose weights are published: the last one scored."""
        return next(reversed(self.results.get("systems") or {}), None)

    def split_of(self, texts: LabeledTexts) -> str | None:
        """The recorded split that has these very texts and labels."""
        data = self.results.get("data") or {}
        found = texts.fingerprint()
        return next((s for s in _SPLITS if (data.get(s) or {}).get("fingerprint") == found), None)

    @property
    def wanted_rows(self) -> str:
        """Which labeled texts the figures are of, in words."""
        data = self.results.get("data") or {}
        split = next((split for split in _SPLITS if data.get(split)), None)
        if split is None:
            return "labeled texts"
        source = one_line(Path(str(data[split].get("source"))).name)
        return f"the {split} texts of results.json ({source})"

    def own_rows(self, labels: Sequence[str]) -> LabeledTexts | None:
        """The held-out texts of the run, where their file is still at its place."""
        if self.run is None:
            return None
        recipe = settings_of(self.run, read_json(self.run / "results.json"))
        known = {entry.name for entry in fields(DataArguments)}
        for split in _SPLITS:
            held_out = split == "validation" and recipe.get("validation_fraction")
            source = recipe.get(f"{split}_file") or (recipe.get("train_file") if held_out else None)
            if not source or not Path(source).is_file():
                continue
            arguments = {key: value for key, value in recipe.items() if key in known}
            try:
                return load_labeled_texts(DataArguments(**arguments), split, labels)  # type: ignore[arg-type]
            except UserError:
                return None  # the file is another one by now
        return None


def card_scores(card: Path) -> dict[str, dict[str, float]]:
    """Scores by label of the texts in a card's `widget`; those without scores are left out."""
    parts = card.read_text(encoding="utf-8").split("---\n", 2) if card.is_file() else []
    try:
        head = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0].strip() else {}
    except yaml.YAMLError:
        head = {}
    widget = head.get("widget") if isinstance(head, dict) else None
    return {
        str(entry["text"]): {str(one["label"]): float(one["score"]) for one in entry["output"]}
        for entry in widget or []
        if isinstance(entry, dict) and entry.get("text") and entry.get("output")
    }


def decision_outcome(config: Mapping[str, Any], recorded: Recorded) -> Outcome:
    """Whether rule and thresholds of `config.json` are those that were scored."""
    check, problems = "decision as recorded", list[str]()
    try:
        decision = Decision.from_config(config)
    except ValueError as error:
        return Outcome(check, "failed", f"config.json: {error}")
    results = recorded.results
    rule = (results.get("decisions") or {}).get(recorded.system) or {}
    limits = results.get("thresholds")
    if limits is None and rule.get("thresholds") is not None:
        limits = dict(zip(results.get("labels") or [], rule["thresholds"], strict=False))
    if not results or limits is None:
        why = "records no thresholds" if results else "is missing"
        return Outcome(check, "not checked", f"results.json {why}")
    for label, value in zip(decision.labels, decision.thresholds, strict=True):
        if label not in limits:
            problems.append(f"results.json has no label {label!r}")
        elif abs(float(limits[label]) - value) > 1e-6:
            problems.append(f"the threshold of {label} is {value:.4f}, not {limits[label]:.4f}")
    named = "expected_jaccard" if rule.get("kind") == "expected_jaccard" else "threshold"
    if rule and config.get("model_type") == "stacked_emotion":
        if decision.rule != named:
            problems.append(f"the rule is {decision.rule}, not {named}")
        elif named != "threshold" and abs(decision.scale - float(rule.get("scale") or 1)) > 1e-6:
            problems.append(f"the scale is {decision.scale}, not {rule['scale']}")
        elif named != "threshold" and decision.min_labels != rule.get("min_labels", 1):
            problems.append(f"min_labels is {decision.min_labels}, not {rule['min_labels']}")
        asked = (results.get("abstention") or {}).get("coverage")
        if (stored := decision.abstain if decision.may_abstain else None) != asked:
            problems.append(f"abstain is {stored}, not {asked}")
    detail = f"{decision.rule}, {len(decision.labels)} thresholds as in results.json"
    return judged(check, problems, detail)


def examples_outcome(
    answer: Mapping[str, Any] | None, recorded: Recorded, labels: Sequence[str]
) -> Outcome:
    """Whether the texts of the card get the scores that the card shows."""
    check = "scores as on the card"
    if answer is None:
        return Outcome(check, "not checked", "there is no card with scores of texts")
    if "error" in answer:
        return Outcome(check, "failed", answer["error"])
    worst, problems = 0.0, []
    for (text, shown), row in zip(recorded.examples.items(), answer["scores"], strict=True):
        found = dict(zip(labels, row, strict=True))
        gaps = {name: abs(found.get(name, -1.0) - score) for name, score in shown.items()}
        name = max(gaps, key=lambda name: gaps[name])
        worst = max(worst, gaps[name])
        if gaps[name] > ROUNDED:
            problems.append(
                f"{text[:30]!r} gets {found.get(name, float('nan')):.4f} for {name}, the card "
                f"says {shown[name]:.4f}"
            )
    detail = f"{counted(len(recorded.examples), 'text')}, largest difference {worst:.1e}"
    return judged(check, problems[:3], detail)


def rows_outcome(
    arrays: Mapping[str, np.ndarray],
    answer: Mapping[str, Any],
    texts: LabeledTexts,
    decision: Decision,
    recorded: Recorded,
) -> Outcome:
    """Whether labeled texts get the figures, and row by row the scores, that were recorded.

    A label at its threshold may flip with the last bits of its score. So figures may differ by two
    texts, and by 0.005.
    """
    check = "figures on labeled texts"
    if "error" in answer:
        return Outcome(check, "failed", answer["error"])
    probabilities = sigmoid(arrays["logits"])
    given = arrays.get("given", decision(arrays["logits"]))
    scores = emotion_scores(
        texts.labels.astype(int), probabilities, label_names=texts.label_names,
        decisions=np.asarray(given, int),
    )  # fmt: skip
    source = Path(texts.source).name
    measured = f"{source}, {counted(len(texts), 'text')}: Jaccard {scores['jaccard']:.4f}"
    split = recorded.split_of(texts)
    table = (recorded.results.get("systems") or {}).get(recorded.system) or {}
    if split is None or split not in table:
        why = "results.json has no figures of these rows" if recorded.results else "no results.json"
        return Outcome(check, "not checked", f"{measured}; {why}")
    allowed, problems, worst = max(0.005, 2 / len(texts)), [], 0.0
    for name in _FIGURES:
        if name not in table[split] or name not in scores:
            continue
        entry = table[split][name]
        value = float(entry["values"][0] if entry.get("values") else entry["mean"])
        worst = max(worst, abs(scores[name] - value))
        if abs(scores[name] - value) > allowed:
            problems.append(f"{name} is {scores[name]:.4f}, results.json says {value:.4f}")
    detail = f"{measured}; largest difference of a figure {worst:.1e}"
    file = recorded.run / f"predictions_{split}.npz" if recorded.run else None
    if file is not None and file.is_file():
        with np.load(file, allow_pickle=False) as stored:
            gap = float(np.abs(stored["probabilities"] - probabilities).max())
        detail += f", of a score {gap:.1e}"
        if gap > ROUNDED:
            problems.append(f"a score is {gap:.4f} away from {file.name}")
    return judged(check, problems, detail)
