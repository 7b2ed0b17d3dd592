"""`stacked-emotion serve`: what its options refuse, and its processes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tiny_models import LABELS

from stacked_emotion.cli import main
from stacked_emotion.common.errors import UserError
from stacked_emotion.inference import StackedEmotionPredictor
from stacked_emotion.inference.serving.command import TOKEN, is_loopback, read_token

SECRET = "0123456789abcdef-secret"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--host", "0.0.0.0"], f"token: set the variable {TOKEN}, or give --token_file"),
        (["--host", "::"], "need a token"),
        (["--host", ""], "need a token"),
        (["--host", "no.such.host.invalid"], "--host no.such.host.invalid"),
        (["--token_file", "nowhere"], "nowhere cannot be read: No such file"),
        (["--workers", "0"], "--workers is 0"),
        (["--queue", "4"], "--queue 4 is less than the 8 texts"),
        (["--port", "http"], "http"),
        (["--port", "70000"], "--port is 70000"),
        (["--dtype", "float8"], "float8"),
        (["--dtype", "int8"], "has no ONNX export. Run: stacked-emotion export {} --quantize int8"),
        (["--backend", "openvino"], "has no ONNX export. Run: stacked-emotion export {}"),
        (["--backend", "onnx", "--dtype", "bfloat16"], "'bfloat16' is not one of onnx's"),
    ],
)
def test_what_is_refused(
    words: list[str], told: str, tiny_stack_folder: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.delenv(TOKEN, raising=False)
    assert main(["serve", str(tiny_stack_folder), *words]) == 2
    said = capsys.readouterr().err
    assert told.format(tiny_stack_folder) in said
    assert "listening" not in said


def test_a_missing_model_and_a_used_port(
    tiny_stack_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", str(tmp_path / "nowhere")]) == 2
    assert "no such folder" in capsys.readouterr().err
    with socket.create_server(("127.0.0.1", 0)) as used:
        port = str(used.getsockname()[1])
        assert main(["serve", str(tiny_stack_folder), "--port", port]) == 2
    assert f"127.0.0.1:{port}: Address already in use" in capsys.readouterr().err


def test_the_token_is_read_and_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN, raising=False)
    assert read_token(None) is None
    file = tmp_path / "token"
    for bad in ("", "short", "a b" * 10, "é" * 20, "a\nb" * 10):
        file.write_text(bad)
        monkeypatch.setenv(TOKEN, bad)
        for source in (None, str(file)):
            with pytest.raises(UserError, match="at least 16") as caught:
                read_token(source)
            assert not bad or bad not in str(caught.value)
    file.write_text(f"{SECRET}\n")
    assert read_token(str(file)) == SECRET
    monkeypatch.setenv(TOKEN, SECRET)
    assert read_token(None) == SECRET


def test_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.8.8.8", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "")))


@contextmanager
def process(model: Path, *words: str, **variables: str) -> Iterator[Any]:
    """A real server: its process, and its address once it listens."""
    command = [sys.executable, "-m", "stacked_emotion.cli", "serve", str(model), "--port", "0"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    with subprocess.Popen(
        [*command, *words], stderr=subprocess.PIPE, text=True, env=environment
    ) as started:
        assert started.stderr is not None
        try:
            line = json.loads(started.stderr.readline())
            yield started, line["address"]
        finally:
            started.kill()


def wait_until_warm(address: str, workers: int = 1) -> None:
    ready = f"stacked_emotion_workers_ready {float(workers)}"
    while ready not in httpx.get(f"{address}/metrics", timeout=60).text:
        time.sleep(0.1)


def post(address: str, body: Any) -> httpx.Response:
    return httpx.post(address, json=body, timeout=120)


@pytest.mark.slow
def test_a_process_answers_a_run_and_stops_gracefully(
    run_folder: Path,
) -> None:
    """SIGTERM arrives while requests are computed: all are answered, and it exits with 0."""
    with process(run_folder) as (started, address), ThreadPoolExecutor(32) as pool:
        wait_until_warm(address)
        bodies = [{"inputs": [f"text {n} {m} " * 20 for m in range(8)]} for n in range(32)]
        answers = [pool.submit(post, address, body) for body in bodies]
        waiting = 0.0
        while waiting < 100:
            page = httpx.get(f"{address}/metrics").text
            waiting = float(re.findall(r"^stacked_emotion_texts_waiting (\S+)", page, re.M)[0])
        started.send_signal(signal.SIGTERM)
        statuses = [one.result().status_code for one in answers]
        assert statuses == [200] * 32
        assert started.wait(60) == 0
        log = [json.loads(line) for line in started.stderr.read().splitlines() if line[:1] == "{"]
    assert sum(line["event"] == "request" for line in log) == 32
    assert "text 3" not in json.dumps(log)


@pytest.mark.slow
def test_workers_share_the_weights_and_are_replaced(
    tiny_stack_folder: Path,
) -> None:
    predictor = StackedEmotionPredictor.from_pretrained(
        tiny_stack_folder, dtype="float32", backend="torch"
    )
    expected = dict(zip(LABELS, predictor.predict_proba(["فرحان"])[0].tolist(), strict=True))

    def right(answer: httpx.Response) -> bool:
        found = {one["label"]: one["score"] for one in answer.json()[0]}
        return found == pytest.approx(expected, abs=1e-5)

    with process(tiny_stack_folder, "--workers", "2") as (started, address):
        wait_until_warm(address, 2)
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: post(address, {"inputs": "فرحان"}), range(40)))
        assert all(map(right, answers))
        page = httpx.get(f"{address}/metrics").text
        assert 'stacked_emotion_requests_total{route="/",status="200"} 40.0' in page
        workers = [pid for pid in _children(started.pid) if _mapped(pid) is not None]
        assert len(workers) == 2
        assert all(_mapped(pid) == 0 for pid in workers), "no worker has a copy of its own"
        os.kill(workers[0], signal.SIGKILL)
        wait_until_warm(address, 1)
        wait_until_warm(address, 2)
        assert right(post(address, {"inputs": "فرحان"}))
        started.send_signal(signal.SIGTERM)
        assert started.wait(60) == 0
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_model_that_does_not_load_ends_the_command(
    workers: str, tiny_stack_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text((tiny_stack_folder / "config.json").read_text())
    with process(tmp_path, "--workers", workers) as (started, _):
        _, log = started.communicate(timeout=120)
        assert started.returncode == 2
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert any(f"{tmp_path} has no tokenizer_config.json" in event for event in events)
    assert "Traceback" not in log


def _children(pid: int) -> list[int]:
    words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(word) for word in words]


def _mapped(pid: int) -> int | None:
    """KB of the weights' mapping that a process has written to; None if it has no such mapping."""
    found = None
    for part in re.split(r"(?m)^(?=[0-9a-f]+-[0-9a-f]+ )", Path(f"/proc/{pid}/smaps").read_text()):
        if "model.safetensors" in part.partition("\n")[0]:
            found = (found or 0) + int(re.findall(r"Private_Dirty:\s+(\d+)", part)[0])
    return found
