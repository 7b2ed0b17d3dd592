"""The README's Python runs as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_blocks_are_short_enough_to_read() -> None:
    assert len(BLOCKS) == 2
    assert len(BLOCKS[0].splitlines()) <= 40


@pytest.mark.parametrize("name", re.findall(r"\]\(([\w./]+)\)", README))
def test_links_lead_somewhere(name: str) -> None:
    assert (ROOT / name).exists()


def test_readme_runs(tmp_path: Path) -> None:
    code = BLOCKS[0] + BLOCKS[1] + "\nprint(len(given), int(given.sum()) > 0)\n"
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    assert re.search(r"^Jaccard 0\.\d+$", answer.stdout, re.MULTILINE)
    assert answer.stdout.strip().endswith("11 True")
    assert (tmp_path / "outputs/readme/model/modeling_stacked_emotion.py").exists()
    assert (tmp_path / "outputs/readme/results.md").exists()
