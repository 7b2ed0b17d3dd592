"""When the classes are registered with the Auto classes."""

from __future__ import annotations

import subprocess
import sys

import pytest

KNOWN = """
from transformers import AutoConfig
assert type(AutoConfig.for_model("stacked_emotion")).__name__ == "StackedEmotionConfig"
"""
LAZY = """
import sys, stacked_emotion
assert not {"torch", "transformers"} & set(sys.modules)
"""


@pytest.mark.parametrize(
    "code",
    [
        "import transformers, stacked_emotion",
        f"{LAZY}\nstacked_emotion.register()",
        f"{LAZY}\nstacked_emotion.StackedEmotionTokenizer",
        f"{LAZY}\nfrom stacked_emotion import Run",
    ],
    ids=["transformers first", "register", "public name", "front door"],
)
def test_classes_are_registered(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code + KNOWN], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_import_alone_loads_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", LAZY], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
