"""Bit-equal logits through every door: saved, sharded, loaded without the package, saved again."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import LABELS, ROOT
from transformers import AutoModel, AutoModelForSequenceClassification

from stacked_emotion import StackedEmotionForSequenceClassification, StackedEmotionTokenizer

TEXTS = ["فرحان جدا 😍", "", "لا أعرف ماذا أفعل، خائف", "a b c"]
REMOTE_CODE = sorted(ROOT.glob("*_stacked_emotion.py"))

FRESH = """
import sys
sys.modules["stacked_emotion"] = None
import json, torch
from pathlib import Path
from transformers import (AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer,
                          Trainer, TrainingArguments, pipeline)
folder, work = map(Path, sys.argv[1:3])
texts = json.loads(sys.argv[3])
trust = {"trust_remote_code": True}
tokenizer = AutoTokenizer.from_pretrained(folder, **trust)
batch = tokenizer(texts, padding=True, return_tensors="pt")
model = AutoModelForSequenceClassification.from_pretrained(folder, **trust)
base = AutoModel.from_pretrained(folder, **trust)
with torch.no_grad():
    output, inner = model(**batch), base(**batch)
answer = {"logits": output.logits.tolist(), "meta": inner.meta_logits.tolist(),
          "width": inner.pooler_output.shape[-1], "config_width": model.config.hidden_size,
          "decisions": model.decide(output.logits).tolist()}
model.save_pretrained(work / "again")
tokenizer.save_pretrained(work / "again")
classify = pipeline("text-classification", model=str(folder), top_k=None, **trust)
answer["pipeline"] = classify(texts, batch_size=2)

# a stock Trainer fine-tunes the remote code on other labels, and saves it
config = AutoConfig.from_pretrained(folder, id2label={0: "ja", 1: "nein"}, **trust)
new = AutoModelForSequenceClassification.from_pretrained(
    folder, config=config, ignore_mismatched_sizes=True, **trust)
answer["finite"] = all(bool(p.isfinite().all()) for p in new.parameters())
rows = [{**tokenizer(text), "labels": [1.0, 0.0]} for text in texts]
trainer = Trainer(model=new, processing_class=tokenizer, train_dataset=rows, eval_dataset=rows,
    args=TrainingArguments(output_dir=str(work / "out"), max_steps=3, report_to="none",
                           per_device_train_batch_size=2, learning_rate=1e-2, use_cpu=True))
before = trainer.evaluate()["eval_loss"]
trainer.train()
answer["losses"] = [before, trainer.evaluate()["eval_loss"]]
answer["prediction_shape"] = list(trainer.predict(rows).predictions.shape)
trainer.save_model(str(work / "tuned"))
with torch.no_grad():
    answer["tuned"] = new.eval()(**batch).logits.tolist()
