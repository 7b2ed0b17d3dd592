"""Scores of a text as bars, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def bars(scores: Mapping[str, float], labels: Sequence[str], width: int = 30) -> str:
    """Scores as bars, most likely first; `*` marks the labels that are given.

    Args:
        scores: probability by label.
        labels: the labels given.
        width: of a bar of 1.
    """
    longest = max(map(len, scores))
    lines = []
    for label, score in sorted(scores.items(), key=lambda entry: -entry[1]):
        mark = "*" if label in labels else " "
        lines.append(f"  {mark} {label:<{longest}} {score:.2f} {'█' * round(score * width)}")
    return "\n".join(lines)
