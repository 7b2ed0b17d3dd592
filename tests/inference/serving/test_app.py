"""The server on a real socket: its routes, what it refuses, its queue, its stop."""

from __future__ import annotations

import json
import logging
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from served import Running, mixed_texts, serving
from tiny_models import LABELS

from stacked_emotion.common.numerics import sigmoid
from stacked_emotion.inference import Limits, StackedEmotionPredictor
from stacked_emotion.inference.serving import app
from stacked_emotion.inference.serving.app import ServiceSettings
from stacked_emotion.inference.serving.client import predict
from stacked_emotion.inference.serving.logs import JsonLines
from stacked_emotion.inference.serving.predictor_handler import PredictorHandler

FLOAT32 = {"dtype": "float32", "backend": "torch"}
TOKEN = "a-token-of-the-test-suite"


@pytest.fixture(scope="module")
def predictor(tiny_stack_folder: Path) -> StackedEmotionPredictor:
    return StackedEmotionPredictor.from_pretrained(tiny_stack_folder, **FLOAT32)


@pytest.fixture(scope="module")
def server(tiny_stack_folder: Path) -> Iterator[Running]:
    limits = Limits(texts=100, characters=60_000, size=10**6)
    with serving(ServiceSettings(str(tiny_stack_folder), FLOAT32, limits, queue=512)) as running:
        yield running


class Held:
    """Loads a handler over a predictor that computes only while the door is open."""

    def __init__(self, predictor: StackedEmotionPredictor) -> None:
        self.predictor, self.door, self.busy = predictor, threading.Event(), threading.Event()
        self.batches: list[list[str]] = []

    def __call__(self, settings: ServiceSettings, observe: Any) -> PredictorHandler:
        held = self

        class Handler(PredictorHandler):
            def _rows(self, texts: list[str], options: Any) -> Any:
                held.batches.append(texts)
                held.busy.set()
                assert held.door.wait(60)
                yield from super()._rows(texts, options)

        return Handler(self.predictor, settings.limits, observe)


@pytest.fixture
def held(predictor: StackedEmotionPredictor) -> Iterator[Held]:
    found = Held(predictor)
    yield found
    found.door.set()


def settings(**options: Any) -> ServiceSettings:
    return ServiceSettings("user/name", {}, **options)


def scores_of(row: list[dict[str, Any]]) -> dict[str, float]:
    return {one["label"]: one["score"] for one in row}


def serial(predictor: StackedEmotionPredictor, texts: list[str]) -> list[dict[str, float]]:
    rows = [predictor.predict_proba([text])[0].tolist() for text in texts]
    return [dict(zip(LABELS, row, strict=True)) for row in rows]


def test_the_inference_client_and_the_small_client(
    server: Running, predictor: StackedEmotionPredictor
) -> None:
    (expected,) = serial(predictor, ["فرحان جدا 😍"])
    answer = InferenceClient(model=server.address).text_classification("فرحان جدا 😍")
    assert {one.label: one.score for one in answer} == pytest.approx(expected, abs=1e-5)
    with pytest.raises(HfHubHTTPError, match="softmax"):
        InferenceClient(model=server.address).text_classification("a", function_to_apply="softmax")
    found = predict(server.address, ["فرحان جدا 😍", "a"])
    assert found[0] == pytest.approx(expected, abs=1e-5)
    assert list(found[0].values()) == sorted(found[0].values(), reverse=True)


def test_answers_equal_serial_ones_whatever_shares_the_batch(
    server: Running, predictor: StackedEmotionPredictor
) -> None:
    texts = mixed_texts()
    answers, runs = server.ask_together(texts)
    for row, expected in zip(answers, serial(predictor, texts), strict=True):
        assert scores_of(row) == pytest.approx(expected, abs=1e-5)
    assert not any(runs), "without adaptive stacking nothing is said of encoders"


def test_explanations_and_parameters(server: Running) -> None:
    body = {"inputs": "فرحان جدا", "parameters": {"explain": True, "top_k": 1}}
    ((best,),) = server.post(body).json()
    assert [word["word"] for word in best["words"]] == ["فرحان", "جدا"]
    body = {"inputs": "فرحان جدا", "parameters": {"function_to_apply": "none"}}
    logits = scores_of(server.post(body).json()[0])
    plain = scores_of(server.post({"inputs": "فرحان جدا"}).json()[0])
    assert {n: float(sigmoid(np.float64(v))) for n, v in logits.items()} == pytest.approx(plain)


