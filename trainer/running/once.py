"""Work that is done once, by all ranks, even if they are killed on the way."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from ...common.disk import disk_errors
from ...common.errors import UserError, quoted
from ...common.files import discard
from ...common.finished import (
    ANY,
    NUMBER,
    RECORD,
    Finished,
    Form,
    find,
    finish,
    read_record,
    thorough,
)
from ...common.locks import locked, output_folder
from .progress import announce

CHECKPOINTS = "checkpoints"
_STARTED = "started.txt"
_ALONE: ContextVar[bool] = ContextVar("alone", default=False)


@contextmanager
def run_folder(folder: Path, verify: bool = False) -> Iterator[None]:
    """Work in the folder of a run, as the only command that does; `verify` is that of `--verify`.

    Raises:
        UserError: another process works there, or nothing can be written there.
    """
    with ExitStack() as stack:
        stack.enter_context(thorough(verify))
        if PartialState().is_main_process:
            stack.enter_context(output_folder(folder))
        yield


@contextmanager
def main_rank_alone() -> Iterator[None]:
    """Work that the main rank does while the others are done: nothing is sent to them."""
    token = _ALONE.set(True)
    try:
        yield
    finally:
        _ALONE.reset(token)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Make a piece of work as the only command that does; runs may share encoders and features.

    Raises:
        UserError: another process makes it now.
    """
    with ExitStack() as stack:
        if PartialState().is_main_process:
            folder.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(folder.with_name(f".{folder.name}.lock"), folder))
        yield


def find_finished(folder: Path, key: str, form: Form = ANY) -> Finished | None:
    """Finished work with that key; damage is reported.

    Every rank must call it, except in `main_rank_alone`. The main one reads the files, and all get
    its answer.
    """
    state = PartialState()
    answer: list[Finished | None] = [None]
    if state.is_main_process:
        answer[0], problem = find(folder, key, form=form)
        if problem is not None:
            announce(f"{folder} {problem}. It is made again.")
    if state.num_processes > 1 and not _ALONE.get():
        broadcast_object_list(answer)
    return answer[0]


def run_once(
    folder: Path, key: str, work: Callable[[Path], dict[str, Any]], form: Form = ANY
) -> dict[str, Any]:
    """Do a piece of work unless it is finished and undamaged in its folder.

    Every rank must call it; see `finished_record` and `make`.

    Args:
        folder: the folder of the result.
        key: fingerprint of everything the result depends on.
        work: what to do.
        form: what its record and its files have to hold.

    Returns:
        The record, with `seconds`.

    Raises:
        UserError: the folder holds files that no run wrote, or the disk is full or read-only.
    """
    record = finished_record(folder, key, form)
    return make(folder, key, work) if record is None else record


def finished_record(folder: Path, key: str, form: Form = ANY) -> dict[str, Any] | None:
    """The record of finished, undamaged work of `make`; leftover checkpoints are removed.

    Every rank must call it.
    """
    found = find_finished(folder, key, Form({**form.record, "seconds": NUMBER}, form.files))
    if found is None:
        return None
    _remove_checkpoints(folder)
    return found.record


def make(folder: Path, key: str, work: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """Do a piece of work that is not finished.

    Every rank must call it. The work gets its own folder and returns a JSON-able record. The
    record is written last, so a killed run does the work again, from what it finds in the folder.
    `checkpoints` in the folder are removed when the work is done.

    Args:
        folder: the folder of the result.
        key: fingerprint of everything the result depends on; with another key the folder is
            cleared first.
        work: what to do.

    Returns:
        The record, with `seconds`.

    Raises:
        UserError: the folder holds files that no run wrote, or the disk is full or read-only.
    """
    state = PartialState()
    with disk_errors(folder, "--output_dir"), alone_in(folder):
        if state.is_main_process:
            _begin(folder, key)
        state.wait_for_everyone()
        begin = time.monotonic()
        record = work(folder)
        record["seconds"] = round(time.monotonic() - begin, 2)
        if state.is_main_process:
            finish(folder, key, record, leave_out=(CHECKPOINTS, _STARTED))
    _remove_checkpoints(folder)
    return record


def _remove_checkpoints(folder: Path) -> None:
    state = PartialState()
    if state.is_main_process:
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    state.wait_for_everyone()


def _files_of_others(folder: Path) -> list[str]:
    """Files that neither finished nor interrupted work has left in its folder."""
    found, _ = read_record(folder)
    names = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    if found is None:  # what was interrupted, or whose record is damaged, cannot say
        known = (folder / _STARTED).exists() or (folder / RECORD).exists()
        return [] if known else [name.as_posix() for name in names]
    ours = {*found.files, RECORD, _STARTED}
    return [
        name.as_posix()
        for name in names
        if name.as_posix() not in ours and name.parts[0] != CHECKPOINTS and name.suffix != ".lock"
    ]


def _begin(folder: Path, key: str) -> None:
    """Clear the folder, unless it holds the beginning of this very work."""
    started, record = folder / _STARTED, folder / RECORD
    if started.exists() and started.read_text(errors="replace") == key and not record.exists():
        return
    if folder.is_dir() and (others := _files_of_others(folder)):
        raise UserError(
            f"{folder} holds files that no run wrote ({quoted(others, 3)}). Move them away or "
            "choose another --output_dir."
        )
    discard(folder)
    folder.mkdir(parents=True)
    started.write_text(key)
