"""The labels of a text in the order of the decision, the cut between them, and why it is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..common.inert_text import printable
from ..common.numerics import logit
from .decisions import Decision


@dataclass(frozen=True)
class Bar:
    """A label of a text.

    Attributes:
        label: its name.
        score: its probability.
        length: of its bar, 0 to 1. With per-label thresholds it is the probability. With
            "expected_jaccard" it is the decision's own score, by which labels are given: the
            probability, seen from the label's threshold (`Decision.strengths`).
        given: whether the text gets the label.
        why: why it is given below a probability of 0.5, or not given above; else empty.
    """

    label: str
    score: float
    length: float
    given: bool
    why: str = ""


def ranked(scores: Mapping[str, float], given: Sequence[str], decision: Decision) -> list[Bar]:
    """The labels of a text, those that are given first, each part by the decision's own score.

    Args:
        scores: probability by label.
        given: the labels that the text gets.
        decision: what gave them.
    """
    chances = np.array([scores[label] for label in decision.labels])
    strengths = decision.strengths(chances)
    lengths = chances if decision.rule == "threshold" else strengths
    places = sorted(
        range(len(chances)), key=lambda i: (decision.labels[i] not in given, -strengths[i])
    )
    left = max((scores[label] for label in decision.labels if label not in given), default=0.0)
    unsure = abstained(scores, given, decision)
    return [
        Bar(label, scores[label], float(lengths[place]), label in given,
            "not given because the model is not sure of this text" * (scores[label] >= 0.5)
            if unsure
            else _why(scores[label], decision.thresholds[place], label in given, left, given,
                      decision))
        for place in places
        for label in [decision.labels[place]]
    ]  # fmt: skip


def abstained(scores: Mapping[str, float], given: Sequence[str], decision: Decision) -> bool:
    """Whether a text gets no label because the model is not sure; see `ranked`."""
    chances = [scores[label] for label in decision.labels]
    return not given and bool(decision.abstains(logit(chances, 1e-9)))


def cut(bars: Sequence[Bar], decision: Decision) -> float | None:
    """Where the one line of a text is, on the scale of the bars' lengths.

    It is halfway between the last label given and the first one that is not. None where there is no
    such pair, or where each label has a threshold of its own.
    """
    count = sum(bar.given for bar in bars)
    if decision.rule == "threshold" or count in (0, len(bars)):
        return None
    return (bars[count - 1].length + bars[count].length) / 2


def _why(
    score: float, threshold: float, is_given: bool, left: float, given: Sequence[str],
    decision: Decision,
) -> str:  # fmt: skip
    if is_given == (score >= 0.5):
        return ""
    start = "given because" if is_given else "not given because"
    if decision.rule == "threshold":
        return f"{start} its threshold is {threshold:.2f}"
    if not is_given:
        return f"{start} the set fits better without it"
    if len(given) == decision.min_labels:
        return f"{start} every text gets a label, and this one fits best"
    if score < left:
        return f"{start} rarer labels need less"
    return f"{start} the set fits better with it"


def _footnote(found: Sequence[Bar], decision: Decision) -> str:
    """One line about the labels that 0.5 as the cut would decide otherwise, "" for none."""
    odd = [bar for bar in found if bar.why]
    below = [printable(bar.label) for bar in odd if bar.given]
    above = [printable(bar.label) for bar in odd if not bar.given]
    if not odd:
        return ""
    parts = [f"given below 0.50: {', '.join(below)}"] if below else []
    parts += [f"not given above 0.50: {', '.join(above)}"] if above else []
    reason = "The labels are chosen as a set, and rarer ones need less."
    if decision.min_labels and len(below) == sum(bar.given for bar in found) == 1:
        reason = "Every text gets a label, and this one fits best."
    return f"    ({'; '.join(parts)}. {reason})"


def bars(
    scores: Mapping[str, float], labels: Sequence[str], decision: Decision, width: int = 30
) -> str:
    """The labels of a text as bars, for a terminal; `*` marks those that are given.

    A bar of 1 has `width` characters. Control characters in names are shown as escapes. Where a
    label is given below 0.5, or not given above, its threshold stands behind the bar; with one cut
    for all labels, or where the model is not sure, a last line says why.
    """
    found = ranked(scores, labels, decision)
    names = [printable(bar.label) for bar in found]
    longest = max(map(len, names))
    lines = [
        f"  {'*' if bar.given else ' '} {name:<{longest}} {bar.score:.2f} "
        f"{'█' * round(bar.length * width)}"
        for bar, name in zip(found, names, strict=True)
    ]
    if abstained(scores, labels, decision):
        return "\n".join([*lines, "    (not sure: no label)"])
    if decision.rule == "threshold":
        limits = dict(zip(decision.labels, decision.thresholds, strict=True))
        notes = (f"  (threshold {limits[bar.label]:.2f})" if bar.why else "" for bar in found)
        return "\n".join(map("".join, zip(lines, notes, strict=True)))
    if cut(found, decision) is not None:
        lines.insert(len(labels), f"    {'─' * (longest + 5 + width)} cut")
    return "\n".join([*lines, *filter(None, [_footnote(found, decision)])])


def sides(found: Sequence[Bar], show: Callable[[str], str] = printable) -> tuple[str, str]:
    """The labels given and the others, in order, each as `joy 0.93, love 0.51`."""
    parts: tuple[list[str], list[str]] = [], []
    for bar in found:
        parts[not bar.given].append(f"{show(bar.label)} {bar.score:.2f}")
    return ", ".join(parts[0]) or "none", ", ".join(parts[1]) or "none"