@pytest.mark.parametrize(
    ("route", "body", "status", "told"),
    [
        ("/", b"{", 400, "not valid JSON"),
        ("/", b"\xff\xfe", 400, "not valid JSON"),
        ("/", b"[" * 100_000, 400, "not valid JSON"),
        ("/", b"3", 400, '"inputs"'),
        ("/", b'{"inputs": 3}', 400, '"inputs" must be'),
        ("/", b'{"inputs": null}', 400, '"inputs" must be'),
        ("/", b'{"inputs": {"text": "a"}}', 400, '"inputs" must be'),
        ("/", b'{"inputs": []}', 400, "at least one"),
        ("/", b'{"inputs": ["a", 3]}', 400, r"\[1\] is of type int"),
        ("/", b'{"inputs": [["a"]]}', 400, r"\[0\] is of type list"),
        ("/", b'{"inputs": "a", "parameters": {"k": 1}}', 400, "'k'"),
        ("/", json.dumps({"inputs": ["a"] * 101}).encode(), 413, "101 texts; send at most 100"),
        ("/", json.dumps({"inputs": "a" * 60_001}).encode(), 413, "60,001 characters"),
        ("/", json.dumps({"inputs": ["é" * 50_000] * 20}).encode(), 413, "2,000,000 bytes"),
        ("/", b" " * 7_000_000, 413, "body is too large"),
        ("/predict", b"{", 422, "not valid JSON"),
        ("/predict", b'{"inputs": ["a", "b"]}', 422, "a pair"),
        ("/predict", b'{"inputs": [["a"], ["b", "c"]]}', 422, "a pair"),
        ("/predict", b'{"inputs": [[]]}', 422, "of type list"),
        ("/predict", b'{"inputs": []}', 422, "at least one"),
        ("/predict", b'{"inputs": [3]}', 422, "of type int"),
        ("/predict", b'{"inputs": "a", "raw_scores": 1}', 422, "raw_scores"),
        ("/predict", json.dumps({"inputs": [["a"]] * 101}).encode(), 413, "101 texts"),
    ],
)
def test_what_is_refused(server: Running, route: str, body: bytes, status: int, told: str) -> None:
    answer = httpx.post(f"{server.address}{route}", content=body)
    assert answer.status_code == status
    assert re.search(told, answer.json()["error"])
    assert answer.json()["error"].endswith(".")
    assert answer.json()["error_type"] == "validation"


def test_other_routes(server: Running) -> None:
    wrong = httpx.get(f"{server.address}/")
    assert wrong.status_code == 405
    assert "Send a POST request" in wrong.json()["error"]
    assert httpx.get(f"{server.address}/admin").status_code == 404
    info = httpx.get(f"{server.address}/info").json()
    assert info["model_id"] == "model"
    assert info["max_client_batch_size"] == 100
    assert info["adaptive"] is None
    assert info["decision"] == "threshold"
    assert info["thresholds"] == pytest.approx({"joy": 0.3, "anger": 0.5, "fear": 0.7})
    document = httpx.get(f"{server.address}/openapi.json").json()
    assert set(document["paths"]) == {"/", "/predict", "/health", "/info", "/metrics"}
    inputs = document["components"]["schemas"]["ClassifyRequest"]["properties"]["inputs"]
    assert inputs["oneOf"][1]["maxItems"] == 100
    page = httpx.get(f"{server.address}/docs")
    assert "POST /predict" in page.text
    assert not re.search(r"(src|href)=.?(https?:|//)", page.text), "it asks no other host"


def test_metrics_count_what_happened(tiny_stack_folder: Path) -> None:
    def figures(running: Running) -> dict[str, float]:
        lines = httpx.get(f"{running.address}/metrics").text.splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    with serving(ServiceSettings(str(tiny_stack_folder), FLOAT32)) as running:
        running.post({"inputs": ["a", "b", "c"]})
        running.post({"inputs": 3})
        httpx.get(f"{running.address}/some/path")
        found = figures(running)
    named = "stacked_emotion_requests_total"
    assert found[f'{named}{{route="/",status="200"}}'] == 1
    assert found[f'{named}{{route="/",status="400"}}'] == 1
    assert found[f'{named}{{route="other",status="404"}}'] == 1
    assert found["stacked_emotion_batch_texts_sum"] == 3
    assert found["stacked_emotion_texts_waiting"] == 0
    assert found["stacked_emotion_workers_ready"] == 1


def test_health_is_503_until_warm_and_early_requests_are_answered(
    predictor: StackedEmotionPredictor, held: Held
) -> None:
    door = threading.Event()

    def load(options: ServiceSettings, observe: Any) -> PredictorHandler:
        assert door.wait(60)
        return held(options, observe)

    held.door.set()
    with serving(settings(), load, wait=False) as running, ThreadPoolExecutor() as pool:
        early = pool.submit(running.post, {"inputs": "a"})
        for route in ("/health", "/info"):
            answer = httpx.get(f"{running.address}{route}")
            assert answer.status_code == 503
            assert int(answer.headers["Retry-After"]) >= 1
        assert not early.done()
        door.set()
        assert early.result().status_code == 200
        assert httpx.get(f"{running.address}/health").status_code == 200


def test_a_model_that_does_not_load_is_reported(tmp_path: Path) -> None:
    with serving(ServiceSettings(str(tmp_path)), wait=False) as running:
        while not running.failures:
            time.sleep(0.02)
        assert httpx.get(f"{running.address}/health").status_code == 503
        assert running.post({"inputs": "a"}).status_code == 503
    assert "config.json" in str(running.failures[0])


