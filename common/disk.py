"""Disks that are full or cannot be written: one sentence instead of a traceback."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import UserError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
# Libraries in C++ and Rust raise errors of their own; those of PyTorch and NumPy give no reason.
_FULL_TEXT = re.compile(
    r"No space left on device|Disk quota exceeded|File too large|disk is full"
    r"|PytorchStreamWriter failed|unexpected pos \d+|\d+ requested and \d+ written"
)
_READ_ONLY_TEXT = re.compile(r"Read-only file system|readonly database")


@contextmanager
def disk_errors(folder: Path, option: str, needed: int | None = None) -> Iterator[None]:
    """Turn the errors of a disk that is full or read-only into one for the user.

    Args:
        folder: where the work writes.
        option: what chooses the folder, for the message.
        needed: bytes that the work writes there; by default twice what is there when it fails.

    Raises:
        UserError: the disk is full, or the folder cannot be written.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        kind = _kind(error)
        if kind == "full":
            raise no_room(folder, option, needed) from error
        if kind == "read-only":
            raise UserError(
                f"Nothing can be written in {folder} ({_reason(error)}). Make it writable or "
                f"choose another {option}."
            ) from error
        raise


def check_file(path: Path | None, option: str) -> None:
    """Raise `UserError` if a file is to be written, and its folder is not there."""
    if path and not path.absolute().parent.is_dir():
        raise UserError(f"{option} {path}: {path.parent} is not a folder.")


def make_folder(folder: Path, option: str) -> None:
    """Make a folder and those above it.

    Raises:
        UserError: there is a file in its way, or nothing can be written there.
    """
    check_folder(folder, option)
    with disk_errors(folder, option):
        folder.mkdir(parents=True, exist_ok=True)


def check_folder(folder: Path, option: str) -> None:
    """Refuse a path with a file, or a link to nothing, in its way; nothing is written.

    Raises:
        UserError: there is one.
    """
    place = next((path for path in (folder, *folder.parents) if os.path.lexists(path)), None)
    if place is not None and not place.is_dir():
        raise UserError(
            f"{folder} cannot be made a folder ({place} is not one). Choose another {option}."
        )


def no_room(folder: Path, option: str, needed: int | None = None) -> UserError:
    """The message of a full disk, to be raised; the arguments are those of `disk_errors`."""
    if needed is None:
        needed = max(2 * _written(folder), 1 << 20)
    free = ""
    with suppress(OSError):
        place = next(path for path in (folder, *folder.parents) if path.exists())
        free = f", but only {_megabytes(shutil.disk_usage(place).free)} are free there"
    return UserError(
        f"The disk of {folder} is full: the work needs about {_megabytes(needed)} there{free}. "
        f"Free some space and run the same command again to resume, or choose another {option}."
    )


def _written(folder: Path) -> int:
    """Bytes of the files in a folder."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.stat().st_size if path.is_file() else 0
    return total


def _megabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.1f} MB"


def _kind(error: BaseException | None) -> str | None:
    """`full`, `read-only` or None, from an error and what caused it."""
    while error is not None:
        number = error.errno if isinstance(error, OSError) else None
        if number in _FULL or _FULL_TEXT.search(str(error)):
            return "full"
        if number in _READ_ONLY or _READ_ONLY_TEXT.search(str(error)):
            return "read-only"
        error = error.__cause__ or error.__context__
    return None


def _reason(error: BaseException) -> str:
    return (getattr(error, "strerror", None) or str(error)).strip().splitlines()[0]
