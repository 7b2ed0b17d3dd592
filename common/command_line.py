"""Command lines: both spellings of an option, near misses, and what an error prints."""

from __future__ import annotations

import argparse
import errno
import os
import re
import sys
import tempfile
import textwrap
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal, NoReturn, get_args, get_origin

from yaml import YAMLError

from .errors import UserError, did_you_mean, listed, options_named
from .inert_text import inert_output
from .settings import (
    Whole,
    convert,
    extra_types_of,
    keys_of,
    locate,
    nested,
    parse_yaml,
    section_of,
    sections_with,
)

FAILURE = 1
USER_MISTAKE = 2
INTERRUPTED = 130
_WIDTH = 120
_LONG_CHOICES = 16
_METAVARS = {
    "file": "FILE", "input": "FILE", "output": "FILE", "dir": "DIR", "scores": "DIR",
    "column": "NAME", "columns": "NAME", "names": "NAME", "name": "NAME", "split": "NAME",
    "sheet": "NAME", "label": "NAME", "encoding": "NAME", "delimiter": "SIGN", "separator": "SIGN",
    "model": "MODEL", "student": "MODEL", "revision": "REVISION", "digest": "DIGEST",
    "language": "CODE", "host": "HOST", "branch": "NAME", "link": "URL", "license": "ID",
}  # fmt: skip
"""What stands for the value of an option in the help, by the last word of its name."""
_NO_DEFAULT: tuple[Any, ...] = (None, False, "", [], float("inf"), argparse.SUPPRESS)
_OF_THE_DISK = (
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EISDIR, errno.ENOTDIR,
    errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG,
)  # fmt: skip


