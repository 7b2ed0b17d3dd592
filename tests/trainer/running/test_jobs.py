"""Parts of a run in processes of their own: the same bits, and no process is left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from spawned_work import about_this_process, expect_refusal, fail, run_long, write_slowly
from tiny_runs import tiny_run_options
from training_processes import run_ranks, start, train

from stacked_emotion.common.errors import UserError
from stacked_emotion.trainer import parse_recipe, run_training
from stacked_emotion.trainer.running.jobs import Task, run_tasks

SECONDS = 300.0


@pytest.fixture
def one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def whole(tiny_encoder_folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one process with one thread."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    run_training(parse_recipe(tiny_run_options(tiny_encoder_folders, folder)))
    torch.set_num_threads(before)
    return folder


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")  # of a zombie, nothing is left but its exit code
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


def until(condition: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.02)
    raise TimeoutError(what)


def files_of(run: Path) -> dict[str, bytes]:
    """Weights, features and logits by their place."""
    return {
        str(path.relative_to(run)): path.read_bytes()
        for path in sorted(run.rglob("*"))
        if path.suffix in (".safetensors", ".bin")
    }


def test_tasks_run_in_children_with_one_thread_and_in_order(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    tasks = [
        Task("first", partial(write_slowly, one)),
        Task("second", partial(about_this_process, one, two), "It begins", after="first"),
        Task("third", partial(about_this_process, two, tmp_path / "three"), after="second"),
    ]
    found = run_tasks(tasks, 2, "Tests")
    assert found["first"] == "one"
    for name in ("second", "third"):
        assert found[name]["pid"] != os.getpid()
        assert found[name]["threads"] == 1
        assert found[name]["script"] is None
    said = capfd.readouterr().err
    assert "It begins." in said
    assert "second: a line of a child" in said
    assert run_tasks(tasks[:1], 1, "Tests") == {"first": "one"}


@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("user", UserError, "This cannot be trained: fix it."),
        pytest.param("other", RuntimeError, "TwoArguments: two words", marks=pytest.mark.slow),
        ("killed", UserError, "The process of bad was ended by signal 9"),
    ],
)
def test_an_error_in_a_child_ends_all(
    kind: str, error: type[Exception], message: str, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"
    tasks = [Task("long", partial(run_long, begun)), Task("bad", partial(fail, kind, begun))]
    with pytest.raises(error, match=message):
        run_tasks(tasks, 2, "Tests")
    assert not is_alive(int(begun.read_text()))


SCRIPT = """
from stacked_emotion.trainer import parse_recipe, run_training
run_training(parse_recipe({options!r}))
"""


@pytest.mark.slow
def test_two_jobs_make_the_bits_of_one(
    whole: Path, tiny_encoder_folders: dict[str, Path], tmp_path: Path, one_thread: None,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Called by a script without a `__main__` guard; then one part is lost, and made again."""
    options = tiny_run_options(tiny_encoder_folders, tmp_path / "run", "--jobs", "2")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(options=options))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stderr.count("Stage encoders: zeta, fold_1, 45 texts.") == 1
    expected = files_of(whole)
    assert len(expected) > 15
    assert files_of(tmp_path / "run") == expected

    shutil.rmtree(tmp_path / "run/encoders/alpha/fold_0")
    capsys.readouterr()
    run_training(parse_recipe(options))
    said = capsys.readouterr().err
    assert "alpha, fold_0, 45 texts" in said
    assert "fold_1" not in said
    assert files_of(tmp_path / "run") == expected


def begin_to_train(options: list[str], log: Path) -> tuple[Any, list[int]]:
    """A run whose two children have begun to train, and their process ids."""
    process = start(train, options, log=log, OMP_NUM_THREADS="1")
    until(lambda: log.exists() and log.read_text().count("Stage encoders: zeta") > 1, "the parts")
    found = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(process.pid)], capture_output=True, text=True
    )
    return process, [int(row.split()[0]) for row in found.stdout.splitlines() if "spawn" in row]


@pytest.mark.slow  # on a fast machine the run may end before Ctrl-C
@pytest.mark.skipif(shutil.which("ps") is None, reason="ps finds the children")
def test_a_killed_run_leaves_no_process_and_is_resumed(
    whole: Path, tiny_encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    options = tiny_run_options(tiny_encoder_folders, tmp_path / "run", "--jobs", "2")
    process, children = begin_to_train(options, tmp_path / "killed.txt")
    assert len(children) == 2
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    until(lambda: not any(map(is_alive, children)), "the end of the children")

    process, children = begin_to_train(options, tmp_path / "interrupted.txt")
    for pid in (process.pid, *children):  # as a terminal does
        os.kill(pid, signal.SIGINT)
    process.join(SECONDS)
    said = (tmp_path / "interrupted.txt").read_text()
    assert process.exitcode == 130, said[-3000:]
    assert "Interrupted. Run the same command again to resume." in said
    assert "Traceback" not in said
    assert not any(map(is_alive, children))

    process = start(train, options, log=tmp_path / "last.txt", OMP_NUM_THREADS="1")
    process.join(SECONDS)
    assert process.exitcode == 0, (tmp_path / "last.txt").read_text()[-3000:]
    assert files_of(tmp_path / "run") == files_of(whole)


def test_several_launched_processes_refuse_it(
    tiny_encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    options = tiny_run_options(tiny_encoder_folders, tmp_path / "run", "--jobs", "2")
    run_ranks(2, expect_refusal, options, folder=tmp_path)
    with pytest.raises(UserError, match="jobs is 0; it must be at least 1"):
        parse_recipe([*options, "--jobs", "0"])
