"""`handler.py`: loaded as the endpoint toolkit does, over HTTP, with many requests at once."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from tiny_models import LABELS, NASTY_TEXTS

from stacked_emotion.hub_card import RunRecord
from stacked_emotion.hub_card.repository import gather
from stacked_emotion.inference import Limits, StackedEmotionPredictor, explain
from stacked_emotion.inference.serving.handler import EndpointHandler

TEXTS = ["فرحان جدا 😍", "لا أعرف ماذا أفعل", "a b c", ""]


@pytest.fixture(scope="module")
def repository(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    gather(RunRecord.from_folder(run_folder), folder)
    return folder


@pytest.fixture(scope="module")
def handler(repository: Path) -> EndpointHandler:
    return EndpointHandler(str(repository))


@pytest.fixture
def without_limits(handler: EndpointHandler, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Limits(characters=10**6, texts=100, size=10**7, explained_words=100)
    monkeypatch.setattr(handler, "limits", limits)


def expected(tiny_stack: Any, texts: list[str]) -> list[dict[str, float]]:
    model, tokenizer = tiny_stack
    with torch.no_grad():
        logits = [model(**tokenizer([text], return_tensors="pt")).logits[0] for text in texts]
    return [dict(zip(LABELS, torch.sigmoid(row).tolist(), strict=True)) for row in logits]


def as_scores(answer: list[dict[str, Any]]) -> dict[str, float]:
    return {entry["label"]: entry["score"] for entry in answer}


@pytest.mark.usefixtures("without_limits")
def test_answers_are_those_of_the_model(handler: EndpointHandler, tiny_stack: Any) -> None:
    answers = handler({"inputs": NASTY_TEXTS})
    for answer, scores in zip(answers, expected(tiny_stack, NASTY_TEXTS), strict=True):
        assert as_scores(answer) == pytest.approx(scores, abs=1e-6)
        ranked = [entry["score"] for entry in answer]
        assert ranked == sorted(ranked, reverse=True)
    (single,) = handler({"inputs": TEXTS[0]})
    assert as_scores(single) == pytest.approx(expected(tiny_stack, TEXTS[:1])[0], abs=1e-6)


def test_top_k_and_thresholds(handler: EndpointHandler, tiny_stack: Any) -> None:
    model, tokenizer = tiny_stack
    (all_labels,) = handler({"inputs": TEXTS[0]})
    (best,) = handler({"inputs": TEXTS[0], "parameters": {"top_k": 2}})
    assert best == all_labels[:2]
    limit = all_labels[1]["score"]
    (above,) = handler({"inputs": TEXTS[0], "parameters": {"threshold": limit}})
    assert above == all_labels[:2], "at or above"
    assert handler({"inputs": TEXTS[0], "parameters": {"threshold": 1.0}}) == [[]]
    answers = handler({"inputs": TEXTS, "parameters": {"threshold": "stored"}})
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        given = model.decide(model(**batch).logits, batch["word_index"].amax((1, 2)) > 0)
    assert answers[-1] == [], "a text without words gets no label"
    for answer, row in zip(answers, given.tolist(), strict=True):
        chosen = {label for label, is_given in zip(LABELS, row, strict=True) if is_given}
        assert {entry["label"] for entry in answer} == chosen


@pytest.mark.usefixtures("without_limits")
def test_explanations_are_those_of_the_package(handler: EndpointHandler, tiny_stack: Any) -> None:
    text = "فرحان، جدا اليوم 😍" + " ثم" * 60
    predictor = StackedEmotionPredictor(*tiny_stack)
    answers = handler({"inputs": [text, ""], "parameters": {"explain": True, "top_k": 2}})
    assert [len(answer) for answer in answers] == [2, 2]
    assert all(entry["words"] == [] for entry in answers[1])
    for entry in answers[0]:
        words = explain(predictor, text, entry["label"]).words
        assert [word["word"] for word in entry["words"]] == [word.word for word in words]
        for found, word in zip(entry["words"], words, strict=True):
            assert (found["start"], found["end"]) == (word.start, word.end)
            assert found["encoders"] == pytest.approx(word.gates, abs=1e-5)
            assert found["contribution"] == pytest.approx(word.contribution, abs=1e-5)
    assert any(abs(word["contribution"]) > 1e-4 for word in answers[0][0]["words"])


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ([], "JSON object"),
        ({}, '"inputs"'),
        ({"inputs": 3}, '"inputs" must be'),
        ({"inputs": []}, "at least one"),
        ({"inputs": ["a", None]}, r"\[1\] is of type NoneType"),
        ({"inputs": ["a"] * 9}, r"has 9 texts; send at most 8\.$"),
        ({"inputs": ["a", "a" * 10_001]}, r"^Text 2 .* 10,001 characters; send at most 10,000\.$"),
        ({"inputs": "ا" * 1_000_000}, r"1,000,000 characters; send at most 10,000\.$"),
        ({"inputs": ["😍" * 9_000] * 8}, r"have 288,000 bytes; send at most 200,000\.$"),
        ({"inputs": "a", "parameters": []}, '"parameters" must be'),
        ({"inputs": "a", "parameters": {"topk": 1}}, "topk"),
        ({"inputs": "a", "parameters": {"top_k": 0}}, "top_k"),
        ({"inputs": "a", "parameters": {"top_k": True}}, "top_k"),
        ({"inputs": "a", "parameters": {"top_k": 1.5}}, "top_k"),
        ({"inputs": "a", "parameters": {"threshold": 1.5}}, "threshold"),
        ({"inputs": "a", "parameters": {"threshold": "low"}}, "threshold"),
        ({"inputs": "a", "parameters": {"threshold": True}}, "threshold"),
        ({"inputs": "a", "parameters": {"threshold": float("nan")}}, "threshold"),
        ({"inputs": "a", "parameters": {"explain": "yes"}}, "explain"),
        ({"inputs": "a", "parameters": {"explain": 1}}, "explain"),
        ({"inputs": ["a b c d e"] * 5, "parameters": {"explain": True}}, "25 words; .* 24 in all"),
        ({"inputs": "a", "parameters": {"top_k": -(10**5000)}}, "top_k"),
        ({"inputs": "a", "parameters": {"\x1b[2J\u202e": 1}}, r"\[\'\\x1b\[2J\\u202e\'\]"),
        ({"inputs": "a", "parameters": {"threshold": "\x1b" * 9999}}, r"x1b\.\.\.; it must"),
        ({"inputs": "a", "parameters": {"function_to_apply": "softmax"}}, "softmax"),
    ],
)
def test_bad_requests(handler: EndpointHandler, body: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        handler(body)
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()


def test_concurrent_requests_share_batches(
    handler: EndpointHandler, tiny_stack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    whole = handler._batch
    started = threading.Event()

    def slow_batch(texts: list[str], explain: bool) -> Any:
        sizes.append(len(texts))
        started.set()
        threading.Event().wait(0.05)
        return whole(texts, explain)

    monkeypatch.setattr(handler, "_batch", slow_batch)
    texts = [f"{TEXTS[index % 3]} {index}" for index in range(60)]
    scores = expected(tiny_stack, texts)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda text: handler({"inputs": text}), texts))
    assert [as_scores(answer[0]) for answer in answers] == [
        pytest.approx(row, abs=1e-6) for row in scores
    ]
    assert sum(sizes) == len(texts)
    assert len(sizes) < len(texts) / 2
    assert max(sizes) > 4


def test_one_failing_request_spoils_no_other(
    handler: EndpointHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = handler._batch

    def fragile(texts: list[str], explain: bool) -> Any:
        if "poison" in texts:
            raise RuntimeError("out of memory")
        return whole(texts, explain)

    monkeypatch.setattr(handler, "_batch", fragile)
    with ThreadPoolExecutor(8) as pool:
        jobs = [
            pool.submit(handler, {"inputs": text}) for text in ["a", "b", "poison", "c", "d", "e"]
        ]
        failures = [job.exception() for job in jobs]
    assert [str(failure) for failure in failures if failure] == ["out of memory"]
    assert failures[2] is not None
    monkeypatch.undo()
    assert len(handler({"inputs": "still alive"})) == 1


@pytest.fixture(scope="module")
def address(repository: Path) -> Iterator[str]:
    script = Path(__file__).parents[2] / "support" / "endpoint_server.py"
    with subprocess.Popen(
        [sys.executable, str(script), str(repository)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def test_over_http_with_the_inference_client(address: str, tiny_stack: Any) -> None:
    client = InferenceClient()
    texts = TEXTS[:3] * 4
    scores = expected(tiny_stack, texts)
    with ThreadPoolExecutor(6) as pool:
        answers = list(
            pool.map(lambda text: client.text_classification(text, model=address), texts)
        )
    for answer, row in zip(answers, scores, strict=True):
        assert {entry.label: entry.score for entry in answer} == pytest.approx(row, abs=1e-5)
    best = client.text_classification(texts[0], model=address, top_k=1)
    assert [entry.label for entry in best] == [answers[0][0].label]
    with pytest.raises(HfHubHTTPError) as caught:
        client.text_classification(texts[0], model=address, function_to_apply="softmax")
    assert caught.value.response.status_code == 400
    assert "softmax" in caught.value.response.json()["error"]
