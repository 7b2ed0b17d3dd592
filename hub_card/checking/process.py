"""Runs `alone.py` in a process that can import a model's folder, but not this package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from huggingface_hub import constants

from ...common.files import read_json

_SCRIPT = Path(__file__).with_name("alone.py")


@dataclass(frozen=True)
class Loaded:
    """Where a model is, and how it is loaded.

    Attributes:
        folder: its files on this machine.
        place: what `from_pretrained` gets: the folder, or a Hub ID.
        commit: of the Hub ID; None for a folder.
        stack: it has code and decides by itself; a student is a stock model.
    """

    folder: Path
    place: str
    commit: str | None
    stack: bool

    @property
    def options(self) -> dict[str, Any]:
        """Options of `from_pretrained`."""
        options: dict[str, Any] = {"revision": self.commit} if self.commit else {}
        return options | ({"trust_remote_code": True} if self.stack else {})


@dataclass(frozen=True)
class Answers:
    """What a process measured.

    Attributes:
        steps: by step, as in `alone.Probe`; `error` where it failed.
        rows: the arrays of the step `rows`.
    """

    steps: dict[str, dict[str, Any]]
    rows: dict[str, np.ndarray]


def measured(
    model: Loaded,
    texts: Sequence[str],
    steps: Sequence[str],
    examples: Sequence[str] = (),
    rows: Sequence[str] = (),
    debug: bool = False,
) -> Answers:
    """Measure a model in a fresh process, with the network switched off.

    Its code is run: call it for a folder whose code is known, or that you trust.

    Args:
        model: the model.
        texts: texts to compare with.
        steps: methods of `alone.Probe`, `load` first.
        examples: texts of the card.
        rows: labeled texts.
        debug: print the tracebacks of steps that fail.
    """
    steps = [*steps, *(["examples"] if examples else []), *(["rows"] if rows else [])]
    with tempfile.TemporaryDirectory() as home:
        files = {"answers": f"{home}/answers.json", "rows_file": f"{home}/rows.npz"}
        given = {
            "place": model.place, "folder": str(model.folder.absolute()), "options": model.options,
            "stack": model.stack, "threads": torch.get_num_threads(), "texts": list(texts),
            "examples": list(examples), "rows": list(rows), "steps": steps, "debug": debug, **files,
        }  # fmt: skip
        ended = subprocess.run(
            [sys.executable, "-c", _SCRIPT.read_text(encoding="utf-8")],
            input=json.dumps(given), text=True, cwd=home, env=_environment(home), check=False,
            stdout=subprocess.DEVNULL, stderr=None if debug else subprocess.DEVNULL,
        )  # fmt: skip
        answers = Path(files["answers"])
        found = read_json(answers) if answers.is_file() else {}
        arrays = {}
        if Path(files["rows_file"]).is_file():
            with np.load(files["rows_file"], allow_pickle=False) as loaded:
                arrays = {name: loaded[name] for name in loaded.files}
    died = f"the process ended with code {ended.returncode} before its answer; try --debug"
    for step in steps:
        found.setdefault(step, {"error": found.get("load", {}).get("error") or died})
    return Answers(found, arrays)


def _environment(home: str) -> dict[str, str]:
    """Of the process: no network, no module that another model left behind."""
    environment = os.environ | {
        "HF_HOME": home, "HF_HUB_CACHE": str(constants.HF_HUB_CACHE), "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }  # fmt: skip
    environment.pop("HF_MODULES_CACHE", None)
    return environment
