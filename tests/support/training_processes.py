"""Processes that train: several ranks over gloo, and lives that end by SIGKILL.

They are forked from a server that has imported the package already, so that each starts at once.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

CONTEXT: Any = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["stacked_emotion.trainer.train", "peft"])


def start(function: Callable[..., None], *arguments: Any, log: Path, **environment: str) -> Any:
    """Start a function of an importable module in its own process; its output goes to `log`."""
    process = CONTEXT.Process(target=_live, args=(function, arguments, str(log), environment))
    process.start()
    return process


def run_ranks(count: int, function: Callable[..., None], *arguments: Any, folder: Path) -> None:
    """Run a function in `count` ranks over gloo and wait; one that fails ends the test."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    shared |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "OMP_NUM_THREADS": "1"}
    logs = [folder / f"rank_{rank}.log" for rank in range(count)]
    processes = [
        start(function, *arguments, log=log, RANK=str(rank), LOCAL_RANK=str(rank), **shared)
        for rank, log in enumerate(logs)
    ]
    for process in processes:
        process.join(timeout=300)
    for process in processes:
        if process.is_alive():
            process.kill()
    failed = [log.read_text()[-3000:] for log, p in zip(logs, processes, strict=True) if p.exitcode]
    assert not failed, "\n\n".join(failed)


def kill_after(seconds: float, root: Path) -> None:
    """End this process by SIGKILL so long after the folder `root` appears."""
    import threading
    import time

    def wait() -> None:
        while not root.exists():
            time.sleep(0.01)
        time.sleep(seconds)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, daemon=True).start()


def kill_at_file_event(number: int, root: Path) -> None:
    """End this process by SIGKILL at its so-manieth opening, renaming or removal below `root`."""
    place, seen = str(root), 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event not in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"):
            return
        if not str(arguments[0]).startswith(place):
            return
        seen += 1
        if seen >= number:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def kill_in_the_middle_of_saving(number: int) -> None:
    """End this process by SIGKILL when half of its so-manieth `torch.save` is written."""
    import torch

    original, calls = torch.save, 0

    def half(value: Any, path: Any, *arguments: Any, **options: Any) -> None:
        nonlocal calls
        original(value, path, *arguments, **options)
        calls += 1
        if calls == number:
            os.truncate(path, os.path.getsize(path) // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    torch.save = half


def train(arguments: list[str], killer: Callable[..., None] | None = None, *more: Any) -> None:
    """What `accelerate launch -m stacked_emotion.trainer.train` runs, with a killer lurking."""
    from stacked_emotion.trainer.train import main

    if killer is not None:
        killer(*more)
    sys.exit(main(arguments))


def ablate(arguments: list[str]) -> None:
    """What `accelerate launch -m stacked_emotion.trainer.ablation` runs."""
    from stacked_emotion.trainer.ablation import main

    sys.exit(main(["demo", *arguments]))


def _live(
    function: Callable[..., None], arguments: tuple[Any, ...], log: str, environment: dict[str, str]
) -> None:
    os.environ.update(environment)
    stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    sys.stdout = open(1, "w", closefd=False, buffering=1)  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False, buffering=1)  # noqa: SIM115
    function(*arguments)
