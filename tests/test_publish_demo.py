"""`make publish-demo` goes through, from a finished run to the pictures."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from browser import MISSING

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=MISSING or "-")
@pytest.mark.skipif(find_spec("gradio") is None, reason="needs gradio (extra `space`)")
def test_publish_demo(finished_run: Path, tmp_path: Path) -> None:
    run = shutil.copytree(finished_run, tmp_path / "run")
    answer = subprocess.run(
        [sys.executable, "-m", "publish_demo", str(run), str(tmp_path / "out")],
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests/support")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr[-3000:]
    loaded, called = re.findall(r"(?m)^    (\w+ 0\.\d\d, .*)$", answer.stdout)[::2]
    assert loaded == called, "the pipeline and the endpoint answer the first text alike"
    for name in ("card.html", "card.png", "card_whole.png", "space.png"):
        assert (tmp_path / "out" / name).stat().st_size > 10_000
