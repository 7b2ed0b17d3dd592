"""The student is a stock model: its layers, its folded thresholds, its folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from stacked_emotion.common.errors import UserError
from stacked_emotion.trainer.distillation.student import (
    build_student,
    fold_thresholds,
    keep_layers,
    output_layer,
    save_student,
    student_groups,
    student_tokenizer,
)
from stacked_emotion.trainer.distillation.training import student_logits

NAMES = ["joy", "anger", "fear"]
SHARES = np.array([0.5, 0.2, 0.05])
FAMILIES = ("bert", "xlm-roberta", "modernbert", "electra", "distilbert", "deberta-v2")
TEXTS = ["فرحان جدا", "خائف", "كل سنه وانتي بخير ياقلبي 😍", "", "كلمة " * 500]
_STOCK = """
import json, sys
sys.modules["stacked_emotion"] = None
from transformers import pipeline
classify = pipeline("text-classification", model=sys.argv[1], top_k=None)
rows = classify(json.loads(sys.argv[2]), truncation=True)
print(json.dumps([{entry["label"]: entry["score"] for entry in row} for row in rows]))
"""


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_a_stock_student(
    family: str, family_folders: dict[str, Path], tmp_path: Path
) -> None:
    source = str(family_folders[family])
    torch.manual_seed(0)
    model = build_student(source, NAMES, SHARES)
    tokenizer = student_tokenizer(source, max_length=32)
    expected = np.log(SHARES / (1 - SHARES))
    np.testing.assert_allclose(output_layer(model).bias.detach(), expected, rtol=1e-5)
    before = student_logits(model, tokenizer, TEXTS)
    limits = np.array([0.3, 0.5, 0.15])
    given = save_student(model, tokenizer, tmp_path / "model", limits, fold=True)
    assert given == [0.5] * 3
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model")
    after = student_logits(loaded, tokenizer, TEXTS)
    np.testing.assert_allclose(after, before - np.log(limits / (1 - limits)), atol=1e-5)
    decided = 1 / (1 + np.exp(-before)) >= limits
    np.testing.assert_array_equal(1 / (1 + np.exp(-after)) >= 0.5, decided)
    config = json.loads((tmp_path / "model/config.json").read_text())
    assert config["problem_type"] == "multi_label_classification"
    assert config["id2label"] == {"0": "joy", "1": "anger", "2": "fear"}
    assert config["folded_thresholds"] == limits.tolist()
    assert "auto_map" not in config
    assert not list((tmp_path / "model").rglob("*.py"))
    assert not list((tmp_path / "model").rglob("*.bin"))


def test_a_stock_pipeline_runs_it_without_this_package(
    family_folders: dict[str, Path], tmp_path: Path
) -> None:
    source = str(family_folders["bert"])
    model = build_student(source, NAMES, SHARES)
    tokenizer = student_tokenizer(source, max_length=32)
    save_student(model, tokenizer, tmp_path / "model", np.array([0.3, 0.5, 0.7]), fold=False)
    command = [sys.executable, "-c", _STOCK, str(tmp_path / "model"), json.dumps(TEXTS)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    logits = student_logits(model, tokenizer, TEXTS)
    for row, scores in zip(json.loads(answer.stdout), logits, strict=True):
        for name, z in zip(NAMES, scores, strict=True):
            assert row[name] == pytest.approx(1 / (1 + np.exp(-z)), abs=1e-5)


def test_scores_do_not_depend_on_the_batch(family_folders: dict[str, Path]) -> None:
    source = str(family_folders["xlm-roberta"])
    model = build_student(source, NAMES, SHARES).eval()
    tokenizer = student_tokenizer(source, max_length=32)
    together = student_logits(model, tokenizer, TEXTS)
    single = np.concatenate([student_logits(model, tokenizer, [text]) for text in TEXTS])
    np.testing.assert_allclose(together, single, atol=1e-5)


@pytest.mark.parametrize("family", ["bert", "distilbert", "modernbert"])
def test_fewer_layers(family: str, family_folders: dict[str, Path], tmp_path: Path) -> None:
    source = str(family_folders[family])
    whole = build_student(source, NAMES, SHARES)
    model = build_student(source, NAMES, SHARES, layers=1)
    assert model.config.num_hidden_layers == 1
    assert model.num_parameters() < whole.num_parameters()
    tokenizer = student_tokenizer(source, max_length=32)
    before = student_logits(model, tokenizer, TEXTS)
    save_student(model, tokenizer, tmp_path / "m", np.full(3, 0.5), fold=False)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "m")
    np.testing.assert_allclose(student_logits(loaded, tokenizer, TEXTS), before, atol=1e-6)
    with pytest.raises(UserError, match="2 layers"):
        keep_layers(whole, 3)


def test_the_head_learns_faster(family_folders: dict[str, Path]) -> None:
    model = build_student(str(family_folders["bert"]), NAMES, SHARES)
    groups = student_groups(model, 1e-4, 10.0, 0.01)
    rates = {id(p): (g["lr"], g["weight_decay"]) for g in groups for p in g["params"]}
    assert len(rates) == len(list(model.parameters()))
    assert rates[id(model.classifier.weight)] == (1e-3, 0.01)
    assert rates[id(model.classifier.bias)] == (1e-3, 0.0)
    assert rates[id(model.bert.pooler.dense.weight)] == (1e-3, 0.01)
    assert rates[id(model.bert.encoder.layer[0].output.dense.weight)] == (1e-4, 0.01)
    assert rates[id(model.bert.embeddings.word_embeddings.weight)] == (1e-4, 0.01)


def test_thresholds_at_the_edge_stay_finite(family_folders: dict[str, Path]) -> None:
    model = build_student(str(family_folders["bert"]), NAMES, SHARES)
    fold_thresholds(model, np.array([0.0, 1.0, 0.5]))
    assert torch.isfinite(output_layer(model).bias).all()


def test_what_is_no_stock_encoder_is_refused(tiny_stack_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="stacked_emotion"):
        build_student(str(tiny_stack_folder), NAMES, SHARES)
    with pytest.raises(UserError, match="nowhere"):
        build_student(str(tmp_path / "nowhere"), NAMES, SHARES)