print(json.dumps(answer))
"""


def run_fresh(folder: Path, work: Path, home: Path) -> dict[str, Any]:
    environment = os.environ | {"HF_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    answer = subprocess.run(
        [sys.executable, "-c", FRESH, str(folder), str(work), json.dumps(TEXTS)],
        capture_output=True, text=True, check=False, env=environment, cwd=work,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr[-3000:]
    return json.loads(answer.stdout.strip().splitlines()[-1])


def logits_of(model: Any, tokenizer: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits


def test_without_the_package(tiny_stack: Any, tiny_stack_folder: Path, tmp_path: Path) -> None:
    model, tokenizer = tiny_stack
    expected = logits_of(model, tokenizer)
    answer = run_fresh(tiny_stack_folder, tmp_path, tmp_path / "home")
    assert answer["logits"] == expected.tolist()
    assert answer["width"] == answer["config_width"] == model.config.hidden_size
    assert answer["decisions"] == model.decide(expected).tolist()
    scores = [
        [{s["label"]: s["score"] for s in row}[n] for n in LABELS] for row in answer["pipeline"]
    ]
    torch.testing.assert_close(torch.tensor(scores), torch.sigmoid(expected), atol=1e-5, rtol=0)
    with torch.no_grad():
        batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
        assert answer["meta"] == model.stacked(**batch).meta_logits.tolist()
    again = StackedEmotionForSequenceClassification.from_pretrained(tmp_path / "again")
    again_tokenizer = StackedEmotionTokenizer.from_pretrained(tmp_path / "again")
    assert torch.equal(logits_of(again, again_tokenizer), expected)
    for file in REMOTE_CODE:
        assert (tmp_path / "again" / file.name).read_text() == file.read_text()

    assert answer["finite"]
    assert answer["losses"][1] < answer["losses"][0]
    assert answer["prediction_shape"] == [len(TEXTS), 2]
    tuned = StackedEmotionForSequenceClassification.from_pretrained(tmp_path / "tuned")
    assert tuned.config.label_names == ["ja", "nein"]
    assert tuned.config.thresholds is None
    assert logits_of(tuned, tokenizer).tolist() == answer["tuned"]


def test_sharded_and_single_files_are_equal(tiny_stack: Any, tmp_path: Path) -> None:
    model, tokenizer = tiny_stack
    expected = logits_of(model, tokenizer)
    model.save_pretrained(tmp_path / "one")
    model.save_pretrained(tmp_path / "many", max_shard_size="100KB")
    assert len(list((tmp_path / "many").glob("*.safetensors"))) > 1
    for folder in ("one", "many"):
        loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / folder)
        assert torch.equal(logits_of(loaded, tokenizer), expected)
        assert loaded.config.encoder_names == ["zeta", "alpha", "mid"]
    assert not list(tmp_path.rglob("*.bin"))


def test_base_and_classifier_load_from_one_another(tiny_stack: Any, tmp_path: Path) -> None:
    model, tokenizer = tiny_stack
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    model.save_pretrained(tmp_path / "classifier")
    base = AutoModel.from_pretrained(tmp_path / "classifier")
    base.save_pretrained(tmp_path / "base")
    assert set(json.loads((tmp_path / "base/config.json").read_text())["auto_map"]) == {
        "AutoConfig", "AutoModel", "AutoModelForSequenceClassification",
    }  # fmt: skip
    torch.manual_seed(0)
    fresh = AutoModelForSequenceClassification.from_pretrained(tmp_path / "base")
    with torch.no_grad():
        meta = model.stacked(**batch).meta_logits
        assert torch.equal(base(**batch).meta_logits, meta)
        assert torch.equal(fresh(**batch).logits, meta)  # the missing classifier starts at zero


def test_missing_weights_are_initialized(tiny_stack_folder: Path, tmp_path: Path) -> None:
    """Weights that are not in the checkpoint get their initial values, never stray memory."""
    from safetensors.torch import load_file, save_file

    state = load_file(tiny_stack_folder / "model.safetensors")
    kept = {name: value for name, value in state.items() if "encoder_" in name or "head_" in name}
    (tmp_path / "config.json").write_text((tiny_stack_folder / "config.json").read_text())
    save_file(kept, tmp_path / "model.safetensors", {"format": "pt"})
    model = StackedEmotionForSequenceClassification.from_pretrained(tmp_path)
    for name, parameter in model.named_parameters():
        assert parameter.isfinite().all(), name
        assert parameter.abs().max() < 10, name
    assert model.stacked.meta_learner.label_trust.abs().max() == 0
    assert model.classifier.output.weight.abs().max() == 0
    assert model.stacked.lstm.forward_lstm.weight_ih_l0.std() > 0.01


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype: torch.dtype, tiny_stack: Any, tiny_stack_folder: Path) -> None:
    model, tokenizer = tiny_stack
    half = StackedEmotionForSequenceClassification.from_pretrained(tiny_stack_folder, dtype=dtype)
    assert {parameter.dtype for parameter in half.parameters()} == {dtype}
    difference = torch.sigmoid(logits_of(half, tokenizer).float()) - torch.sigmoid(
        logits_of(model, tokenizer)
    )
    assert difference.abs().max() < 0.03


def test_damaged_weights_are_told(tiny_stack_folder: Path, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((tiny_stack_folder / name).read_bytes())
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Exception, match=r"(?i)safetensors|incomplete|metadata|file"):
        StackedEmotionForSequenceClassification.from_pretrained(tmp_path)


@pytest.mark.parametrize("file", REMOTE_CODE, ids=lambda file: file.stem)
def test_remote_code_is_flat_and_does_nothing_at_import(file: Path) -> None:
    siblings = {other.stem for other in REMOTE_CODE}
    allowed = {"torch", "transformers", "huggingface_hub", "numpy", "tokenizers"}
    allowed |= sys.stdlib_module_names
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert {alias.name.split(".")[0] for alias in node.names} <= allowed
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            assert node.level in (0, 1)
            assert module in siblings if node.level else module.split(".")[0] in allowed
    harmless = (
        ast.Import,
        ast.ImportFrom,
        ast.ClassDef,
        ast.FunctionDef,
        ast.Assign,
        ast.AnnAssign,
    )
    for node in tree.body:
        assert isinstance(node, harmless) or isinstance(getattr(node, "value", None), ast.Constant)
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            calls = [c.func for c in ast.walk(node.value) if isinstance(c, ast.Call)]
            names = {getattr(call, "attr", getattr(call, "id", "")) for call in calls}
            assert names <= {"compile", "get_logger", "tuple", "_SubConfigs", "field"}
