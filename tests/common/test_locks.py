"""One process at a time: a second one says who works, a dead one holds nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from stacked_emotion.common.errors import UserError
from stacked_emotion.common.locks import locked, output_folder

HOLD = """
import sys
from pathlib import Path
from stacked_emotion.common.locks import output_folder
with output_folder(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(folder: Path, *more: str) -> subprocess.Popen[str]:
    """A process that works in the folder until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), *more],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_says_who_works_there(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "run"
    process = hold(folder, "--hub_token", "secret1", "hf_secret2")
    for _ in range(2):
        with pytest.raises(UserError) as caught, output_folder(folder):
            pass
        said = str(caught.value)
        assert f"{folder} is in use by process {process.pid} on {socket.gethostname()}" in said
        assert "since 20" in said
        assert "--output_dir" in said
        assert "secret" not in said
    process.communicate(timeout=60)
    with output_folder(folder):
        pass
    assert list(folder.iterdir()) == []


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    process = hold(tmp_path)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=60)
    assert json.loads((tmp_path / ".lock").read_text())["pid"] == process.pid
    with output_folder(tmp_path):
        assert json.loads((tmp_path / ".lock").read_text())["pid"] == os.getpid()
    assert not (tmp_path / ".lock").exists()


def test_one_process_does_not_hold_a_lock_twice(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    with locked(path, tmp_path), pytest.raises(UserError, match=f"process {os.getpid()} "):
        locked(path, tmp_path).__enter__()
    with pytest.raises(ZeroDivisionError), locked(path, tmp_path):
        raise ZeroDivisionError
    with locked(path, tmp_path):
        pass


def test_what_a_lock_file_says_may_be_damaged(tmp_path: Path) -> None:
    process = hold(tmp_path)
    for content in ("", "[1]", "{", '{"pid": [1], "command": "' + "x" * 999 + '"}', "[" * 99_999):
        (tmp_path / ".lock").write_text(content)
        with pytest.raises(UserError, match="is in use by") as caught, output_folder(tmp_path):
            pass
        assert len(str(caught.value)) < 900
    process.communicate(timeout=60)
