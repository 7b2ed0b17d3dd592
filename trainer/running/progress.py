"""Progress messages of a run."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from accelerate import PartialState
from transformers import PrinterCallback, ProgressCallback, Trainer, TrainerCallback

from ...common.errors import counted, spelled

if TYPE_CHECKING:
    from ..training_sections import Optimization

_SECONDS = 0.5
_LINE_SECONDS = 30.0
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


def show_loss(trainer: Trainer, settings: Optimization, logging_steps: int | None) -> None:
    """Let a trainer print a line every half minute and one at the end, instead of every log.

    Every log still reaches the history and the trackers. A listener gets the share of the steps
    instead. A notebook keeps its table, and whoever sets how often to log gets the trainer's own
    lines.

    Args:
        trainer: before it trains.
        settings: of its stage.
        logging_steps: as the user gave it, None for not at all.
    """
    own = ("logging_", "log_level", "disable_tqdm")
    if has_listener():
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(ProgressReport)
        return
    asked = logging_steps or any(key.startswith(own) for key in settings.training_arguments)
    if not asked and (
        trainer.pop_callback(ProgressCallback) or trainer.pop_callback(PrinterCallback)
    ):
        trainer.add_callback(LossLines)


class LossLines(TrainerCallback):
    """Prints the loss now and then: how it began, how far it is, and how it ends."""

    def __init__(self) -> None:
        self.first: dict[str, float] = {}
        self.latest: dict[str, float] = {}
        self.begin = self.printed = time.monotonic()

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        """Keep the losses of a log; print them if the last line is long ago."""
        losses = {name: value for name, value in (logs or {}).items() if name.startswith("loss")}
        if not losses:
            return
        self.first, self.latest = self.first or losses, losses
        if time.monotonic() - self.printed > _LINE_SECONDS:
            self.printed = time.monotonic()
            announce(f"  epoch {state.epoch:.1f} of {args.num_train_epochs:g}: {self._loss()}")

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Print the last losses, beside the first one."""
        if self.latest:
            took = time.monotonic() - self.begin
            announce(
                f"  {counted(state.global_step, 'step')} in {took:.0f} s: {self._loss()}, at first "
                f"{self.first['loss']:.4f}"
            )

    def _loss(self) -> str:
        parts = {k.removeprefix("loss_"): v for k, v in self.latest.items() if k != "loss"}
        more = ", ".join(f"{name} {value:.4f}" for name, value in parts.items())
        return f"loss {self.latest['loss']:.4f}{f' ({more})' if len(parts) > 1 else ''}"


class ProgressReport(TrainerCallback):
    """Reports the steps of a `Trainer`."""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Report the share of the steps."""
        report_progress(state.global_step / max(1, state.max_steps))
