"""Locks: one process at a time writes an output, and a second one says who holds it."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from .disk import disk_errors, make_folder
from .environment import SECRET
from .errors import UserError
from .files import parse_json

_SECRET = re.compile(rf"{SECRET.pattern}|hf_\w+|(?<=token[ =])\S+")
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP)


@contextmanager
def output_folder(folder: Path, option: str = "--output_dir") -> Iterator[None]:
    """Work in an output folder: make it, lock it, and explain a disk that is full or read-only.

    Raises:
        UserError: another process works there, or nothing can be written there; `option` is what
            chooses the folder.
    """
    with disk_errors(folder, option):
        make_folder(folder, option)
        with locked(folder / ".lock", folder, option):
            yield


@contextmanager
def locked(path: Path, output: Path, option: str = "--output_dir") -> Iterator[None]:
    """Hold a lock file that protects an output, and remove it at the end.

    The system frees the lock when its process dies, however that happens, and the next process
    takes the file over.

    Raises:
        UserError: another process holds it; `option` is what chooses the output.
    """
    holder = _read_holder(path)
    with ExitStack() as stack:
        try:
            if path.is_symlink():  # it would be emptied, wherever it leads
                path.unlink()
            stack.enter_context(FileLock(path, timeout=0))
            stack.callback(path.unlink, missing_ok=True)
            path.write_text(json.dumps(_this_process()), encoding="utf-8")
        except Timeout as error:
            raise UserError(
                f"{output} is in use by {_described(holder or _read_holder(path))}. Wait until it "
                f"ends, stop it, or choose another {option}."
            ) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            print(f"{output} is on a disk without locks: start one command at a time there.",
                  file=sys.stderr)  # fmt: skip
        yield


def _this_process() -> dict[str, Any]:
    command = " ".join([Path(sys.argv[0]).name, *map(shlex.quote, sys.argv[1:])])
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "command": _SECRET.sub("***", command),
        "since": datetime.now().astimezone().isoformat(" ", "seconds"),
    }


def _read_holder(path: Path) -> dict[str, Any] | None:
    with suppress(OSError, ValueError):
        return parse_json(path)
    return None


def _described(holder: dict[str, Any] | None) -> str:
    if holder is None:
        return "another process"
    pid, host, command, since = (
        str(holder.get(name, "?"))[:200] for name in ("pid", "host", "command", "since")
    )
    return f"process {pid} on {host} since {since} ({command!r})"
