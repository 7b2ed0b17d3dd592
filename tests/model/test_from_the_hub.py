"""A stack by Hub ID: pushed, loaded at a commit, and offline from the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

TEXTS = ["فرحان جدا 😍", "a b c"]

PUBLISH = """
from huggingface_hub import HfApi
api = HfApi()
api.create_repo("user/stack", exist_ok=True)
first = api.upload_folder(repo_id="user/stack", folder_path=given["folder"]).oid
upload = {"repo_id": "user/stack", "path_in_repo": "note.txt", "path_or_fileobj": b"later"}
second = api.upload_file(**upload).oid
give([first, second])
"""

LOAD = """
import sys
sys.modules["stacked_emotion"] = None
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer
options = {"revision": given["revision"], "trust_remote_code": True}
tokenizer = AutoTokenizer.from_pretrained("user/stack", **options)
model = AutoModelForSequenceClassification.from_pretrained("user/stack", **options)
with torch.no_grad():
    give(model(**tokenizer(given["texts"], padding=True, return_tensors="pt")).logits.tolist())
"""


def test_by_id_and_offline(
    hub_server: Any, tiny_stack: Any, tiny_stack_folder: Path, tmp_path: Path
) -> None:
    model, tokenizer = tiny_stack
    with torch.no_grad():
        expected = model(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits.tolist()
    first, _ = hub_server.run(tmp_path, PUBLISH, folder=str(tiny_stack_folder))
    asked = {"revision": first, "texts": TEXTS}
    assert hub_server.run(tmp_path, LOAD, **asked) == expected
    before = len(hub_server.requests)
    assert hub_server.run(tmp_path, LOAD, offline=True, **asked) == expected
    assert len(hub_server.requests) == before