class _Format(argparse.HelpFormatter):
    """One line per option, the same look in every command."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=38, width=_WIDTH)

    def add_argument(self, action: argparse.Action) -> None:
        super().add_argument(action)
        if isinstance(action, argparse._SubParsersAction):  # argparse forgets their indentation
            self._action_max_length += self._indent_increment

    def _format_usage(self, usage: Any, actions: Any, groups: Any, prefix: Any) -> str:
        if usage is None:
            needed = [one for one in actions if one.required or not one.option_strings]
            needed.sort(key=lambda one: bool(one.option_strings))
            words = [" ".join((*one.option_strings[:1], self._usage_args(one))) for one in needed]
            usage = " ".join(["%(prog)s", *words, "[options]"])
        return super()._format_usage(usage, actions, groups, prefix)

    def _usage_args(self, action: argparse.Action) -> str:
        default = self._get_default_metavar_for_optional(action)
        return self._format_args(action, default if action.option_strings else action.dest)

    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:
        found = super()._format_args(action, default_metavar)
        (name,) = self._metavar_formatter(action, default_metavar)(1)
        return {"+": f"{name} …", "*": f"[{name} …]"}.get(str(action.nargs), found)

    def _get_default_metavar_for_optional(self, action: argparse.Action) -> str:
        if action.choices is not None:
            return _choice(list(action.choices))
        if action.type in (int, float):
            return "N" if action.type is int else "X"
        return _word(action.dest)

    def _metavar_formatter(self, action: argparse.Action, default_metavar: str) -> Any:
        name = action.metavar or default_metavar
        return lambda size: name if isinstance(name, tuple) else (name,) * size

    def _expand_help(self, action: argparse.Action) -> str:
        text = super()._expand_help(action)
        told = action.choices is not None or "default" in text or not action.option_strings
        if not told and action.default not in _NO_DEFAULT:
            text += f"; default: {action.default}"
        if action.choices is None or action.metavar is not None or not action.option_strings:
            return text
        default = "" if action.default in _NO_DEFAULT else str(action.default)
        return _with_choices(text, list(action.choices), default)


class Parser(argparse.ArgumentParser):
    """A parser in which `--repo_id` and `--repo-id` are the same option; the help shows the first.

    Every parser has `--debug`. A word that is not an option is refused with the nearest one.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=_Format, allow_abbrev=False, **options)
        self.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS,
            help="show the traceback of an error",
        )  # fmt: skip
        self.settings: type | None = None
        self.paths: set[str] = set()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse what this parser knows; an unknown option is an error."""
        words = list(sys.argv[1:] if args is None else args)
        words = self._with_model(words)
        end = words.index("--") if "--" in words else len(words)
        words[:end] = [self._spelled(word) for word in words[:end]]
        found, extra = super().parse_known_args(words, namespace)
        unknown = [word.partition("=")[0] for word in extra if word.startswith("-")]
        if unknown:
            self.error(f"unknown option {unknown[0]}{self._near(unknown[0])}")
        return found, extra

    def _with_model(self, words: list[str]) -> list[str]:
        """The words with the model as this command takes it: as its first word, or by `--model`."""
        words = [part for word in words for part in _split_option(word, "--model")]
        named = "--model" in words
        places = [one.dest for one in self._actions if not one.option_strings]
        if "--model" in self._option_string_actions:
            bare = bool(words) and not named and not words[0].startswith("-")
            if bare and (not places or os.path.isdir(os.path.expanduser(words[0]))):
                return ["--model", *words]
        elif named and places[:1] in (["model"], ["folder"]):
            given = words.index("--model")
            return [*words[given + 1 : given + 2], *words[:given], *words[given + 2 :]]
        return words

    def _near(self, name: str) -> str:
        """Which options may be meant: those of sections by that name, or the nearest ones."""
        key = name.lstrip("-").replace("-", "_")
        homes = sections_with(self.settings, key) if self.settings else []
        if not homes:
            return did_you_mean(name, self._option_string_actions)
        return f": did you mean {listed([f'--{home}.{key}' for home in homes], 'or')}?"

    def error(self, message: str) -> NoReturn:
        """Raise a `UserError`; argparse would print its usage and exit."""
        raise UserError(f"{message} (see `{self.prog} --help`).")

    def _spelled(self, word: str) -> str:
        """The word with its option as this parser spells it."""
        name, sign, value = word.partition("=")
        if not name.startswith("--") or name in self._option_string_actions:
            return word
        for one, other in (("-", "_"), ("_", "-")):
            spelled = "--" + name[2:].replace(one, other)
            if spelled in self._option_string_actions:
                return f"{spelled}{sign}{value}"
        if self.settings is not None:
            name = "--" + name[2:].replace("-", "_")
            self._add_setting(name)
            return f"{name}{sign}{value}"
        return word

    def _add_setting(self, name: str) -> None:
        """Declare an option that `--help` does not list, such as `--encoders.marbert.epochs`."""
        assert self.settings is not None
        path = name[2:]
        if "." not in path and path not in extra_types_of(self.settings):
            return
        hint = locate(self.settings, path, "--")[1]
        self.add_argument(name, dest=path, help=argparse.SUPPRESS, **_arity(hint))
        self.paths.add(path)


def _split_option(word: str, name: str) -> list[str]:
    return [name, word.removeprefix(f"{name}=")] if word.startswith(f"{name}=") else [word]


Commands = dict[str, tuple[str, Callable[[Parser], None]]]
"""By the name of a command its line of help, and what declares its options."""


def add_settings(
    parser: Parser,
    kind: type,
    sections: Iterable[str] = (),
    only: Iterable[str] | None = None,
    heading: str = "options",
) -> None:
    """Add the keys of a dataclass as options, grouped by their headings.

    Args:
        parser: gets an option per key, and takes those of sections by their path.
        kind: the dataclass of the settings.
        sections: sections whose keys the help lists.
        only: the keys, in the order of the help; by default all.
        heading: of keys without one of their own.
    """
    parser.settings = kind
    groups: dict[str, Any] = {}
    known = keys_of(kind)
    entries = {name: (heading, *known[name]) for name in only or known}
    for name in sections:
        section, about = known[name]
        entries |= {f"{name}.{k}": (about["help"], *v) for k, v in keys_of(section).items()}
    for path, (default_title, hint, entry) in entries.items():
        if section_of(hint) is hint and not hasattr(hint, "shorthand"):
            continue  # a section without a shorthand, which no single option can set
        if "." in path and get_origin(hint) is list and section_of(hint):
            continue  # listed once, at the top level
        title, text = entry.get("group", default_title), one_line(str(entry.get("help", "")))
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        groups[title].add_argument(
            f"--{path}", dest=path, metavar=entry.get("metavar", _metavar(path, hint)),
            **_arity(hint),
            help=_with_choices(text, _choices(hint), _default(entry)),
        )  # fmt: skip
        parser.paths.add(path)


def _default(about: Mapping[str, Any]) -> str:
    """The default of a key as the help shows it; "" if its text says it, or there is none."""
    value = about.get("default")
    if "default" in about.get("help", "") or not isinstance(value, (bool, int, float, str, list)):
        return ""
    if value is False or value in ("", []):
        return ""
    words = value if isinstance(value, list) else ["true" if value is True else value]
    return " ".join(f"{word:g}" if isinstance(word, float) else str(word) for word in words)


def one_line(text: str) -> str:
    """The first sentence of a help text, for `--help`."""
    first = text.split(". ")[0].removesuffix(".")
    return textwrap.shorten(first, 80, placeholder=" …").replace("%", "%%")


def settings_given(parser: Parser, options: argparse.Namespace) -> dict[str, Any]:
    """The settings of a command line as sections in sections, for `merged`.

    Raises:
        UserError: a value of another type than its key.
    """
    kind, found = parser.settings, {}
    assert kind is not None
    paths = [path for path in vars(options) if path in parser.paths]
    for path in sorted(paths, key=lambda path: path.count(".")):
        (name, hint), words = locate(kind, path, "--"), getattr(options, path)
        if name in found:
            raise UserError(f"--{path} is given twice: it is another name of --{name}.")
        several = isinstance(words, list) and not _takes(hint, list)
        value = Whole(pairs(path, words)) if several else _value(hint, words, path)
        found[name] = convert(hint, value, "--", path)
    return nested(found)


def pairs(name: str, words: Sequence[str], form: str = "name=value") -> dict[str, str]:
    """`name=value` words as a dict.

    Raises:
        UserError: a word without `=`, or a name twice.
    """
    table: dict[str, str] = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not (key and sign and value):
            raise UserError(f"--{name}: {word!r} must have the form {form}.")
        if key in table:
            raise UserError(f"--{name}: {key!r} is given twice.")
        table[key] = value
    return table


def _value(hint: Any, words: Any, path: str) -> Any:
    """What the words of an option mean to a key of this type."""
    if words in ("null", ["null"]) and (type(None) in get_args(hint) or _takes(hint, list)):
        return None
    whole = isinstance(words, list) and len(words) == 1 and words[0].startswith("[")
    if whole or (isinstance(words, str) and (hint is Any or _takes(hint, dict))):
        try:
            return parse_yaml(words[0] if whole else words)
        except YAMLError as error:
            raise UserError(f"--{path} is {words!r}, which is not valid YAML: {error}") from error
    return words


def _takes(hint: Any, kind: type) -> bool:
    """Whether a type, or a member of a union, is a list or a dict."""
    members = (hint,) if get_origin(hint) in (list, dict, Literal) else (hint, *get_args(hint))
    return any(kind in (member, get_origin(member)) for member in members)


def _arity(hint: Any) -> dict[str, Any]:
    options: dict[str, Any] = {"default": argparse.SUPPRESS}
    if bool in (hint, *get_args(hint)):
        return options | {"nargs": "?", "const": "true"}
    names = get_origin(hint) is dict and section_of(hint) is not None
    return options | ({"nargs": "+"} if names or _takes(hint, list) else {})


def _choices(hint: Any) -> list[str]:
    """The values of a Literal, or of one in a union."""
    literal = next((one for one in (hint, *get_args(hint)) if get_origin(one) is Literal), None)
    return [str(value) for value in get_args(literal)]


def _choice(values: Sequence[Any]) -> str:
    """How the help shows a choice: its values, or KIND if they are long."""
    shown = "|".join(map(str, values))
    return shown if len(shown) <= _LONG_CHOICES else "KIND"


def _with_choices(text: str, values: Sequence[Any], default: str = "") -> str:
    """The help of an option with its default, and with its values if its metavar lacks them."""
    if _choice(values) != "KIND":
        return f"{text}; default: {default}" if default else text
    shown = (f"{value} by default" if value == default else str(value) for value in values)
    return f"{text} ({', '.join(shown)})"


def _word(name: str) -> str:
    """What stands for the value of an option that takes text."""
    return _METAVARS.get(re.split(r"[._-]", name)[-1], "TEXT")


def _metavar(name: str, hint: Any) -> str:
    members = [hint, *get_args(hint)]
    if choices := _choices(hint):
        return _choice(choices)
    if bool in members:
        return "true|false"
    for kind, word in ((int, "N"), (float, "X")):
        if kind in members:
            return word
    return _word(name)


def run_command(command: Callable[[], Any], words: Sequence[str], name: str) -> int:
    """Run a command and return its exit code: its own, 2 for a `UserError`, 1 for a bug, 130 if
    interrupted.

    A `UserError` is printed as it is, anything printed without the control characters of foreign
    texts. Any other error is a bug of this package: its traceback goes to a file that the message
    names. With `--debug` among the words it is printed too.
    """
    debug = "--debug" in words
    if not sys.stderr.isatty():  # no bars of downloads and of loading weights in logs
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    with inert_output(), options_named():
        return _run(command, debug, name)


def _run(command: Callable[[], Any], debug: bool, name: str) -> int:
    try:
        return int(command() or 0)
    except KeyboardInterrupt:
        print("Interrupted. Run the same command again to resume.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        with suppress(OSError):  # else the interpreter complains at its end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except UserError as error:
        if debug:
            traceback.print_exc()
        print(f"error: {error}", file=sys.stderr)
        return USER_MISTAKE
    except OSError as error:
        if error.errno not in _OF_THE_DISK:
            return _bug(error, debug, name)
        print(f"error: {error.strerror}: {error.filename or 'the output'}", file=sys.stderr)
        return USER_MISTAKE
    except Exception as error:
        return _bug(error, debug, name)


def _bug(error: Exception, debug: bool, name: str) -> int:
    """Say that it is a bug, and write its traceback to a file."""
    if debug:
        traceback.print_exc()
    said = f"{type(error).__name__}: {error}".splitlines()[0]
    try:
        handle, file = tempfile.mkstemp(prefix=f"stacked-emotion-{name}-", suffix=".log")
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(f"{sys.argv}\n{sys.version}\n\n{traceback.format_exc()}")
    except OSError:
        file = "nowhere: run the command again with --debug to see it"
    print(
        f"This is a bug in stacked_emotion, not a mistake of yours: {said}\nTraceback: {file}",
        file=sys.stderr,
    )
    return FAILURE
