"""A stock Trainer under DDP: every parameter of a saved model gets a gradient from its own loss."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import build_stack

TEXTS = ["فرحان جدا 😍", "لا أعرف ماذا أفعل، خائف", "a b c", "كل سنه وانتي بخير"]
DESIGNS: list[dict[str, Any]] = [
    {},
    {"use_classifier": False},
    {"use_classifier": False, "use_meta_learner": False},
    {"use_meta_learner": False},
    {"use_lstm": False},
    {"ensemble_start": False},
    {"use_word_embeddings": False},
    {"use_word_embeddings": False, "ensemble_start": False},
    {"stacking_level": "sentence"},
]

TRAIN = """
import sys
sys.modules["stacked_emotion"] = None
import json, os
from transformers import (AutoModelForSequenceClassification, AutoTokenizer, Trainer,
                          TrainingArguments)
folder, work, texts = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
trust = {"trust_remote_code": True}
tokenizer = AutoTokenizer.from_pretrained(folder, **trust)
rows = [{**tokenizer(text), "labels": [1.0, 0.0, 0.0]} for text in texts]
losses = []
for options in ({"gradient_checkpointing": True,
                 "gradient_checkpointing_kwargs": {"use_reentrant": True}},
                {"gradient_checkpointing": True}, {"ddp_find_unused_parameters": False}):
    model = AutoModelForSequenceClassification.from_pretrained(folder, **trust)
    trainer = Trainer(model=model, processing_class=tokenizer, train_dataset=rows,
        args=TrainingArguments(output_dir=work, max_steps=3, report_to="none", use_cpu=True,
                               per_device_train_batch_size=1, ddp_backend="gloo",
                               save_strategy="no", seed=1, **options))
    losses.append(trainer.train().training_loss)
if os.environ["RANK"] == "0":
    print(json.dumps(losses))
"""


def test_two_processes_with_a_stock_trainer(
    tiny_encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    folders = {name: tiny_encoder_folders[name] for name in ("zeta", "alpha")}
    model, tokenizer = build_stack(folders)
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-c", TRAIN, str(tmp_path / "model"), str(tmp_path / "out")]
    processes = [
        subprocess.Popen(
            [*command, json.dumps(TEXTS)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, cwd=tmp_path,
            env=os.environ | {
                "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2",
                "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1",
                "HF_HOME": str(tmp_path / f"home{rank}"), "HF_HUB_OFFLINE": "1",
            },
        )
        for rank in range(2)
    ]  # fmt: skip
    answers = [process.communicate(timeout=300) for process in processes]
    for process, (_, errors) in zip(processes, answers, strict=True):
        assert process.returncode == 0, errors[-3000:]
    losses = json.loads(answers[0][0].strip().splitlines()[-1])
    assert all(0 < loss < 2 for loss in losses)


@pytest.mark.parametrize("design", DESIGNS, ids=str)
def test_every_parameter_takes_part_in_the_loss(
    design: dict[str, Any], tiny_encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    folders = {name: tiny_encoder_folders[name] for name in ("zeta", "alpha")}
    model, tokenizer = build_stack(folders, **design)
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    model.train()(**batch, labels=torch.ones(len(TEXTS), 3)).loss.backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []
    model.eval().save_pretrained(tmp_path)
    again, loading = type(model).from_pretrained(tmp_path, output_loading_info=True)
    assert not any(loading.values()), loading
    with torch.no_grad():
        assert torch.equal(again(**batch).logits, model(**batch).logits)


@pytest.mark.parametrize("alone", ["electra", "distilbert", "deberta-v2", "modernbert"])
def test_no_family_has_a_part_without_a_gradient(
    alone: str, family_folders: dict[str, Path]
) -> None:
    model, tokenizer = build_stack({"one": family_folders[alone]})
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    model.train()(**batch, labels=torch.ones(len(TEXTS), 3)).loss.backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []
