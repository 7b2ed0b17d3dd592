"""Files: digests, JSON, and replacing a file or folder in one step."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .errors import UserError

_CHUNK = 1 << 20
_SETTLED_NS = 200_000_000
_KNOWN_DIGESTS: dict[tuple[str, int, int, int, int], str] = {}


def fingerprint(*parts: Any) -> str:
    """SHA-256 of JSON-able parts, as hex."""
    digest = hashlib.sha256()
    for part in parts:
        text = part if isinstance(part, str) else json.dumps(part, sort_keys=True)
        digest.update(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex.

    A process reads a file again only if its inode, size or a time of change differs. The inode's
    own time counts too, because a program can set the other one back.
    """
    found = path.stat()
    known = (
        str(path.resolve()), found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns,
    )  # fmt: skip
    if known in _KNOWN_DIGESTS:
        return _KNOWN_DIGESTS[known]
    # Times have steps of some milliseconds: a file that just changed may change again unseen.
    settled = time.time_ns() - found.st_ctime_ns > _SETTLED_NS
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    if settled:
        _KNOWN_DIGESTS[known] = digest.hexdigest()
    return digest.hexdigest()


def replace_file(path: Path, write: Callable[[Path], Any], sync: bool = False) -> None:
    """Write a file so that its place holds either the old one or the whole new one.

    Args:
        path: the place.
        write: writes the partial file beside it.
        sync: wait until the disk has the content, so that a power cut cannot lose it.

    Raises:
        IsADirectoryError: a folder is in the place; nothing was written.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    partial = path.with_name(f"{path.name}.partial")
    if partial.is_symlink():
        partial.unlink()
    write(partial)
    if sync:
        with partial.open("rb+") as stream:
            os.fsync(stream.fileno())
    os.replace(partial, path)


def replace_text(path: Path, text: str) -> None:
    """Write a text in UTF-8 so that the file is either the old one or the whole new one."""
    replace_file(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that the file is either the old one or the whole new one."""
    replace_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def remove(path: Path) -> None:
    """Remove a folder with all in it, a file, or a link but not what it names."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


def discard(folder: Path) -> None:
    """Remove a folder so that it is never half there under its own name.

    Raises:
        UserError: a file is in its place, which no command wrote.
    """
    if folder.is_file() and not folder.is_symlink():
        raise UserError(f"{folder} is a file, not a folder of a run. Move it away.")
    old = folder.with_name(f".{folder.name}.replaced")  # nobody's backup is called that
    if old.is_dir() and not os.path.lexists(folder):
        os.replace(old, folder)  # a process died between the two steps of `replace_folder`
    remove(old)
    if os.path.lexists(folder):
        os.replace(folder, old)
        remove(old)


def replace_folder(
    partial: Path, folder: Path, sign: str | None = None, ours: re.Pattern[str] | None = None
) -> None:
    """Put a finished folder in the place of an earlier one, which has the file `sign`.

    A folder that holds the same files already stays, with everything else in it. `ours` fits the
    paths of all files that an earlier version may have: files of others stay.

    Raises:
        UserError: something else than an earlier version is in the place.
    """
    if folder.is_dir() and all(
        _same(path, folder / path.relative_to(partial)) for path in sorted(partial.rglob("*"))
    ):
        shutil.rmtree(partial)
        return
    if sign and folder.is_dir() and not (folder / sign).is_file() and any(folder.iterdir()):
        raise UserError(f"{folder} holds something else. Move it away or choose another folder.")
    if ours is not None and folder.is_dir() and not folder.is_symlink():
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            if path.is_file() and not ours.fullmatch(name.as_posix()):
                _keep(path, partial / name)
    discard(folder)
    os.replace(partial, folder)


def _keep(source: Path, target: Path) -> None:
    """A file of others goes along, at once where the disk has hard links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(target):
        return
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def _same(one: Path, other: Path) -> bool:
    if one.is_dir() or not other.is_file():
        return one.is_dir() and other.is_dir()
    return one.stat().st_size == other.stat().st_size and file_digest(one) == file_digest(other)


def parse_json(path: Path) -> dict[str, Any]:
    """Read a JSON object, and leave the message to the caller; see `read_json`.

    Raises:
        OSError: the file cannot be read.
        ValueError: it does not hold a JSON object.
    """
    if path.exists() and not path.is_file():
        raise ValueError("it is not a file")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError(f"it holds {type(value).__name__}, not an object")
    return value


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        return parse_json(path)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read ({error}); run the command that wrote it again."
        ) from error
