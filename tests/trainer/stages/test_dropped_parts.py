"""Parts that gained nothing out of fold are neither stored nor computed, with the same logits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from tiny_models import build_stack
from tiny_runs import tiny_run_options

from stacked_emotion import StackedEmotionForSequenceClassification, StackedEmotionTokenizer
from stacked_emotion.inference import StackedEmotionPredictor, Summary
from stacked_emotion.inference.predictor import without_dead_parts
from stacked_emotion.trainer import parse_recipe, run_training
from stacked_emotion.trainer.stages.cached_training import predict_logits
from stacked_emotion.trainer.stages.context import RunContext
from stacked_emotion.trainer.stages.features import scored_features

TEXTS = ["فرحان جدا 😍", "يوم حزين و ممل", "غاضب"]


@pytest.mark.parametrize("kept_meta", [False, True])
def test_dropped_parts_change_no_logit(
    kept_meta: bool, finished_run: Path, tmp_path: Path, tiny_encoder_folders: dict[str, Path]
) -> None:
    nothing_learned = ["--head.learning_rate", "0", "--meta.learning_rate", "0"]
    more = ["--head.epochs", "0"] if kept_meta else [*nothing_learned, "--gain_in_errors", "1"]
    given = ("--encoders_from", str(finished_run), *more)
    recipe = parse_recipe(tiny_run_options(tiny_encoder_folders, tmp_path / "run", *given))
    results = run_training(recipe)
    assert bool(results["stages"]["meta"]["epoch"]) == kept_meta
    assert results["left_at_start"] == ([] if kept_meta else ["meta", "head"])
    folder = tmp_path / "run/model"
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert not config["use_lstm"]
    assert not config["use_classifier"]
    assert config["use_meta_learner"] == kept_meta
    stored = load_file(folder / "model.safetensors")
    assert not [name for name in stored if name.startswith(("classifier.", "stacked.lstm."))]
    assert any(name.startswith("stacked.meta_learner.") for name in stored) == kept_meta

    model = StackedEmotionForSequenceClassification.from_pretrained(folder).eval()
    model.calibration = torch.nn.Identity()  # fitted to the stage's logits
    features = scored_features(RunContext.load(recipe), "validation")
    stage = load_file(tmp_path / "run/head/validation.safetensors")["logits"]
    assert np.array_equal(predict_logits(model, features), stage[0])


def test_the_parts_of_an_older_model_are_skipped(
    tiny_encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    model, tokenizer = build_stack(tiny_encoder_folders)
    torch.nn.init.zeros_(model.classifier.output.weight)
    assert not without_dead_parts(model)  # its bias still counts
    torch.nn.init.zeros_(model.classifier.output.bias)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = StackedEmotionForSequenceClassification.from_pretrained(tmp_path).eval()
    batch = StackedEmotionTokenizer.from_pretrained(tmp_path)(
        TEXTS, padding=True, return_tensors="pt"
    )
    predictor = StackedEmotionPredictor.from_pretrained(tmp_path, dtype="float32", backend="torch")
    assert not hasattr(predictor.model, "classifier")
    assert not hasattr(predictor.model.stacked, "lstm")
    with torch.no_grad():
        assert torch.equal(loaded(**batch).logits, predictor.model(**batch).logits)
    assert "Without Bi-LSTM and classifier" in repr(predictor.summary)
    assert "Without" not in repr(Summary(loaded))
