"""A run says where it works, how far it is and how long the rest takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_runs import tiny_run_options

from stacked_emotion.trainer import parse_recipe, run_training
from stacked_emotion.trainer.running.progress import Remaining


def test_the_time_left_follows_the_sizes() -> None:
    left = Remaining([10, 10, 30, 50])
    assert str(left) == "1 of 4"
    left.advance(0.1, again=True)
    assert str(left) == "2 of 4", "what was finished before says nothing"
    left.advance(60.0, again=False)
    assert str(left) == "3 of 4; about 8 min left"
    left.advance(1740.0, again=False)
    assert str(left) == "4 of 4; about 38 min left"


def test_a_run_says_device_numbers_and_parts(
    finished_run: Path, tiny_encoder_folders: dict[str, Path], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    options = tiny_run_options(tiny_encoder_folders, tmp_path / "run", "--stage", "encoders")
    run_training(parse_recipe(options))
    said = capsys.readouterr().err
    device = "cuda" if torch.cuda.is_available() else "cpu"
    assert f"Training with torch {torch.__version__} on {device}" in said
    assert "Stage encoders: zeta, fold_0, 45 texts (1 of 6)." in said
    assert "Stage encoders: alpha, final, 90 texts (6 of 6; " in said
