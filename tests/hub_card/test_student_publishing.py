"""A stack and its student, published over the wire and used by somebody without the package."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import LABELS
from transformers import AutoModelForSequenceClassification, AutoTokenizer

TEXTS = ["فرحان جدا 😍", "لا أعرف ماذا أفعل، خائف", "a b c"]

PUBLISH = """
from stacked_emotion.hub_card import publish, verify_published

options = {"license": "cc-by-nc-4.0", "languages": ["ar"], "plots": False, "examples": ["فرحان"]}
student = publish(given["student"], "user/mini", teacher="user/emotions", **options)
stack = publish(given["stack"], "user/emotions", student="user/mini", **options)
folder = verify_published("user/mini", student.commit, student.digest)
give({"student": student.commit, "stack": stack.commit, "verified": folder.name})
"""
READ = """
import sys
sys.modules["stacked_emotion"] = None
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

at = {"revision": given["commit"]}
model = AutoModelForSequenceClassification.from_pretrained("user/mini", **at)
tokenizer = AutoTokenizer.from_pretrained("user/mini", **at)
classify = pipeline("text-classification", model="user/mini", top_k=None, **at)
found = {"class": type(model).__module__, "problem": model.config.problem_type}
found["scores"] = [{s["label"]: s["score"] for s in row} for row in classify(given["texts"])]
found["remote code"] = sorted(name for name in sys.modules if "transformers_modules" in name)
give(found)
"""


@pytest.fixture(scope="module")
def published(
    hub_server: Any,
    run_folder: Path,
    student_run_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    work = tmp_path_factory.mktemp("publisher")
    stack = shutil.copytree(run_folder, work / "arabic")
    student = shutil.copytree(student_run_folder, work / "student")
    return hub_server.run(work, PUBLISH, stack=str(stack), student=str(student))


def test_each_card_links_the_other(hub_server: Any, published: dict[str, Any]) -> None:
    files = hub_server.files("user/mini", published["student"])
    metadata, card = files["README.md"].decode().split("---", 2)[1:]
    assert "- user/emotions\n" in metadata.partition("base_model:")[2]
    assert "text:" in metadata.partition("widget:")[2], "the live widget has texts to try"
    assert "user/emotions" in card
    stack = hub_server.files("user/emotions", published["stack"])["README.md"].decode()
    assert "user/mini" in stack.split("---", 2)[2]
    assert published["verified"] == published["student"]
    assert not [name for name in files if name.endswith((".py", ".bin", ".pkl"))]


def test_stock_classes_load_it_without_trust(
    hub_server: Any, published: dict[str, Any], student_run_folder: Path, tmp_path: Path
) -> None:
    found = hub_server.run(tmp_path, READ, commit=published["student"], texts=TEXTS)
    assert found["class"] == "transformers.models.bert.modeling_bert"
    assert found["problem"] == "multi_label_classification"
    assert found["remote code"] == []
    folder = student_run_folder / "model"
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    batch = AutoTokenizer.from_pretrained(folder)(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = torch.sigmoid(model(**batch).logits)
    scores = torch.tensor([[row[label] for label in LABELS] for row in found["scores"]])
    torch.testing.assert_close(scores, expected, atol=1e-5, rtol=0)
