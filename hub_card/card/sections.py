"""The tables of a model card, from the figures of a run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from ...common.inert_text import visible
from ...common.settings import by_path
from ...trainer.arguments import DESCRIBED, STAGES
from ...trainer.metrics.titles import METRICS, TITLES
from ...trainer.results import system_marks
from ..run_record import RunRecord
from .known_data import Credit, known_data, related_credits

COMPARED = ("jaccard", "micro_f1", "macro_f1", "macro_ap", "hamming_loss")
CLASS_WISE = ("precision", "recall", "f1", "ap")
ONLY_WITH = {
    "ngrams_c": "ngrams", "ngrams_bits": "ngrams", "probe_c": "probe", "lora_alpha": "lora_rank",
    "meta_hidden_size": "use_meta_learner", "lstm_hidden_size": "use_lstm",
    "train_split": "dataset_name", "validation_split": "dataset_name",
    "test_split": "dataset_name",
}  # fmt: skip
"""By the name of a setting the one in its section without which it has no effect."""
_STAGES = {
    "encoders": "each encoder is fine-tuned on the labels, with its own head",
    "meta": "the meta-learner learns which encoder to trust, word by word",
    "head": "Bi-LSTM and classifier learn to correct the meta-learner",
    "joint": "all parts are trained end to end",
    "student": "the student learns from the teacher's scores and from the labels",
    "alone": "the same encoder is trained without a teacher, for comparison",
}
_STAGES_OF_ONE = _STAGES | {
    "encoders": "the encoder is fine-tuned on the labels, with a head of its own",
    "meta": "the meta-learner learns one more vector of each word",
}
_BIBTEX_KEY = re.compile(r"@\w+\{([^,]+),")
_WHEN = ("before", "after")
_WEAK_F1 = 0.4
_WEAK_SHARE = 0.1


def card_sections(record: RunRecord) -> dict[str, Any]:
    """Every table that the templates show, by name."""
    system = record.published_system
    return {
        "system": record.published_title,
        "overall": {split: _overall(record, split) for split in record.splits},
        "class_wise": {split: _class_wise(record, split) for split in record.splits},
        "comparison": {split: _comparison(record, split) for split in record.splits},
        "intervals": {split: _intervals(record, split) for split in record.splits},
        "several_seeds": bool(system)
        and any(
            len(score.values) > 1
            for split in record.splits
            if (score := record.score(str(system), split, "jaccard"))
        ),
        "metric_definitions": _metric_definitions(record),
        "weak_labels": _weak_labels(record),
        "splits": _splits(record),
        "inventories": _inventories(record),
        "related": _related(record),
        "stages": _stages(record),
        "losses": _losses(record),
        "environment": _environment(record),
        "citations": _citations(record),
        "credits": _credit_lines(record),
        "calibration": _calibration(record),
        "settings": shown_settings(record),
    }


def _calibration(record: RunRecord) -> dict[str, Any] | None:
    """How scores were calibrated: ECE before and after by split, where it fell, and if as one."""
    found = record.results.get("calibration")
    if not found:
        return None
    errors = {
        split: tuple(sum(found[part][split]["ece"]) / len(record.labels) for part in _WHEN)
        for split in found["before"]
    }
    return {
        "errors": errors,
        "worse": [split for split, (before, after) in errors.items() if after >= before],
        "shared": len(set(zip(found["scale"], found["bias"], strict=True))) < len(record.labels),
    }


def _overall(record: RunRecord, split: str) -> list[tuple[str, str, str]]:
    rows = []
    for metric, title in TITLES.items():
        score = record.score(str(record.published_system), split, metric)
        if score is not None:
            rows.append((title, str(score), f"{score.values[0]:.3f}"))
    return rows


def _class_wise(record: RunRecord, split: str) -> list[list[str]]:
    rows = []
    for label in record.labels:
        found = [
            record.score(str(record.published_system), split, f"{kind}_{label}")
            for kind in ("support", *CLASS_WISE)
        ]
        if any(score is None for score in found):
            continue
        support, *scores = [score for score in found if score is not None]
        rows.append([label, f"{support.mean:.0f}", *map(str, scores)])
    return rows


def _comparison(record: RunRecord, split: str) -> list[list[str]]:
    rows = []
    marks = system_marks(record.results, split)
    for system in record.systems:
        if record.single and system == "average":
            continue  # of one encoder
        scores = [record.score(system, split, metric) for metric in COMPARED]
        rows.append(
            [
                record.title_of(system) + marks.get(system, ""),
                *("not computed" if s is None else str(s) for s in scores),
            ]
        )
    return rows


def _intervals(record: RunRecord, split: str) -> list[tuple[str, str, str, str]]:
    pairs = (record.results.get("comparisons") or {}).get(split) or {}
    return [
        (
            " − ".join(map(record.title_of, pair.split(" - "))),
            TITLES.get(metric, metric),
            f"{entry['difference']:+.3f}",
            f"[{entry['low']:+.3f}, {entry['high']:+.3f}]",
        )
        for pair, metrics in pairs.items()
        if not (record.single and pair.endswith(" - average"))
        for metric, entry in metrics.items()
    ]


def _metric_definitions(record: RunRecord) -> list[tuple[str, str]]:
    system = record.published_system
    return [
        definition
        for metric, definition in METRICS.items()
        if any(record.score(str(system), split, metric) for split in record.splits)
    ]


def _weak_labels(record: RunRecord) -> list[str]:
    """Labels to warn about: an F1 below 0.4, or rare in the training texts."""
    weak = []
    prevalence = ((record.results.get("data") or {}).get("train") or {}).get("prevalence") or {}
    for label in record.labels:
        split = record.splits[0] if record.splits else ""
        score = record.score(str(record.published_system), split, f"f1_{label}")
        facts = []
        if score is not None and score.mean < _WEAK_F1:
            facts.append(f"F1 {score.mean:.2f} on {split}")
        if prevalence.get(label, 1.0) < _WEAK_SHARE:
            facts.append(f"{100 * prevalence[label]:.1f} % of the training texts")
        if facts:
            weak.append(f"{label} ({', '.join(facts)})")
    return weak


def _splits(record: RunRecord) -> list[tuple[str, str, str]]:
    data = record.results.get("data") or {}
    return [
        (split, f"{entry['rows']:,}", str(entry.get("fingerprint") or "not recorded")[:16])
        for split, entry in data.items()
        if isinstance(entry, Mapping) and "rows" in entry
    ]


def _inventories(record: RunRecord) -> list[dict[str, Any]]:
    """What each split was read as: facts by title, and its labels with counts and shares."""
    data = record.results.get("data") or {}
    found = []
    for split, entry in data.items():
        inventory = entry.get("inventory") if isinstance(entry, Mapping) else None
        if not inventory:
            continue
        folds = inventory.get("folds_without_positives") or {}
        facts = {
            "read as": inventory.get("label_format"),
            "column of texts": inventory.get("text_column"),
            "duplicate texts": inventory.get("duplicate_texts"),
            "empty texts": inventory.get("empty_texts"),
            "columns not read": ", ".join(inventory.get("ignored_columns") or ()),
            "columns that may be metadata": ", ".join(inventory.get("metadata_columns") or ()),
            "labels without a text": ", ".join(inventory.get("labels_without_positives") or ()),
            "labels without a text in a fold": "; ".join(
                f"{fold}: {', '.join(names)}" for fold, names in folds.items()
            ),
            "rows left out": ", ".join(
                f"{count} {kind}" for kind, count in (inventory.get("bad_rows") or {}).items()
            ),
            "texts of an earlier split": inventory.get("leaked_texts"),
        }
        shares = inventory.get("shares") or {}
        labels = [(name, f"{count:,}", f"{100 * shares.get(name, 0.0):.1f} %")
                  for name, count in (inventory.get("labels") or {}).items()]  # fmt: skip
        found.append({
            "split": split, "labels": labels,
            "facts": [(title, str(value)) for title, value in facts.items()
                      if value not in (None, "")],
        })  # fmt: skip
    return found


def _related(record: RunRecord) -> list[tuple[str, str, str, str]]:
    """What encoders were fine-tuned on first: encoder, data, texts and labels."""
    return [
        (name, ", ".join(step["names"]), f"{step['texts']:,}", ", ".join(step["labels"]))
        for name, steps in record.related_data.items()
        for step in steps
    ]


def _stages(record: RunRecord) -> list[tuple[str, str, str]]:
    done = record.results.get("stages") or {}
    seconds = record.results.get("seconds_by_part") or {}
    rows = []
    for stage, what in (_STAGES_OF_ONE if record.single else _STAGES).items():
        if stage in done:
            took = [
                value
                for part, value in seconds.items()
                if part == stage or part.startswith(f"{stage},")
            ]
            if stage in record.left_at_start:
                what += ". This gained too little, so it was not kept"
            rows.append((stage, what, f"{sum(took):,.0f} s" if took else "not recorded"))
    return rows


def shown_settings(record: RunRecord) -> dict[str, Any]:
    """The settings of a run by paths such as `head.learning_rate`.

    Of an encoder's settings only those that differ from `encoder_defaults`; without what the card
    says elsewhere, and without what had no effect: settings of stages that were not run, and of
    parts that were off.
    """
    settings = by_path(record.public_training_args())
    stages = record.results.get("stages") or {}
    idle = {stage for stage in STAGES[1:] if stages and stage not in stages}
    found = {}
    for path, value in settings.items():
        section, dot, key = path.rpartition(".")
        elsewhere = path.split(".")[0] in {*DESCRIBED, *idle} or value in (None, [], "")
        off = key in ONLY_WITH and not settings.get(f"{section}{dot}{ONLY_WITH[key]}", True)
        default = re.sub(r"^encoders\.\w+", "encoder_defaults", path)
        of_encoder = path.startswith("encoders.")
        if of_encoder and (key == "pretraining" or value == settings.get(default)):
            continue  # pretraining: sections, which the card shows elsewhere
        if not (elsewhere or off):
            found[path] = value
    return found


def _losses(record: RunRecord) -> list[dict[str, Any]]:
    """Name, settings and citation of the loss of each stage."""
    results = record.results
    stages, found = results.get("stages") or {}, []
    own = (record.setting("encoder_defaults") or {}).get("loss")
    if record.kind == "stack" and own:
        found.append(
            (
                f"the encoder{'' if record.single else 's'}",
                {"name": own["name"], "config": own["options"]},
            )
        )
    for stage, where in (("meta", "the meta-learner"), ("head", "Bi-LSTM and classifier")):
        if isinstance(stages.get(stage), Mapping) and stages[stage].get("loss"):
            start = " (not kept)" if stage in record.left_at_start else ""
            found.append((where + start, stages[stage]["loss"]))
    if results.get("loss") and not any(loss == results["loss"] for _, loss in found):
        found.append(("the last stage", results["loss"]))
    return [
        {
            "where": where,
            "name": loss["name"],
            "settings": [
                (key, value)
                for key, value in (loss.get("config") or {}).items()
                if value is not None
            ],
            "citation": loss.get("citation") or _loss_citation(loss),
        }
        for where, loss in found
    ]


def _loss_citation(loss: Mapping[str, Any]) -> str:
    losses = _all_losses()
    known = losses.LOSSES.get(loss["name"])
    parts = [known.citation] if known else []
    if loss["name"] == "hybrid":
        parts.append(losses.ContrastiveLoss.citation)
    if (loss.get("config") or {}).get("class_weights") == "effective_number":
        parts.append(losses.WeightedBinaryCrossEntropyLoss.effective_number_citation)
    return "\n".join(part for part in parts if part)


def _all_losses() -> Any:
    return import_module("...trainer.losses", __package__)


def _environment(record: RunRecord) -> list[tuple[str, str]]:
    found = record.results.get("environment") or {}
    rows = [(name, str(value)) for name, value in (found.get("versions") or {}).items()]
    rows.append(("hardware", found.get("hardware") or "not recorded"))
    if found.get("git"):
        rows.append(("commit of the training code", str(found["git"])))
    parts = record.results.get("seconds_by_part") or {}
    total = sum(parts.values()) or record.results.get("seconds")
    rows.append(("training time", _time(total) if total else "not recorded"))
    return rows


def _time(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.2f} h"


def _citations(record: RunRecord) -> list[str]:
    """BibTeX entries, each key once."""
    texts = [_all_losses().HybridLoss.citation]
    texts += [visible(credit.citation).replace("`", "'") for credit in _credits(record)]
    texts += [loss["citation"] for loss in _losses(record)]
    found: dict[str, str] = {}
    for entry in re.split(r"(?m)^\s*(?=@)", "\n".join(texts)):
        if key := _BIBTEX_KEY.match(entry):
            found.setdefault(key[1], entry.strip())
    return list(found.values())


def _credits(record: RunRecord) -> list[Credit]:
    """Who made the data, related data last."""
    return [known_data(record).credit, *(credit for _, credit in related_credits(record).values())]


def _credit_lines(record: RunRecord) -> list[str]:
    """The credits that are sentences, each once."""
    texts = [credit.citation for credit in _credits(record)]
    return list(dict.fromkeys(text for text in texts if text and not _BIBTEX_KEY.search(text)))
