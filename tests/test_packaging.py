"""A wheel works in an empty environment, and what `setup.py` promises is what is tested."""

from __future__ import annotations

import re
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


def test_lowest_versions_are_those_that_are_tested() -> None:
    """`make test-lowest` installs `constraints-lowest.txt`; 2.13 stands for 2.13.0."""
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    required = setup.partition("install_requires=[")[2].partition("]")[0]
    promised = dict(re.findall(r'"([\w-]+)>=([\d.]+)"', required))
    lines = (ROOT / "constraints-lowest.txt").read_text(encoding="utf-8").splitlines()
    tested = dict(line.split("==") for line in lines if "==" in line)
    assert promised.keys() == tested.keys()
    for name, version in promised.items():
        assert tested[name] == version or tested[name].removesuffix(".0") == version, name
