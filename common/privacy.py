"""What must not leave this machine: local paths, user and host names, secrets."""

from __future__ import annotations

import contextlib
import getpass
import re
import socket
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from .environment import SECRET, SECRET_KEY, secret_variables
from .errors import UserError
from .settings import by_path

LOCAL = "a local folder"
_HUB_ID_OR_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_DATA_FILE = re.compile(r"\.(csv|tsv|txt|jsonl?|parquet|xlsx?|arrow)(\.gz)?$", re.IGNORECASE)
_PATH = re.compile(
    r"""(?<![\w:/\\.<])(?:file:/+|~[\w.-]*[/\\]|\.{1,2}[/\\]|[A-Za-z]:[/\\]|/{1,2}(?=[\w.~@-])|\\\\(?=\w))"""
    r"""[^\s"'|<>(),;]*(?:[^\n"'|<>(),;=]*[/\\][^\s"'|<>(),;]*)?"""
)  # the second line: a path with blanks ends at its last separator
_ASSIGNED = re.compile(r"([A-Za-z][\w.-]*=)(.+)", re.DOTALL)
_LOCAL_KEY = re.compile(
    r"(^|_)(dir|folder|file|path)s?$|^(run_name|recipe_file|encoders_from|teacher_run|teacher_scores)$"
)
_MACHINE_KEY = re.compile(r"(^|_)(host|host_?name|user|user_?name|login)$", re.IGNORECASE)
_TEXTS = (".json", ".md", ".py", ".txt", ".svg", ".css", ".html", ".jsonl")
_SHORTEST = 6
_LONGEST_FILE = 50_000_000
_ORDINARY_NAMES = {"root", "user", "localhost", "admin", "home", "runner", "ubuntu"}


def is_hub_id(source: str, state: Mapping[str, Any] | None = None) -> bool:
    """Whether a model or data set came from the Hub.

    Args:
        source: as it was given to the run.
        state: what the run recorded of it; a `commit` (perhaps null) is that of the Hub.
    """
    if state:
        return "commit" in state and bool(_HUB_ID_OR_NAME.fullmatch(source))
    return bool(_HUB_ID.fullmatch(source)) and not Path(source).exists()


def public_values(value: Any, local: Collection[str] = (), kept: Collection[str] = ()) -> Any:
    """A JSON value without local paths, names of this machine and its user, and secrets.

    Of the path of a data file its name stays; of any other path nothing.

    Args:
        value: what `json` reads.
        local: sources that were local folders, as the run wrote them.
        kept: strings and keys to leave alone, such as the labels.
    """
    if isinstance(value, Mapping):
        return {
            str(key): _of_key(str(key), entry, local, kept)
            for key, entry in value.items()
            if key in kept or not _is_private(str(key), entry)
        }
    if isinstance(value, list | tuple):
        return [public_values(entry, local, kept) for entry in value]
    if isinstance(value, str) and value not in kept:
        return public_text(value, local)
    return value


def public_text(text: str, local: Collection[str] = ()) -> str:
    """A string without local paths and names of this machine and its user.

    Hub IDs and web addresses stay.

    Args:
        text: any text.
        local: sources that were local folders.
    """
    if assigned := _ASSIGNED.fullmatch(text):
        return assigned[1] + public_text(assigned[2], local)
    plain = text.rstrip("/\\")
    if plain and plain in {source.rstrip("/\\") for source in local}:
        return LOCAL
    if _is_path(text):
        name = re.split(r"[/\\]", plain)[-1]
        return name if _DATA_FILE.search(name) else LOCAL
    if "://" in text and " " not in text and not text.startswith("file:"):
        return text
    text = _PATH.sub("(local path)", text)
    if _HUB_ID.fullmatch(text):
        return text
    for name in _names_of_this_machine():
        text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", "(private)", text)
    return text


def refuse_secrets(folder: Path) -> None:
    """Refuse to publish a text file that holds a token, a key or a secret environment variable.

    Raises:
        UserError: with the file and the kind of secret, never the secret itself.
    """
    from huggingface_hub import get_token

    own, variables = get_token(), secret_variables()
    for file in sorted(folder.rglob("*")):
        if not file.is_file() or file.suffix not in _TEXTS:
            continue
        if file.name == "tokenizer.json" or file.stat().st_size > _LONGEST_FILE:
            continue  # vocabularies hold all kinds of strings
        text = file.read_text(encoding="utf-8", errors="replace")
        kind = None
        if found := SECRET.search(text):
            kind = found[0][:4] + "…"
        elif own and len(own) > _SHORTEST and own in text:
            kind = "your own Hub token"
        else:
            for name, value in variables.items():
                if value in text:
                    kind = f"the value of the environment variable {name}"
        if kind:
            raise UserError(
                f"{file.relative_to(folder)} would publish what looks like a secret ({kind}). "
                "Remove it from the run's folder, revoke it, and publish again."
            )


def refuse_secret_settings(values: Mapping[str, Any]) -> None:
    """Refuse settings with a token or a key: they are written to files that people share.

    Raises:
        UserError: with the path of the setting, never its value.
    """
    known = set(secret_variables().values())
    for path, value in by_path(values).items():
        texts = [str(entry) for entry in (value if isinstance(value, list) else [value])]
        if any(SECRET.search(text) or text in known for text in texts):
            raise UserError(
                f"{path} holds a secret, and settings are written to recipe.yaml and results.json. "
                "Leave it out: programs read their tokens from the environment."
            )


def _of_key(key: str, value: Any, local: Collection[str], kept: Collection[str]) -> Any:
    """As `public_values`; a key such as `output_dir` always holds a path."""
    if key in kept:
        return public_values(value, local, kept)
    if isinstance(value, str) and value and _LOCAL_KEY.search(key) and "://" not in value:
        name = re.split(r"[/\\]", value.rstrip("/\\"))[-1]
        return name if _DATA_FILE.search(name) else LOCAL
    return public_values(value, local, kept)


def _is_path(text: str) -> bool:
    """Whether a whole string is a path: it starts like one, or has several levels."""
    if "\n" in text or ("://" in text and not text.startswith("file:")):
        return False
    if text.startswith("refs/"):  # of git
        return False
    starts = re.match(r"~|\.{1,2}([/\\]|$)|[/\\]|[A-Za-z]:[/\\]|file:", text)
    levels = len(re.findall(r"[/\\]", text.strip("/\\")))
    words = len(text.split()) > 1 and not starts
    return bool(
        starts
        or (levels > 1 and not words)
        or ("\\" in text and not words)
        or text.endswith("/")
        or (levels and _DATA_FILE.search(text) and not words)
    )


def _is_private(key: str, value: Any) -> bool:
    return bool(SECRET_KEY.search(key) or _MACHINE_KEY.search(key)) and _has_text(value)


def _has_text(value: Any) -> bool:
    """Whether a value is a text or holds one; scores of a label `user` are none."""
    if isinstance(value, Mapping | list | tuple):
        return any(map(_has_text, value.values() if isinstance(value, Mapping) else value))
    return isinstance(value, str)


def _names_of_this_machine() -> list[str]:
    """The host's name and the user's, unless they are ordinary words."""
    names = [socket.gethostname()]
    with contextlib.suppress(KeyError, OSError):  # a user without an entry in the system's list
        names.append(getpass.getuser())
    return [name for name in names if len(name) >= 4 and name.lower() not in _ORDINARY_NAMES]
