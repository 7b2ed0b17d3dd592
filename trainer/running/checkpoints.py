"""Checkpoints that are known to be whole.

A checkpoint is whole when its record was written, as the last of its files, and every file is as
the record says. A process may be killed at any moment: the checkpoint it was writing fails this
test, is set aside, and training resumes from the newest one that passes.
"""

from __future__ import annotations

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

from ...common.finished import Form, find, finish
from .once import run_once
from .progress import announce

_KEY = "checkpoint"
_TENSORS = "tensors.safetensors"
SET_ASIDE = "set_aside"
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")


def finish_checkpoint(checkpoint: Path) -> None:
    """Write the record of a checkpoint, as the last of its files."""
    finish(checkpoint, _KEY, {})


def newest_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint in a `Trainer`'s folder that verifies; newer ones are set aside.

    Every rank must call it; the main one looks, and all get its answer: the path of
    `checkpoint-<steps>`, or None if there is nothing to resume.
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
        found, problem = find(path, _KEY, form=Form(files=("trainer_state.json",)))
        if found is not None:
            announce(f"Training resumes from {path}.")
            return str(path)
        aside = folder / SET_ASIDE / path.name
        shutil.rmtree(aside.parent, ignore_errors=True)
        aside.parent.mkdir(parents=True)
        os.replace(path, aside)
        reason = problem or "was not finished"
        announce(f"The checkpoint {path} cannot be used: it {reason}. It is set aside in {aside}.")
    return None


def kept_tensors(
    folder: Path, work: Callable[[], tuple[dict[str, Tensor], list[dict[str, Any]]]]
) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """Tensors that a killed run does not compute again, and the log of how they came.

    Every rank must call it. They are what `work` returned, in this process or in an earlier one,
    kept in a folder that belongs to these settings alone.
    """

    def keep(folder: Path) -> dict[str, Any]:
        tensors, record = work()
        if PartialState().is_main_process:
            made = {name: value.contiguous() for name, value in tensors.items()}
            save_file(made, folder / _TENSORS)
        return {"record": record}

    record = run_once(folder, _KEY, keep, Form({"record": [dict]}, (_TENSORS,)))["record"]
    return load_file(folder / _TENSORS), record
