"""The end of a distillation: the stock folder, and every figure."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from transformers import AutoModelForSequenceClassification

from ...common.environment import environment
from ...common.files import remove, replace_folder, replace_text, write_json
from ...common.numerics import logit, sigmoid
from ...common.tables import markdown_table
from ...inference.model_files import WRITTEN
from ..choosing.decision_rules import DECISIONS, Decision, choose_decision
from ..losses.distillation import DistillationLoss
from ..metrics.titles import TITLES
from ..results import System, data_record, leak_note, save_arrays, score_systems, to_markdown
from ..running.provenance import public_results, source_state
from .run import ALONE, STUDENT, DistillationContext
from .student import save_student
from .teacher_scores import OUT_OF_FOLD

TEACHER = "teacher"
BY_THRESHOLDS = ", thresholds"
PLAIN = ("global", "shrunk")  # the rules that are thresholds alone
TEACHER_RATES = "teacher_rates"
MARGIN = 1.0
LEAD_METRICS = ("jaccard", "micro_f1", "macro_f1", "macro_ap")


def finish_distillation(
    context: DistillationContext, records: dict[str, dict[str, Any]], begin: float
) -> dict[str, Any]:
    """Score every system, write `results.json`, `results.md` and the finished `model/`.

    `records` is what `train_all` returned, `begin` the `time.monotonic()` of the start.
    """
    systems = all_systems(context)
    published = systems[-1]
    first = context.part_folder(STUDENT, f"seed_{context.options.seeds[0]}") / "model"
    folder = context.output / "model"
    partial = folder.with_name(f"{folder.name}.partial")
    remove(partial)
    limits = save_student(
        AutoModelForSequenceClassification.from_pretrained(first),
        context.tokenizer,
        partial,
        published.decision.thresholds,
        context.options.fold_thresholds,
    )
    replace_folder(partial, folder, "config.json", WRITTEN)
    results = student_results(context, systems, records)
    results["thresholds"] = dict(zip(context.label_names, limits, strict=True))
    results["seconds"] = round(time.monotonic() - begin, 1)
    results = public_results(results)
    text = to_markdown(results) + lead_table(results)
    replace_text(context.output / "results.md", text)
    shift = np.zeros(1)
    if context.options.fold_thresholds:
        shift = logit(published.decision.thresholds, 1e-6)
    for split in context.held_out_splits:
        logits = published.logits[split][0].astype(np.float64) - shift
        arrays = {
            "probabilities": sigmoid(logits).astype(np.float32),
            "labels": context.splits[split].labels,
        }
        save_arrays(context.output / f"predictions_{split}.npz", arrays)
    write_json(context.output / "results.json", results)
    return results


def all_systems(context: DistillationContext) -> list[System]:
    """Teacher, encoder alone and student, each by its best rule and by thresholds alone.

    A stock pipeline knows thresholds at most. Therefore the last system, the published one, is the
    student by thresholds. The teacher keeps its own rule; its thresholds are chosen on its
    out-of-fold scores. Rule and thresholds of the encoder alone are chosen on its own held-out
    folds. The student takes its teacher's rule, and the thresholds at which it gives each label as
    often as its teacher (`rate_matched`). With `thresholds_from="labels"`, both are chosen on the
    student's held-out folds instead.
    """
    labels = context.splits["train"].labels.astype(np.int64)
    objective = context.options.threshold_objective
    by_rule, by_thresholds = [], []
    scored = {split: logits[None] for split, logits in context.scores.scored.items()}
    by_rule.append(System(TEACHER, context.teacher.decision, scored))
    if context.scores.origin == OUT_OF_FOLD:
        chosen = choose_decision(context.scores.training, labels, PLAIN, objective)
        by_thresholds.append(System(TEACHER + BY_THRESHOLDS, chosen, scored))
    for variant in reversed(context.variants):
        rows, held_out = context.held_out_logits(variant)
        logits = {split: context.scored_logits(variant, split) for split in context.held_out_splits}
        if variant == STUDENT and context.options.thresholds_from == "teacher":
            rule = context.teacher.decision
            decisions = rule, rate_matched(held_out, rule.decide(context.scores.training[rows]))
        else:
            decisions = (
                choose_decision(held_out, labels[rows], DECISIONS, objective),
                choose_decision(held_out, labels[rows], PLAIN, objective),
            )
        by_rule.append(System(variant, decisions[0], logits))
        by_thresholds.append(System(variant + BY_THRESHOLDS, decisions[1], logits))
    return by_rule + by_thresholds


def rate_matched(logits: np.ndarray, teacher_labels: np.ndarray) -> Decision:
    """One threshold per label, at which as many rows get the label as the teacher gave it to.

    The labels of a student's held-out rows have leaked into it: it learned from scores of the
    teacher's fold models, which have seen these labels. Thresholds fitted to them would rely on
    scores that are too good. The rate of each label depends little on that, and the teacher's rule
    was chosen on scores of models that had not seen the rows.

    Each threshold lies, on the log-odds scale, half way between the last row that is given the
    label and the first that is not; `MARGIN` beyond the outermost row where the teacher gave it to
    none or all.

    Args:
        logits: (rows, labels) of the student, for rows it was not trained on.
        teacher_labels: (rows, labels) of 0 and 1: what the teacher says of the same rows.

    Raises:
        ValueError: shapes that differ, or no rows.
    """
    logits, given = np.asarray(logits, np.float64), np.asarray(teacher_labels)
    if logits.shape != given.shape or logits.ndim != 2 or not len(logits):
        raise ValueError(
            f"logits {logits.shape} and teacher_labels {given.shape} must be (rows, labels), with "
            "at least one row."
        )
    ranked = -np.sort(-logits, axis=0)
    padded = np.concatenate([ranked[:1] + 2 * MARGIN, ranked, ranked[-1:] - 2 * MARGIN])
    counts, columns = given.astype(bool).sum(0), np.arange(logits.shape[1])
    edges = (padded[counts, columns] + padded[counts + 1, columns]) / 2
    return Decision(TEACHER_RATES, sigmoid(edges))


def student_results(
    context: DistillationContext, systems: list[System], records: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """All figures of a distillation as plain values."""
    options, commit = context.options, context.teacher.commit
    by_name = {system.name: system for system in systems}
    pairs = [
        (by_name[first + ending], by_name[second + ending])
        for ending in ("", BY_THRESHOLDS)
        for first, second in ((STUDENT, ALONE), (TEACHER, STUDENT))
        if first + ending in by_name and second + ending in by_name
    ]
    figures = score_systems(context, systems, pairs)
    loss = DistillationLoss(context.statistics, **options.loss_options(with_teacher=True))
    data = data_record(context.splits, context.arguments.data.dataset_name)
    notes = {split: leak_note(data[split]) for split in context.held_out_splits}
    return figures | {
        "kind": "student",
        "recipe": context.teacher.description | context.arguments.to_dict(),
        "data": data,
        "summary": [f"{split}: {note}" for split, note in notes.items() if note],
        "teacher": {
            "source": options.model,
            "revision": commit or options.revision,
            "source_state": {"commit": commit}
            if commit
            else source_state(str(context.teacher.folder)),
            "digest": context.teacher.digest,
            "training_scores": context.scores.origin,
            "augmented_scores": context.scores.augmented_origin,
            "texts_without_labels": context.scores.counts,
        },
        "student_source": _student_source(records)["source"],
        "encoders": {STUDENT: _student_source(records)},
        "seeds": options.seeds,
        "loss": {"name": loss.name, "config": loss.get_config_dict(), "citation": loss.citation},
        "stages": records,
        "lead_kept": lead_kept(figures["systems"], context.held_out_splits),
        "environment": environment(),
        "seconds_by_part": {
            f"teacher, {part}": seconds for part, seconds in context.scores.seconds.items()
        }
        | {
            variant: round(sum(part["seconds"] for part in parts.values()), 1)
            for variant, parts in records.items()
        },
    }


def _student_source(records: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What the finished students say they were made from."""
    record = next(iter(records[STUDENT].values()))
    return {"source": record["source"], "source_state": record["source_state"]}


