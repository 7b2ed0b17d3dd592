"""Scores of a text as bars, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..common.inert_text import printable


def bars(scores: Mapping[str, float], labels: Sequence[str], width: int = 30) -> str:
    """Scores by label as bars, most likely first; `*` marks the labels that are given.

    A bar of 1 has `width` characters. Control characters in names are shown as escapes.
    """
    names = {label: printable(label) for label in scores}
    longest = max(map(len, names.values()))
    lines = []
    for label, score in sorted(scores.items(), key=lambda entry: -entry[1]):
        mark = "*" if label in labels else " "
        lines.append(f"  {mark} {names[label]:<{longest}} {score:.2f} {'█' * round(score * width)}")
    return "\n".join(lines)
