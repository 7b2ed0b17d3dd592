"""The README's Python runs as it stands there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PREDICT, TRAIN = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_blocks_are_short_enough_to_read() -> None:
    assert len(PREDICT.splitlines()) <= 10
    assert len(TRAIN.splitlines()) <= 40


def test_readme_runs(tmp_path: Path) -> None:
    trained = _run(TRAIN + "\nprint(len(run.results['labels']))\n", tmp_path)
    assert re.search(r"^ +stack +0\.\d+", trained, re.MULTILINE), trained
    assert trained.endswith("11\n")
    made = tmp_path / "outputs/readme"
    assert (made / "model/modeling_stacked_emotion.py").exists()
    assert (made / "results.md").exists()
    assert (made / "repository/README.md").exists()  # what `publish` gathers

    shutil.copytree(made / "model", tmp_path / "outputs/demo/model")
    answers = _run(PREDICT, tmp_path).splitlines()
    assert len(answers) == 2
    assert all(re.fullmatch(r"\[(\('\w+', [01]\.\d+\)(, )?)*\]", line) for line in answers), answers


def _run(code: str, folder: Path) -> str:
    """What the code prints, in a fresh process."""
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    return answer.stdout
