"""What is going to be published has to load alone; its code does nothing but compute."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stacked_emotion.common.errors import UserError
from stacked_emotion.hub_card import RunRecord
from stacked_emotion.hub_card.repository import gather
from stacked_emotion.hub_card.run_model import RunModel
from stacked_emotion.hub_card.verification import check_loads

TEXTS = ["فرحان جدا 😍", "a b c"]


@pytest.fixture
def repository(run_folder: Path, tmp_path: Path) -> tuple[Path, np.ndarray]:
    record = RunRecord.from_folder(run_folder)
    gather(record, tmp_path / "repository")
    return tmp_path / "repository", RunModel.load(record).logits(TEXTS)


def test_other_logits_are_refused(repository: tuple[Path, np.ndarray]) -> None:
    folder, logits = repository
    with pytest.raises(UserError, match="away from those of the model"):
        check_loads(folder, TEXTS, logits + 0.01)


@pytest.mark.slow
def test_missing_code_is_refused(repository: tuple[Path, np.ndarray]) -> None:
    folder, logits = repository
    (folder / "layers_stacked_emotion.py").unlink()
    with pytest.raises(UserError, match=r"(?s)does not load.*layers_stacked_emotion"):
        check_loads(folder, TEXTS, logits)


@pytest.mark.slow
def test_a_student_loads_without_remote_code(student_run_folder: Path, tmp_path: Path) -> None:
    record = RunRecord.from_folder(student_run_folder)
    gather(record, tmp_path / "repository")
    logits = RunModel.load(record).logits(TEXTS)
    check_loads(tmp_path / "repository", TEXTS, logits, remote_code=False)
    with pytest.raises(UserError, match="away from those of the model"):
        check_loads(tmp_path / "repository", TEXTS, -logits, remote_code=False)


AUDIT = """
import importlib, os, socket, sys, types, warnings
folder = sys.argv[1]
sys.modules["stacked_emotion"] = None
import torch, transformers, tokenizers, numpy
from transformers import PreTrainedTokenizerBase, AutoTokenizer, AutoModelForSequenceClassification
from transformers import MODEL_MAPPING, CONFIG_MAPPING
for kind in ("bert", "xlm-roberta", "modernbert"):  # their modules are loaded lazily
    MODEL_MAPPING[CONFIG_MAPPING[kind]]
package = types.ModuleType("remote"); package.__path__ = [folder]; sys.modules["remote"] = package
seen, armed = [], False
refused = ("socket.", "subprocess.", "os.", "shutil.", "urllib.", "ctypes.", "tempfile.", "exec_")
def audit(event, arguments):
    if not armed:
        return
    if event == "open":
        path, mode = str(arguments[0]), arguments[1]
        reading = mode is None or not set(str(mode)) & set("wax+")
        code = path.endswith((".py", ".pyc")) or "/lib/python" in path
        if not (reading and code):
            seen.append((event, path, mode))
    elif event.startswith(refused) and event not in ("os.listdir", "os.scandir", "os.putenv"):
        seen.append((event, repr(arguments)[:80]))
sys.addaudithook(audit)
sys.dont_write_bytecode = True
state = lambda: (dict(os.environ), list(sys.path), list(warnings.filters),
                 torch.get_num_threads(), torch.get_default_dtype(), torch.initial_seed(),
                 torch.is_grad_enabled())
before, random = state(), torch.get_rng_state()
armed = True
for name in ("configuration", "modeling", "tokenization"):
    importlib.import_module(f"remote.{name}_stacked_emotion")
armed = False
assert state() == before and torch.equal(random, torch.get_rng_state()), "import changed a setting"
from remote.modeling_stacked_emotion import StackedEmotionForSequenceClassification
from remote.tokenization_stacked_emotion import StackedEmotionTokenizer
tokenizer = StackedEmotionTokenizer.from_pretrained(folder)
model = StackedEmotionForSequenceClassification.from_pretrained(folder)
def run():
    batch = tokenizer(["a b", "c"], padding=True, return_tensors="pt")
    return model.decide(model(**batch).logits)
run()  # what torch loads at its first call
armed = True
run()
armed = False
armed = True
open(os.devnull, "w").close()  # so that an audit which sees nothing at all is noticed
armed = False
print(seen)
"""


def test_remote_code_touches_neither_network_nor_files(
    repository: tuple[Path, np.ndarray],
) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", AUDIT, str(repository[0])],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr[-2000:]
    assert answer.stdout.strip() == f"[('open', '{os.devnull}', 'w')]"
