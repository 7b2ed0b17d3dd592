"""Independent pieces of work: one after the other, or several at a time.

With `jobs` above 1 each piece runs in a child process that computes with one thread. The children
are spawned without the caller's script, so a script needs no `__main__` guard. They ignore Ctrl-C,
which the parent answers by ending them, and they end themselves if the parent dies in any way.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.pool import ExceptionWithTraceback  # type: ignore[attr-defined]
from typing import Any

import torch
from tqdm.auto import tqdm

from ...common.errors import UserError
from ...inference.auto_classes import register_auto_classes
from .processes import prepare_process
from .progress import Remaining, announce, listen_to_progress

_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
) | {"TOKENIZERS_PARALLELISM": "false"}
_PATIENCE = 10.0
_BAR = "{desc}: {percentage:3.0f} % [{elapsed}<{remaining}]{postfix}"


@dataclass(frozen=True)
class Task:
    """A piece of work.

    Attributes:
        name: of this piece alone.
        work: does it. With several jobs, it and what it returns are pickled.
        message: announced when the work begins, without a period; none if it is empty.
        size: how long the work takes, in any unit; for the display.
        after: name of the task that has to be finished before.
    """

    name: str
    work: Callable[[], Any]
    message: str = ""
    size: float = 1.0
    after: str | None = None


def run_tasks(tasks: Sequence[Task], jobs: int, title: str) -> dict[str, Any]:
    """Run tasks, at most `jobs` at a time.

    Args:
        tasks: one stands behind the task that it needs.
        jobs: number of child processes; 1 runs everything in this process.
        title: of the display.

    Returns:
        What each task returned, by its name.

    Raises:
        UserError: a child process was killed.
        Exception: what a task raised. The other children are ended; what they have finished and
            their checkpoints stay.
    """
    answers: dict[str, Any] = {}
    if jobs == 1 or not tasks:
        left = Remaining([task.size for task in tasks])
        for task in tasks:
            if task.message:
                announce(f"{task.message} ({left}).")
            begin = time.monotonic()
            answers[task.name] = task.work()
            left.advance(time.monotonic() - begin, again=False)
        return answers
    with ExitStack() as stack:
        children = [_Child(stack) for _ in range(min(jobs, len(tasks)))]
        bar = stack.enter_context(
            tqdm(total=sum(task.size for task in tasks), desc=title, smoothing=0.0, leave=False,
                 bar_format=_BAR, disable=None)
        )  # fmt: skip
        waiting = list(tasks)
        while len(answers) < len(tasks):
            for child in (child for child in children if child.is_free):
                chosen = next((t for t in waiting if t.after is None or t.after in answers), None)
                if chosen is not None:
                    waiting.remove(chosen)
                    if chosen.message:
                        bar.write(f"{chosen.message}.", file=sys.stderr)
                    child.give(chosen)
            ready = wait([child.connection for child in children])
            for child in children:
                if child.connection in ready:
                    _receive(child, answers, bar)
            done = sum(task.size for task in tasks if task.name in answers)
            busy = [(child.task, child.share) for child in children if child.task]
            bar.n = done + sum(running.size * share for running, share in busy)
            bar.set_postfix_str(", ".join(f"{running.name} {share:.0%}" for running, share in busy))
    return answers


def _receive(child: _Child, answers: dict[str, Any], bar: Any) -> None:
    """Take one message of a child."""
    kind, value = child.receive()
    if kind == "failed":
        raise value
    if kind == "line":
        name = child.task.name if child.task else "a new process"
        bar.write(f"{name}: {value}", file=sys.stderr)
    elif kind == "share":
        child.share = value
    else:
        if child.task is not None:
            answers[child.task.name] = value
        child.task, child.is_free = None, True


class _Child:
    """A child process, as its parent sees it; it ends with the stack."""

    def __init__(self, stack: ExitStack) -> None:
        self.task: Task | None = None
        self.share = 0.0
        self.is_free = False  # it first has to import what it needs
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_live, args=(theirs,))
        with _spawning():
            self.process.start()
        theirs.close()
        stack.callback(self.end)

    def give(self, task: Task) -> None:
        self.task, self.share, self.is_free = task, 0.0, False
        with suppress(BrokenPipeError):  # `receive` says how it ended
            self.connection.send(task.work)

    def receive(self) -> tuple[str, Any]:
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            self.process.join(_PATIENCE)
        code = self.process.exitcode or 0
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        raise UserError(
            f"The process of {self.task.name if self.task else 'a job'} {how}. It may have run out "
            "of memory: run the same command again to resume, with fewer --jobs."
        )

    def end(self) -> None:
        self.connection.close()  # a free one ends by this
        if not self.is_free:
            self.process.terminate()
        self.process.join(_PATIENCE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


@contextmanager
def _spawning() -> Iterator[None]:
    """What a child has from its birth: one thread, no Ctrl-C, and not the caller's script.

    A spawned process would run the caller's script again, which fails without a `__main__` guard.
    """
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    main, main_thread = sys.modules["__main__"], threading.main_thread()
    handler: Any = None
    os.environ.update(_ONE_THREAD)
    sys.modules["__main__"] = types.ModuleType("__main__")
    if threading.current_thread() is main_thread:
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
        sys.modules["__main__"] = main
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _live(connection: Connection) -> None:
    """The life of a child: do what it is given, and send answers, lines and progress."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    lock = threading.Lock()

    def send(kind: str, value: Any = None) -> None:
        with lock:
            connection.send((kind, value))

    sys.stdout = sys.stderr = _Lines(lambda line: send("line", line))
    torch.set_num_threads(1)
    prepare_process()
    register_auto_classes()
    listen_to_progress(lambda share: send("share", share))
    send("free")
    while True:
        try:
            work = connection.recv()
        except EOFError:
            return
        try:
            send("done", work())
        except BaseException as error:
            send("failed", _portable(error))


def _portable(error: BaseException) -> Any:
    """The error with its traceback, as something that can be pickled."""
    try:
        found = ExceptionWithTraceback(error, error.__traceback__)
        pickle.loads(pickle.dumps(found))
    except Exception:  # of classes with arguments of their own
        return RuntimeError("".join(traceback.format_exception(error)))
    return found


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


class _Lines:
    """A text stream that hands on whole lines."""

    encoding = "utf-8"

    def __init__(self, hand_on: Callable[[str], None]) -> None:
        self._hand_on = hand_on
        self._rest = ""

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if line.strip():
                self._hand_on(line.rstrip())
        return len(text)

    def flush(self) -> None:
        pass

    def isatty(self) -> bool:
        return False
