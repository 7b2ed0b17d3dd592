"""Finished work: made once, written atomically, verified before it is used again.

A piece of work has a folder and a key, the fingerprint of everything the result depends on. When
the work is done, `finish` writes its record last. The record names every file with its size, time
of change and SHA-256, and holds a digest of itself. `find` gives the work back only if the key is
the same and nothing is damaged, so a process may be killed, and a file changed, at any moment.

Files up to `SMALL` bytes are hashed each time, which takes at most 40 ms a file (SHA-256 reads
1.8 GB/s where the CPU has instructions for it). Larger files are hashed if their size or time of
change differs from the record, and always inside `thorough()`, which is what `--verify` does.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from .errors import UserError, shorten
from .files import file_digest, fingerprint, parse_json, write_json

RECORD = "done.json"
SMALL = 64 << 20
OTHER_KEY = "belongs to other data, encoders or settings"
_THOROUGH: ContextVar[bool] = ContextVar("thorough", default=False)


NUMBER = (int, float)


@dataclass(frozen=True)
class Form:
    """What finished work of a kind has to hold, for those who read it.

    Attributes:
        record: its fields. A value is a type, a tuple of types, `[form]` for a list, or a mapping:
            of fields, or `{str: form}` for any names. Further fields are allowed.
        files: patterns, each of which fits the name of a file.
    """

    record: Mapping[Any, Any] = field(default_factory=dict)
    files: tuple[str, ...] = ()

    def problem(self, found: Finished) -> str | None:
        """What is missing or of another type, in words; None if nothing is."""
        if (where := _misfit(found.record, self.record, "")) is not None:
            return f"{where} is missing or of another type"
        for pattern in self.files:
            if not any(fnmatch(name, pattern) for name in found.files):
                return f"no {pattern} is listed"
        return None


ANY = Form()


@dataclass(frozen=True)
class Finished:
    """Work that was found whole.

    Attributes:
        folder: where it is.
        key: fingerprint of everything it depends on.
        record: what the work says of itself.
        files: size in bytes, time of change in ns, and SHA-256 of each file, by relative path.
    """

    folder: Path
    key: str
    record: dict[str, Any]
    files: dict[str, tuple[int, int, str]] = field(repr=False)

    def digest(self, *patterns: str) -> str:
        """Fingerprint of the files whose names fit a pattern such as `*.safetensors`."""
        return fingerprint(
            {
                name: digest
                for name, (_, _, digest) in self.files.items()
                if any(fnmatch(name, pattern) for pattern in patterns or ("*",))
            }
        )


@contextmanager
def thorough(on: bool = True) -> Iterator[None]:
    """Hash every file in this context, even if its size and time of change are the same."""
    token = _THOROUGH.set(on)
    try:
        yield
    finally:
        _THOROUGH.reset(token)


def finish(
    folder: Path,
    key: str,
    record: dict[str, Any],
    files: list[Path] | None = None,
    name: str = RECORD,
    leave_out: tuple[str, ...] = (),
) -> Finished:
    """Write the record of finished work, as the last of its files.

    Args:
        folder: the folder of the work.
        key: fingerprint of everything it depends on.
        record: JSON values.
        files: the files of the work; by default all in the folder.
        name: of the record's file.
        leave_out: files and folders directly in `folder` that are not part of the work.
    """
    if files is None:
        files = [
            path
            for path in sorted(folder.rglob("*"))
            if path.is_file()
            and path.suffix != ".lock"
            and path != folder / name
            and path.relative_to(folder).parts[0] not in leave_out
        ]
    table = {}
    for path in files:
        found = path.stat()
        entry = (found.st_size, found.st_mtime_ns, file_digest(path))
        table[path.relative_to(folder).as_posix()] = entry
    content = {"format": 1, "key": key, "record": record, "files": table}
    content = json.loads(json.dumps(content))
    write_json(folder / name, content | {"digest": fingerprint(content)})
    return Finished(folder, key, record, table)


def find(
    folder: Path, key: str | None, name: str = RECORD, form: Form = ANY
) -> tuple[Finished | None, str | None]:
    """Look for finished work of this form with this key; None for any key.

    Returns:
        The work, or None and what is wrong with it, in words that follow its name. Both are None
        if there is no record.
    """
    found, problem = read_record(folder, name, form)
    if found is None:
        return None, problem
    if key is not None and found.key != key:
        return None, OTHER_KEY
    for file, entry in found.files.items():
        if (damage := _file_problem(folder, file, entry)) is not None:
            return None, f"is damaged: {damage}"
    return found, None


def read_record(
    folder: Path, name: str = RECORD, form: Form = ANY
) -> tuple[Finished | None, str | None]:
    """As `find`, but only the record is read and checked, and none of its files."""
    try:
        content = parse_json(folder / name)
    except (FileNotFoundError, NotADirectoryError):
        return None, None
    except (OSError, ValueError):
        return None, f"is damaged: {name} cannot be read"
    found = _parsed(folder, content)
    if found is None:
        return None, f"is damaged: {name} is not what was written"
    if (misfit := form.problem(found)) is not None:
        return None, f"is damaged: in {name}, {misfit}"
    return found, None


def finished_in(folder: Path, advice: str, form: Form = ANY) -> Finished:
    """The finished work in a folder, with any key.

    Raises:
        UserError: there is none, or it is damaged; the message ends with `advice`.
    """
    found, problem = find(folder, None, form=form)
    if found is None:
        raise UserError(f"{folder} {problem or 'holds no finished work'}: {advice}")
    return found


def _parsed(folder: Path, content: Any) -> Finished | None:
    """The work a record tells of; None if the record is not one that `finish` wrote."""
    try:
        digest = content.pop("digest")
        key, record, table = content["key"], content["record"], content["files"]
        if digest != fingerprint(content) or not isinstance(record, dict):
            return None
        files = {name: (size, time, digest) for name, (size, time, digest) in table.items()}
        kinds = {tuple(map(type, entry)) for entry in files.values()}
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return None
    whole = kinds <= {(int, int, str)} and all(map(is_inside, files))
    return Finished(folder, str(key), record, files) if whole else None


def _misfit(value: Any, form: Any, where: str) -> str | None:
    """The path of the first value that is missing or of another type; None if there is none."""
    if isinstance(form, Mapping | list):
        if not isinstance(value, dict if isinstance(form, Mapping) else list):
            return where or "the record"
        inner: dict[Any, Any] = dict(enumerate(value)) if isinstance(value, list) else value
        if isinstance(form, Mapping) and str not in form:
            wanted = dict(form)
        else:
            wanted = dict.fromkeys(inner, form[str] if isinstance(form, Mapping) else form[0])
        places = ((name, f"{where}.{name}" if where else str(name)) for name in wanted)
        misfits = (_misfit(inner.get(name), wanted[name], place) for name, place in places)
        return next((place for place in misfits if place is not None), None)
    kinds = form if isinstance(form, tuple) else (form,)
    fits = isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
    return None if fits else where


def is_inside(name: str) -> bool:
    """Whether a relative path stays in its folder, on every system."""
    windows = PureWindowsPath(name)
    parts = {*PurePosixPath(name).parts, *windows.parts}
    return (
        bool(name)
        and "\0" not in name
        and ".." not in parts
        and not (name.startswith("/") or windows.drive or windows.root)
    )


def _file_problem(folder: Path, name: str, entry: tuple[int, int, str]) -> str | None:
    size, time, digest = entry
    path, shown = folder / name, shorten(name).strip("'")
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            return f"{shown} is not a file"
        if found.st_size != size:
            return f"{shown} has {found.st_size} bytes instead of {size}"
        unread = size > SMALL and found.st_mtime_ns == time and not _THOROUGH.get()
        if not unread and file_digest(path) != digest:
            return f"the bytes of {shown} are not those that were written"
    except FileNotFoundError:
        return f"{shown} is missing"
    except (OSError, ValueError) as error:
        return f"{shown} cannot be read ({error})"
    return None
