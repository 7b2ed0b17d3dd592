"""Checks that a repository works alone, and that it is the one that was published."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from ..common.errors import UserError
from .hub_errors import hub_errors, hub_problem
from .repository import digest_of, list_files

TOLERANCE = 1e-4
_LOAD = """
import json, sys
sys.modules["stacked_emotion"] = None  # an import of the package fails here
import torch
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer, pipeline
folder, remote_code, threads, texts = json.loads(sys.stdin.read())
torch.set_num_threads(threads)
options = {"trust_remote_code": True} if remote_code else {}
tokenizer = AutoTokenizer.from_pretrained(folder, **options)
model = AutoModelForSequenceClassification.from_pretrained(folder, dtype="float32", **options)
AutoModel.from_pretrained(folder, dtype="float32", **options)
with torch.no_grad():
    batch = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    logits = model(**batch).logits
classify = pipeline("text-classification", model=folder, top_k=None, dtype="float32", **options)
scores = [{s["label"]: s["score"] for s in row} for row in classify(texts)]
labels = [model.config.id2label[index] for index in range(model.config.num_labels)]
found = torch.tensor([[row[label] for label in labels] for row in scores])
assert torch.allclose(found, torch.sigmoid(logits), atol=1e-4), "the pipeline gives other scores"
print(json.dumps(logits.tolist()))
"""


def check_loads(
    folder: Path, texts: Sequence[str], logits: np.ndarray, remote_code: bool = True
) -> None:
    """Load a folder in a fresh process without this package, and compare its logits.

    Args:
        folder: what is going to be published.
        texts: texts to compare with.
        logits: (texts, labels) of the model in the run.
        remote_code: load with `trust_remote_code`; a stock model must load without it.

    Raises:
        UserError: it does not load, or gives other logits.
    """
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"HF_HOME": home, "HF_HUB_OFFLINE": "1"}
        environment.pop("HF_MODULES_CACHE", None)
        given = [str(folder.resolve()), remote_code, torch.get_num_threads(), list(texts)]
        answer = subprocess.run(
            [sys.executable, "-c", _LOAD],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            cwd=home,
            env=environment,
            check=False,
        )
    if answer.returncode:
        lines = answer.stderr.strip().splitlines() or ["no message"]
        raise UserError(
            f"Nothing was published: {folder} does not load without this package: {lines[-1]} "
            "Train or save the model again with this version."
        )
    found = np.array(json.loads(answer.stdout.strip().splitlines()[-1]))
    if found.shape != logits.shape or not np.isfinite(found).all():
        raise UserError(
            f"Nothing was published: {folder} loads, but gives logits of the shape {found.shape} "
            f"that are not all finite or not {logits.shape}."
        )
    difference = float(np.abs(found - logits).max())
    if difference > TOLERANCE:
        raise UserError(
            f"Nothing was published: {folder} loads, but its logits are up to {difference:.2g} "
            "away from those of the model in the run. Save model and tokenizer again."
        )


def verify_published(repo_id: str, revision: str, digest: str, token: str | None = None) -> Path:
    """Download a repository, and refuse it if its code or weights were changed.

    A commit id alone is a promise of the host. The digest covers the files themselves. `publish`
    returns it and the card names it; keep it where the host cannot change it.

    Args:
        repo_id: the repository.
        revision: the 40-hex commit.
        digest: 64 hexadecimal digits, `Publication.digest`.
        token: for a private repository.

    Returns:
        The folder with the compared files; load from there.

    Raises:
        UserError: the repository cannot be read, or the digest is another.
    """
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(repo_id, revision=revision, token=token))
    except hub_errors() as error:
        raise hub_problem(error, repo_id, "downloading from") from error
    found = digest_of(list_files(folder))
    if found != digest.strip().lower():
        raise UserError(
            f"{repo_id} at {revision} is refused: the digest of its code and weights is {found}, "
            f"not {digest}. They were altered, or the digest is that of another version."
        )
    return folder
