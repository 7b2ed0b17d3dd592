"""The figures of an ablation as Markdown."""

from __future__ import annotations

from typing import Any

from ...common.inert_text import in_markdown
from ...common.tables import markdown_table
from ..metrics.titles import TITLES
from ..results import MAIN_METRICS, interval_cell, score_cell
from .variants import FULL

_LEGEND = """\
Mean ± standard deviation over the seeds {seeds} of the layers on top. All rows share the encoders
and folds, which were trained once. Each row decides by the rule that won on its own out-of-fold
predictions of the training texts. Differences are row minus stack, with the 95 % interval of a
paired bootstrap over texts and seeds; `*` marks intervals that do not contain 0. They are not
corrected for the number of rows: of twenty rows without any effect, one is marked by chance.
"""
_AT_START = (
    "Stage head gained too little out of fold to be kept (`gain_in_errors`), so these rows show "
    "the result of stage meta: "
)
_RARE = """\
In fewer than a tenth of the training texts: {names}. Mean average precision of these (rare AP), the
hybrid loss against cross entropy, paired bootstrap over texts and seeds:
"""
_OWN_TOKENS = """\
## Own tokens

An encoder's own head pools the tokens of its own tokenizer. Our word cutting changes them only
where texts are truncated or normalized. The rows "own tokens" show the same fine-tuned encoders on
the tokens of their own tokenizers. Texts whose tokens differ:
"""


def to_markdown(outcome: dict[str, Any]) -> str:
    """Scores, differences from the stack, class-wise tables, rare labels and times, from what
    `Outcome.to_dict` gives.
    """
    seeds = ", ".join(map(str, outcome["seeds"]))
    lines = ["# Ablation", "", _LEGEND.format(seeds=seeds)]
    if outcome["missing"]:
        lines += [f"Not finished yet: {', '.join(outcome['missing'])}.", ""]
    for split in outcome["splits"]:
        lines += [f"## {split}", "", *_scores(outcome, split), ""]
        lines += ["### Difference from the stack", "", _differences(outcome, split), ""]
        for kind, title in (("f1", "F1"), ("ap", "Average precision")):
            lines += [f"### {title} by label", "", _by_label(outcome, split, kind), ""]
    lines += [*_rare(outcome), *_tokens(outcome), *_times(outcome)]
    return "\n".join(lines)


def _scores(outcome: dict[str, Any], split: str) -> list[str]:
    systems = {title: entry[split] for title, entry in outcome["systems"].items()}
    columns = [metric for metric in MAIN_METRICS if metric in next(iter(systems.values()))]
    lines: list[list[str]] = []
    group = None
    for row in outcome["rows"]:
        if row["group"] != group:
            group = row["group"]
            lines.append([f"**{group}**", *[""] * len(columns)])
        scores = systems[row["title"]]
        lines.append([_name(row["title"]), *(score_cell(scores[metric]) for metric in columns)])
    table = markdown_table(["system", *(TITLES[metric] for metric in columns)], lines)
    at_start = [
        row["title"]
        for row in outcome["rows"]
        if row["kind"] == "stack" and not row["stages"]["head"]["epoch"]
    ]
    return [table, f"\n{_AT_START}{', '.join(at_start)}."] if at_start else [table]


def _differences(outcome: dict[str, Any], split: str) -> str:
    found = {title: entry[split] for title, entry in outcome["comparisons"].items()}
    if not found:
        return "Nothing to compare yet."
    columns = [metric for metric in MAIN_METRICS if metric in next(iter(found.values()))]
    return markdown_table(
        ["row minus stack", *(TITLES[metric] for metric in columns)],
        [[title, *(interval_cell(entry[m]) for m in columns)] for title, entry in found.items()],
    )


def _by_label(outcome: dict[str, Any], split: str, kind: str) -> str:
    labels = outcome["labels"]
    systems = {title: entry[split] for title, entry in outcome["systems"].items()}
    first = next(iter(systems.values()))
    support = [f"{first[f'support_{label}']['mean']:.0f}" for label in labels]
    rows = [
        [_name(title), *(score_cell(scores[f"{kind}_{label}"]) for label in labels)]
        for title, scores in systems.items()
    ]
    return markdown_table(["system", *map(in_markdown, labels)], [["*support*", *support], *rows])


def _rare(outcome: dict[str, Any]) -> list[str]:
    rare = outcome["rare_labels"]
    if not rare:
        return ["No label is rare (in fewer than a tenth of the training texts).", ""]
    header = [
        "comparison",
        "split",
        "rare AP",
        *(f"AP {in_markdown(label)}" for label in rare),
        "p (rare AP)",
    ]
    rows = [
        [
            f"{entry['first']} − {entry['second']}",
            entry["split"],
            interval_cell(entry["rare_ap"]),
            *(interval_cell(entry["ap_by_label"][label]) for label in rare),
            f"{entry['rare_ap']['p_value']:.3f}",
        ]
        for entry in outcome["rare_label_comparison"]
    ]
    text = _RARE.format(names=", ".join(map(in_markdown, rare)))
    return ["## Rare labels", "", text, markdown_table(header, rows), ""]


def _tokens(outcome: dict[str, Any]) -> list[str]:
    rows = [row for row in outcome["rows"] if "tokens" in row]
    if not rows:
        return []
    lines = [_OWN_TOKENS]
    for row in rows:
        parts = ", ".join(
            f"{counts['changed']} of {counts['texts']} ({split})"
            for split, counts in row["tokens"].items()
        )
        lines.append(f"- {row['encoder']}: {parts}")
    return [*lines, ""]


def _times(outcome: dict[str, Any]) -> list[str]:
    rows = [
        [
            row["title"],
            *(f"{row['stages'][stage]['seconds']:.0f}" for stage in ("meta", "head")),
            row["stages"]["head"]["epoch"],
        ]
        for row in outcome["rows"]
        if row["stages"] and row["kind"] == "stack"
    ]
    return [
        "## Time", "",
        "Seconds of the stages. A stage that several rows share was run once.", "",
        markdown_table(["row", "meta", "head", "epoch of head"], rows), "",
        f"Hardware: {outcome['environment']['hardware']}.", "",
    ]  # fmt: skip


def _name(title: str) -> str:
    return f"**{title}**" if title == FULL else title
