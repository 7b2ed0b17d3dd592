"""Every way to a score calibrates it once; a model without a calibration is as it was."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import LABELS
from transformers import pipeline

from stacked_emotion import StackedEmotionForSequenceClassification
from stacked_emotion.common.numerics import sigmoid
from stacked_emotion.hub_card.space.interface import DemoApp
from stacked_emotion.inference import StackedEmotionPredictor, explain
from stacked_emotion.inference.serving.handler import EndpointHandler
from stacked_emotion.trainer.distillation.teacher import logits_of

TEXTS = ["فرحان جدا 😍", "لا أعرف ماذا أفعل، خائف", "a b c"]


def raw_logits(stack: Any) -> np.ndarray:
    """(texts, labels) of the stack before its calibration."""
    model, tokenizer = stack
    kept: list[torch.Tensor] = []
    hook = model.calibration.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
    with torch.no_grad():
        model(**tokenizer(TEXTS, padding=True, return_tensors="pt"))
    hook.remove()
    (logits,) = kept
    return logits.numpy()


@pytest.fixture(scope="module")
def expected(tiny_stack: Any) -> np.ndarray:
    """(texts, labels) calibrated logits, by hand."""
    state = tiny_stack[0].state_dict()
    scale, bias = (state[f"calibration.{part}"].numpy() for part in ("scale", "bias"))
    assert np.ptp(scale) > 0
    return scale * raw_logits(tiny_stack) + bias


def of_model(folder: Path, tiny_stack: Any) -> np.ndarray:
    batch = tiny_stack[1](TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        return sigmoid(tiny_stack[0](**batch).logits.numpy())


def of_predictor(folder: Path, tiny_stack: Any) -> np.ndarray:
    return StackedEmotionPredictor.from_pretrained(folder, dtype="float32").predict_proba(TEXTS)


def of_teacher(folder: Path, tiny_stack: Any) -> np.ndarray:
    predictor = StackedEmotionPredictor.from_pretrained(folder, dtype="float32")
    return sigmoid(logits_of(predictor, TEXTS, progress=False))


def of_pipeline(folder: Path, tiny_stack: Any) -> np.ndarray:
    model, tokenizer = tiny_stack
    answers = pipeline("text-classification", model=model, tokenizer=tokenizer, top_k=None)(TEXTS)
    by_label = [{entry["label"]: entry["score"] for entry in answer} for answer in answers]
    return np.array([[scores[label] for label in LABELS] for scores in by_label])


def of_handler(folder: Path, tiny_stack: Any) -> np.ndarray:
    answers = EndpointHandler(str(folder))({"inputs": TEXTS})
    by_label = [{entry["label"]: entry["score"] for entry in answer} for answer in answers]
    return np.array([[scores[label] for label in LABELS] for scores in by_label])


def of_app(folder: Path, tiny_stack: Any) -> np.ndarray:
    app = DemoApp(StackedEmotionPredictor.from_pretrained(folder, dtype="float32"))
    answers = [app.predictor.predict([text])[0].scores for text in TEXTS]
    for text, scores in zip(TEXTS, answers, strict=True):
        assert all(
            f'aria-valuenow="{score:.3f}"' in app.analyze(text)[0] for score in scores.values()
        )
    return np.array([list(scores.values()) for scores in answers])


def of_explanation(folder: Path, tiny_stack: Any) -> np.ndarray:
    predictor = StackedEmotionPredictor.from_pretrained(folder, dtype="float32")
    return np.array([[explain(predictor, text, label).score for label in LABELS] for text in TEXTS])


@pytest.mark.parametrize(
    "way",
    [of_model, of_predictor, of_teacher, of_pipeline, of_handler, of_app, of_explanation],
)
def test_every_way_calibrates_once(
    way: Callable[[Path, Any], np.ndarray],
    tiny_stack: Any,
    tiny_stack_folder: Path,
    expected: np.ndarray,
) -> None:
    np.testing.assert_allclose(way(tiny_stack_folder, tiny_stack), sigmoid(expected), atol=2e-6)


def test_identity_changes_no_bit(tiny_stack: Any) -> None:
    model = copy.deepcopy(tiny_stack[0])
    torch.nn.init.ones_(model.calibration.scale)
    torch.nn.init.zeros_(model.calibration.bias)
    batch = tiny_stack[1](TEXTS, padding=True, return_tensors="pt")
    for dtype in (torch.float32, torch.bfloat16):
        model.to(dtype)
        kept: list[Any] = []
        hook = model.calibration.register_forward_hook(lambda *found, kept=kept: kept.append(found))
        with torch.no_grad():
            logits = model(**batch).logits
        hook.remove()
        ((_, (before,), _),) = kept
        assert torch.equal(logits, before)
        assert logits.dtype == dtype


def test_a_model_of_before_loads_as_it_was(
    tiny_stack: Any, tiny_stack_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tiny_stack[0].config.save_pretrained(tmp_path)
    tiny_stack[1].save_pretrained(tmp_path)
    weights = load_file(tiny_stack_folder / "model.safetensors")
    old = {name: value for name, value in weights.items() if not name.startswith("calibration.")}
    assert len(old) == len(weights) - 2
    save_file(old, tmp_path / "model.safetensors", {"format": "pt"})
    with caplog.at_level(logging.WARNING):
        model, report = StackedEmotionForSequenceClassification.from_pretrained(
            tmp_path, output_loading_info=True
        )
    assert not report["missing_keys"]
    assert "calibration" not in caplog.text
    batch = tiny_stack[1](TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        np.testing.assert_array_equal(model(**batch).logits.numpy(), raw_logits(tiny_stack))
    for dtype in ("float32", "bfloat16"):
        predictor = StackedEmotionPredictor.from_pretrained(tmp_path, dtype=dtype)
        assert torch.equal(predictor.model.calibration.scale.float(), torch.ones(3))
        assert torch.equal(predictor.model.calibration.bias.float(), torch.zeros(3))
