"""The student in ONNX Runtime against PyTorch: other lengths and batches, fp32 and int8."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from stacked_emotion.trainer.distillation.student import (
    build_student,
    save_student,
    student_tokenizer,
)
from stacked_emotion.trainer.distillation.training import student_logits

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

TEXTS = ["فرحان", "خائف جدا من الامتحان", "كلمة " * 60, "", "😂😂 نص"]


@pytest.mark.parametrize("family", ["bert", "xlm-roberta"])
def test_both_graphs_are_the_model(
    family: str, family_folders: dict[str, Path], tmp_path: Path
) -> None:
    from stacked_emotion.inference.backends.student_export import export_student

    source = str(family_folders[family])
    torch.manual_seed(0)
    model = build_student(source, ["joy", "anger", "fear"], np.array([0.5, 0.2, 0.1]))
    tokenizer = student_tokenizer(source, max_length=40)
    save_student(model, tokenizer, tmp_path / "model", np.full(3, 0.5), fold=False)
    export = export_student(tmp_path / "model")
    names = sorted(path.name for path in (tmp_path / "model/onnx").iterdir())
    assert names == ["model.onnx", "model_quantized.onnx", "report.json"], "as transformers.js asks"
    assert {"config.json", "tokenizer.json", "tokenizer_config.json"} <= {
        path.name for path in (tmp_path / "model").iterdir()
    }
    assert export.fp32_difference < 1e-4
    assert export.int8 is not None
    assert export.int8_difference is not None
    assert export.int8.stat().st_size < export.fp32.stat().st_size
    expected = student_logits(model, tokenizer, TEXTS)
    for file, tolerance in ((export.fp32, 1e-4), (export.int8, 0.1)):
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        alone = []
        for row, text in enumerate(TEXTS):
            batch = tokenizer([text], truncation=True, return_tensors="np")
            inputs = {key: batch[key].astype(np.int64) for key in ("input_ids", "attention_mask")}
            (found,) = session.run(["logits"], inputs)
            np.testing.assert_allclose(found[0], expected[row], atol=tolerance)
            alone.append(found[0])
        batch = tokenizer(TEXTS, truncation=True, padding=True, return_tensors="np")
        inputs = {key: batch[key].astype(np.int64) for key in ("input_ids", "attention_mask")}
        (found,) = session.run(["logits"], inputs)
        np.testing.assert_allclose(found, expected, atol=tolerance)
        np.testing.assert_allclose(found, alone, atol=1e-5, err_msg="the batch changes no score")
