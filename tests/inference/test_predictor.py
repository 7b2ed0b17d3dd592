"""The predictor: scores, order, streams, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import LABELS, NASTY_TEXTS

from stacked_emotion.common.errors import UserError
from stacked_emotion.inference import StackedEmotionPredictor


@pytest.fixture(scope="module")
def predictor(tiny_stack_folder: Path) -> StackedEmotionPredictor:
    return StackedEmotionPredictor.from_pretrained(str(tiny_stack_folder), dtype="float32")


def test_scores_are_the_models(predictor: StackedEmotionPredictor, tiny_stack: Any) -> None:
    model, tokenizer = tiny_stack
    texts = [*NASTY_TEXTS, "فرحان", "فرحان", *NASTY_TEXTS[:3]]
    with torch.no_grad():
        expected = torch.cat(
            [torch.sigmoid(model(**tokenizer([t], return_tensors="pt")).logits) for t in texts]
        )
    for batch_tokens in (1, 64, 4096):
        scores = predictor.predict_proba(texts, batch_tokens)
        np.testing.assert_allclose(scores, expected.numpy(), atol=1e-5)
    answers = predictor.predict(texts)
    decisions = model.decide(torch.logit(expected))
    for text, answer, row in zip(texts, answers, decisions, strict=True):
        assert answer.has_words == bool(np.any(tokenizer([text])["word_index"]))
        expected_labels = {LABELS[i] for i in row.nonzero().flatten().tolist()}
        assert set(answer.labels) == (expected_labels if answer.has_words else set())
        assert answer.labels == sorted(answer.labels, key=lambda label: -answer.scores[label])
    streamed = list(predictor.stream(iter(texts), chunk=4))
    for one, other in zip(streamed, answers, strict=True):
        assert one.labels == other.labels
        assert one.scores == pytest.approx(other.scores, abs=1e-5)


def test_what_is_not_a_text_is_refused(predictor: StackedEmotionPredictor) -> None:
    with pytest.raises(ValueError, match=r"texts\[1\]"):
        predictor.predict(["a", None])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="list"):
        predictor.predict(7)
    assert predictor.predict("a") == predictor.predict(["a"])
    assert predictor.predict([]) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"long_text": "window"}, r"long_text= is not known \(did you mean 'long_texts'"),
        ({"foo": 1}, "foo= is not known"),
        ({"device": "gpu"}, "device='gpu' is not known"),
        pytest.param(
            {"device": "cuda"}, "torch finds no GPU here",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU"),
        ),
    ],
)  # fmt: skip
def test_options_that_are_not_known_are_refused(
    tiny_stack_folder: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        StackedEmotionPredictor.from_pretrained(str(tiny_stack_folder), **options)


def test_a_stream_reads_at_least_one_text_at_a_time(predictor: StackedEmotionPredictor) -> None:
    with pytest.raises(UserError, match="chunk is 0"):
        list(predictor.stream(["a"], chunk=0))
