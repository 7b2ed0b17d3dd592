"""The application of Ray Serve, started by `serve run` with the recipe's file, on a local Ray."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import yaml
from tiny_models import LABELS, ROOT

from stacked_emotion.inference import StackedEmotionPredictor

TEXTS = [f"فرحان جدا {number}" for number in range(300)]
# `serve run` on a Ray without its dashboard, which takes minutes of CPU to start
SERVE = """
import ray
from ray.serve.scripts import cli

ray.init(num_cpus=6, include_dashboard=False, namespace="serve")  # 2 replicas, Ray's own actors
cli()
"""
REPLICA = b"ServeReplica:emotions:EmotionService"


def replicas() -> list[int]:
    """The processes of the replicas."""
    found = []
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if REPLICA in line.read_bytes():
                found.append(int(line.parent.name))
        except OSError:  # it has ended
            continue
    return found


def with_limits_of_zero(model: Path, folder: Path) -> Path:
    """A copy of a model whose adaptive stacking runs all encoders on every text."""
    shutil.copytree(model, folder)
    config = json.loads((folder / "config.json").read_text())
    stages = [
        {"limit": 0.0, "weights": [[1.0] * len(LABELS)] * count, "bias": [0.0] * len(LABELS)}
        for count in (1, 2)
    ]
    config["adaptive"] = {"order": sorted(config["encoder_names"]), "stages": stages}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def address(tiny_stack_folder: Path, tmp_path: Path) -> Iterator[str]:
    pytest.importorskip("ray.serve", reason="needs pip install 'stacked_emotion[ray]'")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = yaml.safe_load((ROOT / "recipes/serving/ray.yaml").read_text())
    config["http_options"]["port"] = port
    model = with_limits_of_zero(tiny_stack_folder, tmp_path / "model")
    config["applications"][0]["args"] |= {"model": str(model), "adaptive": True}
    (tmp_path / "ray.yaml").write_text(yaml.safe_dump(config))
    environment = {
        **os.environ, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0", "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "300",
        "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "60",
    }  # fmt: skip
    command = [sys.executable, "-c", SERVE, "run", str(tmp_path / "ray.yaml")]
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(command, stdout=log, stderr=log, env=environment) as process,
    ):
        try:
            wait_for(f"http://127.0.0.1:{port}", tmp_path / "log", process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_for(address: str, log: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 400
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.post(address, json={"inputs": "a"}, timeout=60).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(1)
    pytest.fail(log.read_text()[-4000:])


@pytest.mark.slow
def test_two_replicas_one_of_them_killed_under_load(address: str, tiny_stack_folder: Path) -> None:
    predictor = StackedEmotionPredictor.from_pretrained(tiny_stack_folder, dtype="float32")
    expected = predictor.predict_proba(TEXTS).tolist()
    first = replicas()
    assert len(first) == 2
    bad = httpx.post(address, json={"inputs": 3})
    assert (bad.status_code, bad.json()["error"][:16]) == (400, '"inputs" must be')
    assert httpx.post(address, json={"inputs": ["a"] * 9}).status_code == 413
    retried = 0

    def ask(text: str) -> dict[str, float]:
        nonlocal retried
        while True:
            try:
                answer = httpx.post(address, json={"inputs": text}, timeout=60)
                if answer.status_code == 200:
                    assert answer.headers["X-Encoders-Run"] == "3"
                    return {one["label"]: one["score"] for one in answer.json()[0]}
                assert answer.status_code in (500, 503), answer.text
            except httpx.TransportError:
                pass
            retried += 1
            time.sleep(0.2)

    with ThreadPoolExecutor(16) as pool:
        answers = [pool.submit(ask, text) for text in TEXTS]
        while sum(one.done() for one in answers) < 50:
            time.sleep(0.01)
        os.kill(first[0], signal.SIGKILL)
        found = [one.result() for one in answers]
    for answer, row in zip(found, expected, strict=True):
        assert answer == pytest.approx(dict(zip(LABELS, row, strict=True)), abs=1e-5)
    assert retried <= 64, "only what was in the killed replica"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and len(set(replicas()) - set(first[:1])) < 2:
        time.sleep(1)
    assert len(replicas()) == 2
