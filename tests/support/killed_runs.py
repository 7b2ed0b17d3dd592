"""Runs that kill themselves, by the signal that no process can catch, at a chosen moment."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from typing import Any

from stacked_emotion.inference import predict_file


def die_at(moment: int) -> None:
    """Let this process die at the moment'th change of a file's name or removal of a file.

    Odd moments are just before such a step, even ones just after it.
    """
    steps = 0

    def dying(step: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            result = step(*given, **named)
            steps += 1
            if steps == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return call

    for name in ("replace", "rename", "unlink", "rmdir"):
        setattr(os, name, dying(getattr(os, name)))


def predict_until_killed(moment: int, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
    """Predict a file, and die at a moment; see `die_at`."""
    die_at(moment)
    predict_file(*arguments, **options)


def exit_code(moment: int, arguments: tuple[Any, ...], options: dict[str, Any]) -> int | None:
    """Exit code of a process of its own; -9 if it was killed, 0 if the moment never came."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["stacked_emotion.inference.bulk.job", "stacked_emotion.inference.predictor"]
    )  # for all forks
    process = context.Process(target=predict_until_killed, args=(moment, arguments, options))
    process.start()
    process.join(120)
    return process.exitcode
