"""A distilled student, a stock model without code, passes; its damage is found too."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file
from students import exported_student
from tiny_models import ROOT

from stacked_emotion.common.settings import build, checked
from stacked_emotion.hub_card import check_model, publish
from stacked_emotion.trainer.distillation.arguments import Distillation
from stacked_emotion.trainer.distillation.command import run_distillation

SAMPLE = ROOT / "recipes/sample"


@pytest.fixture(scope="module")
def student(
    finished_run: Path, family_folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("distilled") / "run"
    settings = {
        "model": str(finished_run), "student": str(family_folders["bert"]), "seeds": [0],
        "train_file": str(SAMPLE / "train.jsonl"), "max_train_samples": 90, "epochs": 1.0,
        "validation_file": str(SAMPLE / "validation.jsonl"), "max_validation_samples": 40,
        "output_dir": str(folder), "max_length": 40, "alone": False, "held_out_folds": 1,
        "teacher_dtype": "float32", "onnx": True,
    }  # fmt: skip
    run_distillation(build(Distillation, checked(Distillation, settings)))
    return folder


def test_a_student_passes(student: Path) -> None:
    report = check_model(student)
    assert report.passed, report
    results = {one.check: one.result for one in report.outcomes}
    assert report.kind == "student"
    passed = {check for check, result in results.items() if result == "passed"}
    assert passed >= {
        "known code only", "decision as recorded", "batch and order", "padding", "save and load",
        "pipeline", "figures on labeled texts", "onnx/model.onnx, ONNX Runtime",
    }  # fmt: skip


@pytest.mark.slow
def test_damage(student: Path, tmp_path: Path) -> None:
    published = publish(student, "user/mini", "mit", languages=["ar"], plots=False, dry_run=True)
    assert check_model(published.folder).passed
    folder = Path(shutil.copytree(student, tmp_path / "run"))
    file = folder / "model/model.safetensors"
    weights = load_file(file)
    weights["classifier.bias"] = weights["classifier.bias"] + 1
    save_file(weights, file, metadata={"format": "pt"})
    failed = check_model(folder).failed
    assert failed[0] == "figures on labeled texts"
    assert "onnx/model.onnx, ONNX Runtime" in failed
    config = json.loads((folder / "model/config.json").read_text("utf-8"))
    config["auto_map"] = {"AutoModelForSequenceClassification": "modeling_other.Other"}
    (folder / "model/config.json").write_text(json.dumps(config), encoding="utf-8")
    assert check_model(folder).failed == ["known code only"]


@pytest.mark.slow
def test_an_int8_graph_with_one_scale_per_batch(
    family_folders: dict[str, Path], tmp_path: Path
) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    name = "onnx/model_quantized.onnx"
    folder = exported_student(family_folders["bert"], tmp_path / "model", (0.3, 0.5, 0.7))
    before = {one.check: one for one in check_model(folder).outcomes}
    assert before[f"{name}, ONNX Runtime"].result == "passed", before
    quantize_dynamic(
        folder / "onnx/model.onnx", folder / name, per_channel=True, weight_type=QuantType.QInt8
    )
    after = {one.check: one for one in check_model(folder).outcomes}
    assert after[f"{name}, ONNX Runtime"].result == "failed"
    assert "with the other texts of a batch" in after[f"{name}, ONNX Runtime"].detail
