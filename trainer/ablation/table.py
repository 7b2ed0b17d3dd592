"""The figures of an ablation as Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .variants import FULL

SCORES = {
    "jaccard": "Jaccard",
    "micro_f1": "micro-F1",
    "macro_f1": "macro-F1",
    "macro_ap": "macro AP",
    "rare_ap": "rare AP",
    "hamming_loss": "Hamming",
}
_LEGEND = """\
Mean ± std over the seeds {seeds} of the layers on top; encoders and folds were trained once and are
shared. Every row decides by the rule that won on its own out-of-fold predictions of the training
texts. Differences are row minus stack, with the 95 % interval of a paired bootstrap over texts and
seeds; `*` marks intervals without 0. They are not corrected for the number of rows: of twenty rows
without effect, one is marked by chance.
"""
_AT_START = (
    "Stage head gained too little out of fold and was left at its start (`gain_in_errors`), so "
    "these rows show what stage meta gives: "
)
_RARE = """\
In fewer than a tenth of the training texts: {names}. Mean average precision of these (rare AP), the
hybrid loss against cross entropy, paired bootstrap over texts and seeds:
"""
_OWN_TOKENS = """\
## Own tokens

An encoder's own head pools the tokens its tokenizer makes of the raw text; our words matter to it
only where texts are cut or normalized. The rows "own tokens" are the same fine-tuned encoders on
what their own tokenizers make of the texts. Texts whose tokens differ:
"""


def to_markdown(outcome: dict[str, Any]) -> str:
    """Scores, differences from the stack, class-wise tables, rare labels and times.

    Args:
        outcome: what `Outcome.to_dict` gives, or `ablation.json`.
    """
    seeds = ", ".join(map(str, outcome["seeds"]))
    lines = ["# Ablation", "", _LEGEND.format(seeds=seeds)]
    if outcome["missing"]:
        lines += [f"Not finished yet: {', '.join(outcome['missing'])}.", ""]
    for split in outcome["splits"]:
        lines += [f"## {split}", "", *_scores(outcome, split), ""]
        lines += ["### Difference from the stack", "", *_differences(outcome, split), ""]
        for kind, title in (("f1", "F1"), ("ap", "Average precision")):
            lines += [f"### {title} by label", "", *_by_label(outcome, split, kind), ""]
    lines += [*_rare(outcome), *_tokens(outcome), *_times(outcome)]
    return "\n".join(lines)


def _scores(outcome: dict[str, Any], split: str) -> Iterator[str]:
    systems = outcome["systems"]
    first = next(iter(systems.values()))[split]
    columns = [metric for metric in SCORES if metric in first]
    yield _line("system", *(SCORES[metric] for metric in columns))
    yield _rule(len(columns) + 1)
    group = None
    for row in outcome["rows"]:
        if row["group"] != group:
            group = row["group"]
            yield _line(f"**{group}**", *[""] * len(columns))
        scores = systems[row["title"]][split]
        yield _line(_name(row["title"]), *(_cell(scores[metric]) for metric in columns))
    at_start = [
        row["title"]
        for row in outcome["rows"]
        if row["kind"] == "stack" and not row["stages"]["head"]["epoch"]
    ]
    if at_start:
        yield f"\n{_AT_START}{', '.join(at_start)}."


def _differences(outcome: dict[str, Any], split: str) -> Iterator[str]:
    found = {title: entry[split] for title, entry in outcome["comparisons"].items()}
    if not found:
        yield "Nothing to compare yet."
        return
    first = next(iter(found.values()))
    columns = [metric for metric in SCORES if metric in first]
    yield _line("row minus stack", *(SCORES[metric] for metric in columns))
    yield _rule(len(columns) + 1)
    for title, entry in found.items():
        yield _line(title, *(_interval(entry[metric]) for metric in columns))


def _by_label(outcome: dict[str, Any], split: str, kind: str) -> Iterator[str]:
    labels, systems = outcome["labels"], outcome["systems"]
    yield _line("system", *labels)
    yield _rule(len(labels) + 1)
    first = next(iter(systems.values()))[split]
    yield _line("*support*", *(f"{first[f'support_{label}']['mean']:.0f}" for label in labels))
    for title, entry in systems.items():
        values = (entry[split][f"{kind}_{label}"] for label in labels)
        yield _line(_name(title), *(_cell(value) for value in values))


def _rare(outcome: dict[str, Any]) -> list[str]:
    rare = outcome["rare_labels"]
    if not rare:
        return ["No label is rare (in fewer than a tenth of the training texts).", ""]
    lines = [
        "## Rare labels", "", _RARE.format(names=", ".join(rare)),
        _line("comparison", "split", "rare AP", *(f"AP {label}" for label in rare), "p (rare AP)"),
        _rule(len(rare) + 4),
    ]  # fmt: skip
    for entry in outcome["rare_label_comparison"]:
        lines.append(
            _line(
                f"{entry['first']} − {entry['second']}",
                entry["split"],
                _interval(entry["rare_ap"]),
                *(_interval(entry["ap_by_label"][label]) for label in rare),
                f"{entry['rare_ap']['p_value']:.3f}",
            )
        )
    return [*lines, ""]


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
    lines = [
        "## Time", "",
        "Seconds of the stages; a stage that is the same in several rows was run once.", "",
        _line("row", "meta", "head", "epoch of head"), _rule(4),
    ]  # fmt: skip
    for row in outcome["rows"]:
        if row["stages"] and row["kind"] == "stack":
            stages = row["stages"]
            seconds = [f"{stages[stage]['seconds']:.0f}" for stage in ("meta", "head")]
            lines.append(_line(row["title"], *seconds, str(stages["head"]["epoch"])))
    return [*lines, "", f"Hardware: {outcome['environment']['hardware']}.", ""]


def _name(title: str) -> str:
    return f"**{title}**" if title == FULL else title


def _interval(entry: dict[str, float]) -> str:
    mark = "*" if entry["low"] > 0 or entry["high"] < 0 else ""
    return f"{entry['difference']:+.3f} [{entry['low']:+.3f}, {entry['high']:+.3f}]{mark}"


def _cell(entry: dict[str, Any]) -> str:
    if len(entry["values"]) > 1:
        return f"{entry['mean']:.3f} ± {entry['std']:.3f}"
    return f"{entry['mean']:.3f}"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _rule(columns: int) -> str:
    return "|" + " --- |" * columns
