"""What child processes do in the tests of `run_tasks`, which import it from here."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from stacked_emotion.trainer import UserError, parse_recipe, run_training


class TwoArguments(Exception):
    """An error that cannot be unpickled."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} {other}")


def about_this_process(needed: Path, written: Path) -> dict[str, Any]:
    """What holds in a child, after another task has written a file."""
    print("a line of a child")
    assert needed.exists()
    written.write_text("")
    return {
        "pid": os.getpid(),
        "threads": torch.get_num_threads(),
        "script": getattr(sys.modules["__main__"], "__file__", None),
    }


def write_slowly(written: Path) -> str:
    time.sleep(0.5)
    written.write_text("")
    return written.name


def fail(kind: str, begun: Path) -> None:
    """Fail as soon as another task has begun."""
    while not begun.exists():
        time.sleep(0.02)
    if kind == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "user":
        raise UserError("This cannot be trained: fix it.")
    raise TwoArguments("two", "words")


def run_long(begun: Path) -> None:
    begun.write_text(str(os.getpid()))
    time.sleep(600)


def expect_refusal(arguments: list[str]) -> None:
    """What each rank of a launch does."""
    with pytest.raises(UserError, match="--jobs 2 is for one process, but 2 were launched"):
        run_training(parse_recipe(arguments))