def lead_kept(table: dict[str, Any], splits: list[str]) -> dict[str, Any]:
    """The share of the teacher's lead over the encoder alone that the student keeps.

    (student − alone) / (teacher − alone) by split, rule and metric; None where the teacher has no
    lead.
    """
    kept: dict[str, Any] = {}
    for split in splits:
        kept[split] = {}
        for ending in ("", BY_THRESHOLDS):
            names = [part + ending for part in (TEACHER, STUDENT, ALONE)]
            if not all(name in table for name in names):
                continue
            entry: dict[str, float | None] = {}
            for metric in LEAD_METRICS:
                teacher, student, alone = (table[name][split][metric]["mean"] for name in names)
                lead = teacher - alone
                entry[metric] = (student - alone) / lead if lead > 0 else None
            kept[split][STUDENT + ending] = entry
    return kept


def lead_table(results: dict[str, Any]) -> str:
    """`lead_kept` as a table in Markdown; empty if there is none."""
    rows = [
        [split, name, *("no lead" if v is None else f"{100 * v:.0f} %" for v in entry.values())]
        for split, entries in results["lead_kept"].items()
        for name, entry in entries.items()
    ]
    header = ["split", "student", *(TITLES[metric] for metric in LEAD_METRICS)]
    title = "## Share of the teacher's lead over the encoder alone that the student keeps"
    return f"\n{title}\n\n{markdown_table(header, rows)}\n" if rows else ""