def test_a_full_queue_refuses_and_loses_nothing(held: Held) -> None:
    with serving(settings(queue=10), held) as running, ThreadPoolExecutor(8) as pool:
        accepted = [pool.submit(running.post, {"inputs": ["a", "b"]}) for _ in range(5)]
        while running.service.waiting < 10:
            time.sleep(0.01)
        answer = running.post({"inputs": "c"})
        assert answer.status_code == 429
        assert answer.json()["error_type"] == "overloaded"
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
        held.door.set()
        assert [one.result().status_code for one in accepted] == [200] * 5
        assert running.post({"inputs": "c"}).status_code == 200
        assert running.service.waiting == 0


def test_small_requests_overtake_a_large_one(held: Held) -> None:
    """While a batch of a large request is computed, small ones arrive: they are in the next."""
    limits = Limits(texts=200)
    with serving(settings(limits=limits, queue=300), held) as running, ThreadPoolExecutor() as pool:
        large = pool.submit(running.post, {"inputs": [f"large {n}" for n in range(200)]})
        assert held.busy.wait(60)
        small = [pool.submit(running.post, {"inputs": f"small {n}"}) for n in range(3)]
        while running.service.waiting < 203:
            time.sleep(0.01)
        held.door.set()
        assert {one.result().status_code for one in [large, *small]} == {200}
    assert {"small 0", "small 1", "small 2"} <= set(held.batches[1])
    assert sum(map(len, held.batches)) == 203, "nothing is computed twice"


def test_a_lone_request_does_not_wait(held: Held) -> None:
    held.door.set()
    with serving(settings(), held) as running:
        for text in ("a", "b", "c"):
            running.post({"inputs": text})
    assert held.batches == [["a"], ["b"], ["c"]]


def test_a_stop_finishes_what_was_accepted(held: Held) -> None:
    with serving(settings(), held) as running, ThreadPoolExecutor() as pool:
        accepted = [pool.submit(running.post, {"inputs": f"text {n}"}) for n in range(4)]
        while running.service.waiting < 4:
            time.sleep(0.01)
        running.stop()
        while running.accepts():
            time.sleep(0.01)
        held.door.set()
        assert [one.result().status_code for one in accepted] == [200] * 4


def test_the_token(held: Held, caplog: pytest.LogCaptureFixture) -> None:
    held.door.set()
    caplog.set_level(logging.INFO, "stacked_emotion.serving")
    with serving(settings(token=TOKEN), held) as running:
        for headers in ({}, {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": TOKEN}):
            for route in ("/", "/predict"):
                answer = running.post({"inputs": "a"}, route, headers=headers)
                assert answer.status_code == 401
                assert answer.headers["WWW-Authenticate"] == "Bearer"
        for route in ("/info", "/metrics", "/docs", "/openapi.json", "/nowhere"):
            assert httpx.get(f"{running.address}{route}").status_code == 401
        assert httpx.get(f"{running.address}/health").status_code == 200
        client = InferenceClient(model=running.address, token=TOKEN)
        assert client.text_classification("secret words")
        assert predict(running.address, ["secret words"], token=TOKEN)
    assert TOKEN not in repr(running.service.settings)
    shown = "\n".join(JsonLines().format(record) for record in caplog.records)
    assert '"status": 401' in shown
    assert TOKEN not in shown
    assert "secret" not in shown


@pytest.mark.parametrize("kind", [RuntimeError, ValueError])
def test_a_failure_is_answered_and_logged_without_the_text(
    held: Held, predictor: StackedEmotionPredictor, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch, kind: type[Exception],
) -> None:  # fmt: skip
    held.door.set()
    whole = predictor.score_batches

    def fragile(texts: list[str], batch_tokens: int) -> Any:
        if "poison" in texts:
            raise kind(f"cannot compute {texts}")
        return whole(texts, batch_tokens)

    monkeypatch.setattr(predictor, "score_batches", fragile)
    with serving(settings(), held) as running, ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda t: running.post({"inputs": t}), ["a", "poison", "b"]))
        assert [one.status_code for one in answers] == [200, 500, 200]
        assert "poison" not in answers[1].text
        assert running.post({"inputs": "still alive"}).status_code == 200
    shown = [json.loads(JsonLines().format(record)) for record in caplog.records]
    assert [line["error"] for line in shown if line["event"] == "failed"] == [kind.__name__]
    assert "poison" not in json.dumps(shown)


def test_slow_and_gone_clients(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "BODY_SECONDS", 0.2)
    held.door.set()
    with serving(settings(), held) as running:
        host, port = running.socket.getsockname()
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
        with socket.create_connection((host, port)) as slow:
            slow.sendall(head)
            assert slow.recv(99).startswith(b"HTTP/1.1 408")
        with socket.create_connection((host, port)) as gone:
            gone.sendall(head)
        while running.service.waiting:
            time.sleep(0.01)
        assert running.post({"inputs": "a"}).status_code == 200
