"""Progress messages of a run."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import PartialState
from transformers import TrainerCallback

from ...common.errors import spelled

_SECONDS = 0.5
_listeners: list[Callable[[float], None]] = []


def announce(message: str) -> None:
    """Print a message to stderr, in the main process only."""
    if PartialState().is_main_process:
        print(spelled(message), file=sys.stderr, flush=True)


def announce_device(half: bool) -> None:
    """Say which backend, on which device and in which numbers, is going to train."""
    state = PartialState()
    processes = f", {state.num_processes} processes" if state.num_processes > 1 else ""
    device = state.device.type if state.device.type == "cpu" else state.device  # not "cpu:0"
    numbers = "bf16 mixed precision" if half else "float32"
    announce(f"Training with torch {torch.__version__} on {device}{processes}, {numbers}.")


class Remaining:
    """How far a number of like parts is, and how long the rest may take.

    Args:
        sizes: the size of each part, such as its texts.
    """

    def __init__(self, sizes: Sequence[float]) -> None:
        self.sizes = list(sizes)
        self.done, self.measured, self.seconds = 0, 0.0, 0.0

    def __str__(self) -> str:
        return f"{self.done + 1} of {len(self.sizes)}{self.time_left}"

    @property
    def time_left(self) -> str:
        """How long the rest takes, such as `; about 3 min left`; empty where nothing is known."""
        if not self.measured:
            return ""
        left = sum(self.sizes[self.done :]) * self.seconds / self.measured
        return f"; {duration(left)} left"

    @contextmanager
    def part(self, place: int) -> Iterator[None]:
        """Do a part, and note how long it takes; those before it are done or were found."""
        self.done, begin = place, time.monotonic()
        yield
        self.advance(time.monotonic() - begin, again=False)

    def advance(self, seconds: float, again: bool) -> None:
        """Note the end of a part.

        Args:
            seconds: how long it took.
            again: it was found finished, so that it says nothing of the others.
        """
        if not again:
            self.measured += self.sizes[self.done]
            self.seconds += seconds
        self.done += 1


def duration(seconds: float) -> str:
    """A time span for people, such as `about 1 h 20 min`."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    hours, rest = divmod(minutes, 60)
    return f"about {hours} h {rest:02} min" if hours else f"about {minutes} min"


def listen_to_progress(listener: Callable[[float], None]) -> None:
    """Call a function twice a second with the share of the work that is done.

    Progress bars and loss lines are then not shown: the listener shows something else.
    """
    last = 0.0

    def now_and_then(share: float) -> None:
        nonlocal last
        if time.monotonic() - last > _SECONDS:
            last = time.monotonic()
            listener(share)

    _listeners[:] = [now_and_then]


def has_listener() -> bool:
    """Whether someone else shows the progress of this process."""
    return bool(_listeners)


def report_progress(share: float) -> None:
    """Tell the listener, if there is one, how much of the work is done, from 0 to 1."""
    for listener in _listeners:
        listener(share)


class ProgressReport(TrainerCallback):
    """Reports the steps of a `Trainer`."""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Report the share of the steps."""
        report_progress(state.global_step / max(1, state.max_steps))
