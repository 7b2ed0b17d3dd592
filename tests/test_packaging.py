"""A wheel, installed into an empty virtual environment, works there."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_wheel_works_in_an_empty_environment(tmp_path: Path, tiny_stack_folder: Path) -> None:
    def run(*command: str | Path) -> str:
        answer = subprocess.run(
            [str(word) for word in command],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            check=False,
        )
        assert answer.returncode == 0, answer.stderr[-3000:]
        return answer.stdout

    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "-w", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "stacked_emotion/recipes/sample/train.jsonl" in names
    assert "stacked_emotion/recipes/accelerate/ddp.yaml" in names
    assert "stacked_emotion/py.typed" in names
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv/bin/python"
    run(python, "-m", "pip", "install", "-q", "torch==2.13.0")
    run(python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", wheel)
    answer = run(
        tmp_path / "venv/bin/stacked-emotion", "predict", "--model", tiny_stack_folder, "نص"
    )
    assert '"labels"' in answer
