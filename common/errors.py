"""Errors that are meant for the user: what is wrong, where, and how to fix it."""

from __future__ import annotations

import bisect
import difflib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

MAX_EXAMPLES = 5
"""Number of bad rows a message shows before it says "and 37 more"."""


class UserError(ValueError):
    """A mistake of the user's that one message explains.

    The command line prints the message without a traceback and exits with status 2.
    """


class DataError(UserError):
    """The labeled texts cannot be used: a file, a row, a column or a value is wrong."""


def shorten(value: Any, limit: int = 60) -> str:
    """Return `repr(value)`, cut to `limit` characters.

    `repr` escapes control characters, directional marks and unpaired surrogates, so the
    result can be printed on any terminal.
    """
    text = repr(value[: limit + 1] if isinstance(value, (str, list)) else value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def quoted(names: Iterable[Any], limit: int = 30) -> str:
    """Return names as `'a', 'b', 'c'`, at most `limit` of them, then the number left out."""
    names = list(names)
    shown = ", ".join(shorten(name) for name in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun: `1 text`, `2,000 texts`, or with another `plural`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listed(words: Sequence[str], last: str = "and") -> str:
    """Return `a, b and c`."""
    return f" {last} ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return ` (did you mean 'Tweet'?)` for the names nearest to `name`, or an empty string."""
    by_lower_case: dict[str, str] = {}
    for candidate in names:
        by_lower_case.setdefault(candidate.lower(), candidate)
    near = difflib.get_close_matches(name.lower(), by_lower_case, n=2, cutoff=0.6)
    if not near:
        return ""
    return f" (did you mean {' or '.join(repr(by_lower_case[match]) for match in near)}?)"


class RowProblems:
    """The bad rows of one file or split, counted in full and shown by a few examples.

    Args:
        source: What the rows come from, a path as a rule; it begins the message.
        unit: `line` or `row`, what a number counts.
        counting: How the numbers are counted, such as "line 1 is the header".

    Attributes:
        count: Number of problems; one row may have several.
        rows: Numbers of the rows with a problem.
        kinds: Number of problems by kind.
        notes: Remarks on the whole source that stop nothing.
    """

    def __init__(self, source: str, unit: str, counting: str) -> None:
        self.source = source
        self.unit = unit
        self.counting = counting
        self.count = 0
        self.rows: set[int] = set()
        self.kinds: Counter[str] = Counter()
        self.notes: list[str] = []
        self._examples: list[tuple[int, str]] = []

    def add(self, row: int, reason: str, column: str | None = None, kind: str = "row") -> None:
        """Note that row number `row` is wrong; several problems of one row are all counted."""
        self.count += 1
        self.kinds[kind] += 1
        self.rows.add(row)
        if len(self._examples) < MAX_EXAMPLES or row < self._examples[-1][0]:
            where = f"{self.unit} {row}" + (f", column {column!r}" if column is not None else "")
            bisect.insort(self._examples, (row, f"{where}: {reason}"), key=lambda item: item[0])
            del self._examples[MAX_EXAMPLES:]

    def __len__(self) -> int:
        return self.count

    def describe(self, verb: str) -> str:
        """Return the message without its advice, the first rows as examples.

        Args:
            verb: What becomes of the rows, such as "cannot be used" or "were left out".
        """
        rows = counted(len(self.rows), self.unit)
        lines = [f"{self.source}: {rows} {verb} ({self.counting}):"]
        lines += [f"  {example}" for _, example in self._examples]
        if self.count > len(self._examples):
            lines.append(f"  and {self.count - len(self._examples):,} more")
        return "\n".join(lines)
