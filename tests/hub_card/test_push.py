"""`push_to_hub` of a model and of a trainer: transformers' own, and what goes up loads anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import LABELS, ROOT

TEXTS = ["فرحان جدا 😍", "a b c", ""]

PUSH = """
import os
import numpy as np
import torch
from transformers import TrainingArguments
from stacked_emotion import StackedEmotionForSequenceClassification, StackedEmotionTokenizer
from stacked_emotion.trainer import StackedEmotionTrainer
from stacked_emotion.trainer.data_collator import EncodedTextCollator, EncodedTexts

folder, texts = given["folder"], given["texts"]
model = StackedEmotionForSequenceClassification.from_pretrained(folder)
tokenizer = StackedEmotionTokenizer.from_pretrained(folder)
model.push_to_hub("user/model")
tokenizer.push_to_hub("user/model")
labels = np.eye(3, dtype=np.int8)
rows = EncodedTexts.from_texts(tokenizer, texts, labels)
for strategy, name in (("end", "user/end"), ("every_save", "user/every")):
    trainer = StackedEmotionTrainer(
        model=model,
        args=TrainingArguments(
            output_dir=f"out_{strategy}", report_to="none", use_cpu=True, max_steps=2,
            remove_unused_columns=False, label_names=["labels"], hub_model_id=name,
            save_strategy="steps", save_steps=1, push_to_hub=True, hub_strategy=strategy,
            hub_always_push=True,
        ),
        train_dataset=rows, data_collator=EncodedTextCollator(), processing_class=tokenizer,
        label_names=given["labels"],
    )
    trainer.train()
    if strategy == "every_save":
        trainer._finish_current_push()
    else:
        trainer.push_to_hub()
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = trainer.model.eval()(**batch).logits.tolist()
    given[name] = logits
with torch.no_grad():
    first = StackedEmotionForSequenceClassification.from_pretrained(folder)(**batch).logits.tolist()
give({"user/model": first, "user/end": given["user/end"], "user/every": given["user/every"]})
"""
READ = """
import sys
sys.modules["stacked_emotion"] = None
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
found = {}
for name in given["names"]:
    tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=True)
    model = AutoModelForSequenceClassification.from_pretrained(name, trust_remote_code=True)
    with torch.no_grad():
        batch = tokenizer(given["texts"], padding=True, return_tensors="pt")
        found[name] = model(**batch).logits.tolist()
give(found)
"""
NAMES = ["user/model", "user/end", "user/every"]


@pytest.fixture(scope="module")
def pushed(
    hub_server: Any, tiny_stack_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    work = tmp_path_factory.mktemp("pusher")
    given = {"folder": str(tiny_stack_folder), "texts": TEXTS, "labels": LABELS}
    return hub_server.run(work, PUSH, **given)


def test_what_was_pushed_loads_without_the_package(
    hub_server: Any, pushed: dict[str, Any], tmp_path: Path
) -> None:
    found = hub_server.run(tmp_path, READ, names=NAMES, texts=TEXTS)
    for name in NAMES:
        torch.testing.assert_close(
            torch.tensor(found[name]), torch.tensor(pushed[name]), atol=1e-5, rtol=0
        )
    assert found["user/end"] != found["user/model"], "it was trained"


@pytest.mark.parametrize("name", NAMES)
def test_no_more_goes_up_than_transformers_sends(
    hub_server: Any, pushed: dict[str, Any], name: str
) -> None:
    files = hub_server.files(name)
    allowed = {
        "README.md", ".gitattributes", "config.json", "model.safetensors", "tokenizer_config.json",
        "training_args.bin",
        *(file.name for file in ROOT.glob("*_stacked_emotion.py")),
        *(f"tokenizers/{encoder}/tokenizer.json" for encoder in ("zeta", "alpha", "mid")),
    }  # fmt: skip
    assert set(files) <= allowed
    assert {"config.json", "model.safetensors", "modeling_stacked_emotion.py"} <= set(files)
    assert b"/tmp/" not in files["config.json"] + files["tokenizer_config.json"]
