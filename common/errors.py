"""Errors that are meant for the user: what is wrong, where, and how to fix it.

Messages name options, `--text_column`. A caller from Python reads keywords, `text_column=`.
"""

from __future__ import annotations

import bisect
import difflib
import math
import re
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

MAX_EXAMPLES = 5
"""Number of bad rows a message shows before it says "and 37 more"."""
_RANGES = {"above": "above", "least": "at least", "most": "at most"}
_FLAGS = {"drop_leaked", "overwrite", "run_its_code", "spreadsheet_safe", "static"}
_VALUE = (
    r"'[^']*'|-?\d[\d.]*|\w+=\S+?(?=[\s.,;]|$)(?: …)?"
    r"|csv|none|null|skip|ids|names|columns|multi_hot|int8|window|html|other|WINDOWS-\d+"
)
_OPTION = re.compile(
    r"(?P<command>`?stacked-emotion [^`\n]*?(?:`|\.(?=\s|$)|$))"
    r"|(?<![\w-])--(?P<name>[a-z]\w*)(?P<path>(?:\.\w+)*)"
    rf"(?P<values>(?: (?:--(?P=name) )?(?:{_VALUE})(?![\w']))*)"
)
_MEANT = re.compile(r"(?<= is not known \(did you mean )[^?]+(?=\?)")
_TWICE = re.compile(r"(\w+=)(?:(?:, | or | and )\1)+(?![\w'{[])")
_SPELLING: ContextVar[Callable[[str], str] | None] = ContextVar("spelling", default=None)


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


def reason_of(error: BaseException) -> str:
    """The first line of what a library said as a sentence, or that the Hub cannot be reached.

    Example:
        >>> reason_of(ConnectionError("[Errno -2] Name or service not known"))
        'there is no connection to the Hub.'
        >>> reason_of(ValueError("no such split"))
        'no such split.'
    """
    cause: BaseException | None = error
    while cause is not None:
        kind = type(cause).__name__
        if "offline mode" in str(cause).lower():
            break
        if isinstance(cause, ConnectionError | socket.gaierror) or kind.startswith("Connect"):
            return "there is no connection to the Hub."
        cause = cause.__cause__ or cause.__context__
    first = (str(cause or error).strip().splitlines() or [type(error).__name__])[0]
    return first if first.endswith((".", "!", "?")) else f"{first}."


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


def spelled(message: str) -> str:
    """The message with options or keywords, as the caller gives them."""
    return (_SPELLING.get() or str)(message)


@contextmanager
def options_named() -> Iterator[None]:
    """Leave the options in messages: this is a command."""
    token = _SPELLING.set(str)
    try:
        yield
    finally:
        _SPELLING.reset(token)


@contextmanager
def keywords_named(**names: str) -> Iterator[None]:
    """Let the errors inside name keywords, unless a command or another such function is around.

    It is also a decorator, for functions that both commands and Python code call.

    Args:
        **names: keyword by option, where it has another name; or a whole argument (`plots=False`).
    """
    if _SPELLING.get() is not None:
        yield
        return
    token = _SPELLING.set(lambda message: _with_keywords(message, names))
    try:
        yield
    except UserError as error:
        error.args = (spelled(str(error)), *error.args[1:])
        raise
    finally:
        _SPELLING.reset(token)


def _with_keywords(message: str, names: dict[str, str]) -> str:
    def keyword(match: re.Match[str]) -> str:
        if match["command"]:
            return match[0]
        name = names.get(match["name"], match["name"])
        if "=" in name:
            return name
        value = "True" if name in _FLAGS else _value(re.findall(_VALUE, match["values"]))
        for key in reversed(match["path"].split(".")[1:]):
            value = f"{{'{key}': {value or '…'}}}"
        return f"{name}={value}"

    def meant(match: re.Match[str]) -> str:
        found = [names.get(name, name) for name in re.findall(r"'([^']+)'", match[0])]
        return " or ".join(repr(name) for name in dict.fromkeys(found))

    return _TWICE.sub(r"\1", _MEANT.sub(meant, _OPTION.sub(keyword, message)))


def _value(words: list[str]) -> str:
    """The words after an option as Python writes them; empty where there are none."""
    if words and not words[0].startswith("'") and "=" in words[0]:
        pairs = (word.removesuffix(" …").partition("=")[::2] for word in words)
        return f"{{{', '.join(f'{key!r}: {value!r}' for key, value in pairs)}}}"
    words = ["None" if word == "null" else word for word in words]
    shown = [word if word[0] in "'-0123456789" or word == "None" else repr(word) for word in words]
    return shown[0] if len(shown) == 1 else f"[{', '.join(shown)}]" if shown else ""


def check_numbers(values: Mapping[str, Any], limits: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse numbers, and numbers in lists, that are not finite or outside their range.

    Args:
        values: by name; what is not a number is left alone.
        limits: by name: `above`, `least` and `most`, as `settings.option` takes them.

    Raises:
        UserError: naming the value and the range.

    Example:
        >>> check_numbers({"jobs": 0}, {"jobs": {"least": 1}})
        Traceback (most recent call last):
        ...
        stacked_emotion.common.errors.UserError: jobs is 0; it must be at least 1.
    """
    for name, value in values.items():
        about = limits.get(name, {})
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, bool) or not isinstance(number, int | float):
                continue
            fits = about.get("least", -math.inf) <= number <= about.get("most", math.inf)
            if fits and number > about.get("above", -math.inf) and math.isfinite(number):
                continue
            ends = [f"{word} {about[key]}" for key, word in _RANGES.items() if key in about]
            wanted = " and ".join(ends) or "a finite number"
            raise UserError(f"{name} is {number}; it must be {wanted}.")


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
