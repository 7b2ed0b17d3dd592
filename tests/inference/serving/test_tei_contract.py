"""The contract of text-embeddings-inference's `/predict`: our server, our client, a student's card.

`softmax_server` keeps to the recorded contract and, as text-embeddings-inference does, applies
softmax to every model with several labels unless a request says `raw_scores`.
"""

from __future__ import annotations

import ast
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from jsonschema import validate
from served import Running, serving
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from stacked_emotion.hub_card import RunRecord
from stacked_emotion.hub_card.card.content import card_content
from stacked_emotion.hub_card.card.terms import terms_of
from stacked_emotion.inference import StackedEmotionPredictor
from stacked_emotion.inference.serving.app import ServiceSettings
from stacked_emotion.inference.serving.client import predict

CONTRACT = json.loads(Path(__file__).with_name("tei_predict.json").read_text(encoding="utf-8"))
PREDICTIONS = {"type": "array", "items": CONTRACT["prediction"]}
BATCH = {"type": "array", "items": PREDICTIONS}
TEXTS = ["فرحان جدا 😍", "يوم حزين", "a"]


@pytest.fixture(scope="module")
def server(tiny_stack_folder: Path) -> Iterator[Running]:
    with serving(ServiceSettings(str(tiny_stack_folder), {"dtype": "float32"})) as running:
        yield running


@pytest.fixture(scope="module")
def logits(tiny_stack_folder: Path) -> np.ndarray:
    predictor = StackedEmotionPredictor.from_pretrained(tiny_stack_folder, dtype="float32")
    return predictor.score(TEXTS).logits


@pytest.mark.parametrize("raw", [True, False, None])
@pytest.mark.parametrize(
    ("inputs", "shape"),
    [(TEXTS[0], PREDICTIONS), ([[text] for text in TEXTS], BATCH), ([[TEXTS[0]]], BATCH)],
)
def test_our_server_keeps_to_it(
    server: Running, logits: np.ndarray, inputs: Any, shape: dict[str, Any], raw: bool | None
) -> None:
    body = {"inputs": inputs, "truncate": True} | ({} if raw is None else {"raw_scores": raw})
    validate(body, CONTRACT["request"])
    answer = server.post(body, "/predict").json()
    validate(answer, shape)
    rows = answer if shape is BATCH else [answer]
    labels = ["joy", "anger", "fear"]
    for row, expected in zip(rows, logits.tolist(), strict=False):
        scores = {one["label"]: one["score"] for one in row}
        wanted = expected if raw else torch.sigmoid(torch.tensor(expected)).tolist()
        assert scores == pytest.approx(dict(zip(labels, wanted, strict=True)), abs=1e-5)
        assert [one["score"] for one in row] == sorted(scores.values(), reverse=True)


def test_errors_and_info_keep_to_it(server: Running) -> None:
    for body in ({"inputs": 3}, {"inputs": ["a", "b"]}, {"inputs": [["a"]] * 9}, {}):
        answer = server.post(body, "/predict")
        assert answer.status_code in (413, 422)
        validate(answer.json(), CONTRACT["error"])
    validate(httpx.get(f"{server.address}/info").json(), CONTRACT["info"])


@pytest.fixture(scope="module")
def softmax_server(student_run_folder: Path) -> Iterator[str]:
    folder = student_run_folder / "model"
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)

    class Requests(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            validate(body, CONTRACT["request"])
            assert self.path == "/predict"
            assert self.headers["Content-Type"] == "application/json"
            texts = [row[0] for row in body["inputs"]]
            batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
            with torch.no_grad():
                scores = model(**batch).logits
            if not body.get("raw_scores"):
                scores = scores.softmax(1)
            answer = [
                [{"score": s, "label": model.config.id2label[i]} for i, s in enumerate(row)]
                for row in scores.tolist()
            ]
            validate(answer, BATCH)
            content = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *values: Any) -> None:
            """Keep the output quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Requests) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


def probabilities(folder: Path, text: str) -> dict[str, float]:
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    batch = AutoTokenizer.from_pretrained(folder)([text], return_tensors="pt")
    with torch.no_grad():
        row = torch.sigmoid(model(**batch).logits)[0].tolist()
    return {model.config.id2label[index]: score for index, score in enumerate(row)}


def test_our_client_gets_sigmoid_scores_from_a_softmax_server(
    softmax_server: str, student_run_folder: Path
) -> None:
    found = predict(softmax_server, TEXTS)
    for text, answer in zip(TEXTS, found, strict=True):
        assert answer == pytest.approx(probabilities(student_run_folder / "model", text), abs=1e-5)
    plain = httpx.post(f"{softmax_server}/predict", json={"inputs": [[TEXTS[0]]]}).json()
    assert sum(one["score"] for one in plain[0]) == pytest.approx(1), "the trap is there"


def test_the_card_of_a_student_asks_for_raw_scores(
    softmax_server: str, student_run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = RunRecord.from_folder(student_run_folder)
    terms = terms_of(record, ask_hub=False)
    card = card_content(record, "user/mini", "apache-2.0", terms, ["ar"], teacher="user/stack")
    section = card.render().partition("text-embeddings-inference")[2]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.S)[:1]
    assert '"raw_scores": True' in code
    text = ast.literal_eval(re.findall(r'"inputs": \[\[(.*?)\]\]', code)[0])
    exec(code.replace("http://127.0.0.1:8080", softmax_server), {})
    shown = ast.literal_eval(capsys.readouterr().out)
    expected = probabilities(student_run_folder / "model", text)
    assert shown == pytest.approx(expected, abs=1e-3)
