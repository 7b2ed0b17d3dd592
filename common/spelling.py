"""Messages name options, `--text_column`. A caller from Python reads keywords, `text_column=`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from .errors import UserError

_FLAGS = {"drop_leaked", "overwrite", "run_its_code", "spreadsheet_safe", "static"}
_VALUE = (
    r"'[^']*'|-?\d[\d.]*|\w+=\S+?(?=[\s.,;]|$)(?: …)?"
    r"|csv|none|skip|ids|names|columns|multi_hot|int8|window|html|other|WINDOWS-\d+"
)
_OPTION = re.compile(
    r"(?P<command>`?stacked-emotion [^`\n]*?(?:`|\.(?=\s|$)|$))"
    r"|(?<![\w-])--(?P<name>[a-z]\w*)(?P<path>(?:\.\w+)*)"
    rf"(?P<values>(?: (?:--(?P=name) )?(?:{_VALUE})(?![\w']))*)"
)
_TWICE = re.compile(r"(\w+=)(?:(?:, | or | and )\1)+(?![\w'{[])")
_SPELLING: ContextVar[Callable[[str], str] | None] = ContextVar("spelling", default=None)


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

    return _TWICE.sub(r"\1", _OPTION.sub(keyword, message))


def _value(words: list[str]) -> str:
    """The words after an option as Python writes them; empty where there are none."""
    if words and not words[0].startswith("'") and "=" in words[0]:
        pairs = (word.removesuffix(" …").partition("=")[::2] for word in words)
        return f"{{{', '.join(f'{key!r}: {value!r}' for key, value in pairs)}}}"
    shown = [word if word[0] in "'-0123456789" else repr(word) for word in words]
    return shown[0] if len(shown) == 1 else f"[{', '.join(shown)}]" if shown else ""
