"""What attacks share: how they are declared, what they work on, and how commands are started."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from killed_runs import die_at
from tiny_runs import SAMPLE, every_stage_options, sample_options
from training_processes import start

from stacked_emotion.hub_card import RunRecord
from stacked_emotion.hub_card.repository import gather
from stacked_emotion.trainer.tiny_encoders import make_tiny_encoders

TIMEOUT_SECONDS = 600.0
Verdicts = Iterator[str | None]
ATTACKS: list[Attack] = []


@dataclass(frozen=True)
class Attack:
    """Something that is done to the package again and again.

    Attributes:
        name: in the table.
        tries: in the whole campaign.
        small: in the small one, which the suite runs.
        minutes: about how long it takes; the longest begin first.
        run: called with the world and the number of tries; yields None for each that was survived,
            else what went wrong.
    """

    name: str
    tries: int
    small: int
    minutes: float
    run: Callable[[World, int], Verdicts]


def attack(name: str, tries: int, small: int, minutes: float) -> Callable[[Any], Any]:
    """Declare a function of a module in this folder as an attack; see `Attack`."""

    def declare(function: Any) -> Any:
        ATTACKS.append(Attack(name, tries, small, minutes, function))
        return function

    return declare


class CannotRun(Exception):
    """An attack that this machine does not allow, with the reason."""


@dataclass
class World:
    """Tiny encoders, finished work that nothing disturbed, and a folder for everything else.

    Attributes:
        root: shared by all attacks, for what none of them changes.
        own: the folder of one attack in it.
    """

    root: Path
    own: str = "own"
    chance: random.Random = field(default_factory=lambda: random.Random(0))

    def folder(self, name: str) -> Path:
        """A new, empty folder of this attack's own."""
        folder = self.root / self.own / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def shared(self, name: str, make: Callable[[Path], Any]) -> Path:
        """A folder that the first attack to ask for it makes, while others wait."""
        folder, done = self.root / name, self.root / f"{name}.done"
        with FileLock(self.root / f"{name}.lock"):
            if not done.exists():
                make(folder)
                done.touch()
        return folder

    @cached_property
    def encoders(self) -> dict[str, Path]:
        """Two tiny encoders by name."""

        def make(folder: Path) -> None:
            make_tiny_encoders(folder, [row["text"] for row in self.rows(1000)])

        return {path.name: path for path in sorted(self.shared("tiny", make).iterdir())[:2]}

    def train(self, output: Path, *more: str) -> list[str]:
        """A command that trains through every stage."""
        return ["train", *every_stage_options(self.encoders, output, *more)]

    def distill(self, output: Path, *more: str) -> list[str]:
        """A command that distills the undisturbed run."""
        return [
            "distill", *sample_options(60, 20), "--output_dir", str(output),
            "--model", str(self.trained / "model"),
            "--student", str(list(self.encoders.values())[1]),
            "--epochs", "1", "--learning_rate", "1e-3", "--seeds", "0", "--max_length", "32",
            "--teacher_dtype", "float32", "--augmented_copies", "1", "--save_steps", "3", *more,
        ]  # fmt: skip

    def predict(self, given: Path, output: Path, *more: str) -> list[str]:
        """A command that predicts a file in parts of 8 rows."""
        return [
            "predict", "--model", str(self.trained / "model"), "--input", str(given),
            "--output", str(output), "--part_rows", "8", "--dtype", "float32", *more,
        ]  # fmt: skip

    @cached_property
    def trained(self) -> Path:
        """A run that nothing disturbed."""
        return self._undisturbed(self.train)

    @cached_property
    def distilled(self) -> Path:
        """A distillation that nothing disturbed."""
        return self._undisturbed(self.distill)

    @cached_property
    def repository(self) -> Path:
        """What is published of the undisturbed run."""

        def make(folder: Path) -> None:
            gather(RunRecord.from_folder(self.trained), folder)

        return self.shared("repository", make)

    def _undisturbed(self, command: Callable[[Path], list[str]]) -> Path:
        def make(folder: Path) -> None:
            if problem := run(command(folder)).problem():
                raise RuntimeError(f"{command.__name__} fails without any attack: {problem}")

        return self.shared(f"whole_{command.__name__}", make)

    def rows(self, count: int = 60) -> list[dict[str, Any]]:
        """Rows to predict."""
        lines = (SAMPLE / "train.jsonl").read_text(encoding="utf-8").splitlines()[:count]
        return [{"id": n, "text": json.loads(line)["text"]} for n, line in enumerate(lines)]


@dataclass(frozen=True)
class Life:
    """One start of the command line.

    Attributes:
        code: its exit code, negative for a signal.
        said: what it wrote, both streams.
        seconds: how long it lived.
    """

    code: int
    said: str
    seconds: float

    def problem(self, expected: int = 0, words: str = "") -> str | None:
        """None if it ended as it should, without a traceback and with these words."""
        if self.code != expected or "Traceback" in self.said or words not in self.said:
            return f"exit {self.code} instead of {expected}: {self.said[-600:]}"
        return None


def begin(command: list[str]) -> subprocess.Popen[str]:
    """Start the command line in a new process."""
    return subprocess.Popen(
        [sys.executable, "-m", "stacked_emotion.cli", *command],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, text=True, start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def end(process: subprocess.Popen[str], kill_after: float | None = None) -> Life:
    """Wait for a process, or kill it by SIGKILL after so many seconds."""
    started = time.monotonic()
    try:
        said, _ = process.communicate(timeout=kill_after or TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
    return Life(process.returncode, said, time.monotonic() - started)


def run(command: list[str], kill_after: float | None = None) -> Life:
    """One life of the command line."""
    return end(begin(command), kill_after)


def live(command: list[str], folder: Path, moment: int = 0) -> Life:
    """One life of the command line in a fork of a process that has imported the package.

    It starts at once; nothing else is different.

    Args:
        command: the words.
        folder: of the file that its output goes to.
        moment: when it kills itself, see `die_at`; 0 for not at all.
    """
    log, started = folder / "said.txt", time.monotonic()
    log.unlink(missing_ok=True)
    process = start(_main, command, moment, log=log, OMP_NUM_THREADS="1")
    process.join(TIMEOUT_SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
    said = log.read_text(encoding="utf-8", errors="replace")
    return Life(process.exitcode, said, time.monotonic() - started)


def _main(command: list[str], moment: int) -> None:
    from stacked_emotion.cli import main

    if moment:
        die_at(moment)
    sys.exit(main(command))


def difference(one: Path, other: Path) -> str | None:
    """What differs in the weights and scores of two runs; None if they are equal bit for bit."""
    first, second = _contents(one), _contents(other)
    if names := sorted(set(first) ^ set(second)):
        return f"only one of the runs has {names[:3]}"
    names = [name for name in first if first[name] != second[name]]
    return f"the bytes of {names[:3]} differ" if names else None


def _contents(folder: Path) -> dict[str, bytes]:
    found = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*.safetensors"))
    }
    for path in folder.glob("predictions_*.npz"):
        with np.load(path) as saved:
            found |= {f"{path.name}/{name}": saved[name].tobytes() for name in saved.files}
    return found
