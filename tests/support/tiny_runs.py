"""One finished run on a part of the embedded sample, made once a session; copy what you change."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tiny_models import ROOT

from stacked_emotion.trainer import parse_recipe, run_training

SAMPLE = ROOT / "recipes" / "sample"


def tiny_run_options(folders: dict[str, Path], output: Path, *more: str) -> list[str]:
    """Command line of a run of seconds: two encoders, two folds, two seeds, one epoch a stage.

    Stages keep what they train, whether it gains or not.
    """
    return [
        *sample_options(90, 40),
        "--encoders", *(f"{name}={folders[name]}" for name in ("zeta", "alpha")),
        "--output_dir", str(output), "--cross_fit", "2", "--encoder_defaults.epochs", "1",
        "--encoder_defaults.learning_rate", "1e-3", "--meta.epochs", "1", "--head.epochs", "1",
        "--head_seeds", "0", "1", "--max_length", "40", "--logging_steps", "1",
        "--gain_in_errors", "-1000", *more,
    ]  # fmt: skip


def sample_options(train: int, validation: int) -> list[str]:
    """The options of a part of the bundled sample."""
    return [
        "--train_file", str(SAMPLE / "train.jsonl"), "--max_train_samples", str(train),
        "--validation_file", str(SAMPLE / "validation.jsonl"),
        "--max_validation_samples", str(validation),
    ]  # fmt: skip


def every_stage_options(encoders: dict[str, Path], output: Path, *more: str) -> list[str]:
    """Command line of a run through every stage, with several checkpoints in each."""
    return [
        *sample_options(60, 20), "--output_dir", str(output),
        "--encoders", *(f"{name}={folder}" for name, folder in encoders.items()),
        "--cross_fit", "2", "--encoder_defaults.epochs", "2",
        "--encoder_defaults.batch_size", "8", "--joint.batch_size", "8",
        "--encoder_defaults.learning_rate", "1e-3", "--encoder_defaults.save_steps", "3",
        "--joint.save_steps", "3", "--meta.epochs", "1", "--head.epochs", "2",
        "--meta.batch_size", "16", "--head.batch_size", "16", "--head_seeds", "0",
        "--max_length", "32", "--decisions", "global",
        "--stage", "encoders", "meta", "head", "joint", *more,
    ]  # fmt: skip


@pytest.fixture(scope="session")
def finished_run(
    tmp_path_factory: pytest.TempPathFactory, tiny_encoder_folders: dict[str, Path]
) -> Path:
    """Folder of a run that reported to TensorBoard; not to be written to."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    options = tiny_run_options(tiny_encoder_folders, folder, "--report_to", "tensorboard")
    run_training(parse_recipe(options))
    return folder


@pytest.fixture
def run_copy(finished_run: Path, tmp_path: Path) -> Path:
    """A copy of that run, to be changed."""
    return Path(shutil.copytree(finished_run, tmp_path / "run"))
