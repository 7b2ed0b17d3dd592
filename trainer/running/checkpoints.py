"""Checkpoints that are known to be whole, and results that appear at once.

A checkpoint is whole when it holds `digests.json`, written last, and every file in it has the size
and the digest written there. A process may be killed at any moment: what it was writing then fails
this test, is set aside, and the newest checkpoint that passes is resumed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from safetensors.torch import load_file, save_file
from torch import Tensor

from ...common.files import file_digest, write_json
from .progress import announce

DIGESTS = "digests.json"
SET_ASIDE = "set_aside"
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")


def write_digests(checkpoint: Path) -> None:
    """Note size and digest of every file of a finished checkpoint in its `digests.json`."""
    files = sorted(
        path for path in checkpoint.rglob("*") if path.is_file() and path.name != DIGESTS
    )
    table = {
        path.relative_to(checkpoint).as_posix(): [path.stat().st_size, file_digest(path)]
        for path in files
    }
    write_json(checkpoint / DIGESTS, table)


def checkpoint_problem(checkpoint: Path) -> str | None:
    """What keeps a checkpoint from being resumed, or None if every byte is as it was written."""
    try:
        table = json.loads((checkpoint / DIGESTS).read_text(encoding="utf-8"))
        entries = {name: (int(size), str(digest)) for name, (size, digest) in table.items()}
    except FileNotFoundError:
        return f"it was not finished (it has no {DIGESTS})"
    except (OSError, ValueError, TypeError, AttributeError):
        return f"its {DIGESTS} cannot be read"
    if not entries:
        return f"its {DIGESTS} names no files"
    for name, (size, digest) in entries.items():
        path = checkpoint / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != size:
            return f"{name} has {path.stat().st_size} bytes instead of {size}"
        if file_digest(path) != digest:
            return f"the bytes of {name} are not those that were written"
    return None


def newest_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint in a `Trainer`'s folder that verifies; newer ones are set aside.

    Every rank must call it; the main one looks, and all get its answer.

    Args:
        folder: the `output_dir` of the training arguments; it may be missing.

    Returns:
        The path of `checkpoint-<steps>`, or None if there is nothing to resume.
    """
    answer = [_newest_checkpoint(folder) if PartialState().is_main_process else None]
    if PartialState().num_processes > 1:
        broadcast_object_list(answer)
    return answer[0]


def checkpoints_of(folder: Path) -> list[Path]:
    """The checkpoints in a folder, newest first, whole or not."""
    steps = {}
    for path in folder.glob("checkpoint-*"):
        match = _CHECKPOINT.fullmatch(path.name)
        if match and path.is_dir():
            steps[path] = int(match.group(1))
    return sorted(steps, key=lambda path: -steps[path])


def _newest_checkpoint(folder: Path) -> str | None:
    for path in checkpoints_of(folder):
        problem = checkpoint_problem(path)
        if problem is None:
            announce(f"Training goes on from {path}.")
            return str(path)
        aside = folder / SET_ASIDE / path.name
        shutil.rmtree(aside.parent, ignore_errors=True)
        aside.parent.mkdir(parents=True)
        os.replace(path, aside)
        announce(f"The checkpoint {path} cannot be used: {problem}. It is set aside in {aside}.")
    return None


def kept_tensors(
    path: Path, work: Callable[[], tuple[dict[str, Tensor], Any]]
) -> tuple[dict[str, Tensor], Any]:
    """Tensors that a killed run need not compute again.

    Every rank must call it. The file and its digest are written by the main one; all ranks work
    where the file is missing or is not what was written.

    Args:
        path: a file that ends in `.safetensors`, in a folder that belongs to these settings alone.
        work: makes the tensors, and a JSON-able record of how.

    Returns:
        What `work` returned, in this process or in an earlier one.
    """
    state = PartialState()
    answer = [_entry_of(path) if state.is_main_process else None]
    if state.num_processes > 1:
        broadcast_object_list(answer)
    if answer[0] is not None:
        return load_file(path), answer[0]["record"]
    tensors, record = work()
    made = {name: value.contiguous() for name, value in tensors.items()}
    if state.is_main_process:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.partial")
        save_file(made, partial)
        write_json(_entry_path(path), {"digest": file_digest(partial), "record": record})
        os.replace(partial, path)
    state.wait_for_everyone()
    return made, record


def _entry_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _entry_of(path: Path) -> dict[str, Any] | None:
    """The entry of a file that is as it was written, or None."""
    try:
        entry = json.loads(_entry_path(path).read_text(encoding="utf-8"))
        if file_digest(path) == entry["digest"]:
            return {"record": entry["record"]}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        pass
    announce(f"{path} is not as it was written and is made again.")
    return None
