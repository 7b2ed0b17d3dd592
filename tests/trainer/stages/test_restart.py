"""Killed at any moment, the same command ends with the model of a run that was not killed."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from tiny_runs import every_stage_options
from training_processes import (
    kill_after,
    kill_at_file_event,
    kill_in_the_middle_of_saving,
    start,
    train,
)


def options(folders: dict[str, Path], output: Path, *more: str) -> list[str]:
    """Every part is kept, whatever it gains."""
    two = {name: folders[name] for name in ("zeta", "alpha")}
    return every_stage_options(two, output, "--gain_in_errors=-1000", *more)


def live(arguments: list[str], log: Path, *killer: Any) -> int:
    """One life of the command; its exit code, negative for the signal that ended it."""
    process = start(train, arguments, *killer, log=log, OMP_NUM_THREADS="1")
    process.join(timeout=600)
    if process.is_alive():
        process.kill()
        raise TimeoutError(log.read_text()[-3000:])
    assert process.exitcode in (0, -signal.SIGKILL), log.read_text()[-3000:]
    return int(process.exitcode)


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, tiny_encoder_folders: dict[str, Path]
) -> tuple[Path, float]:
    """The folder of a run that was not killed, and its seconds."""
    folder = tmp_path_factory.mktemp("whole")
    begin = time.monotonic()
    assert live(options(tiny_encoder_folders, folder / "run"), folder / "log.txt") == 0
    return folder / "run", time.monotonic() - begin


def assert_same(run: Path, whole: Path) -> None:
    names = sorted(path.relative_to(whole) for path in whole.rglob("*.safetensors"))
    assert names == sorted(path.relative_to(run) for path in run.rglob("*.safetensors"))
    assert len([name for name in names if name.parts[0] == "encoders"]) == 6
    for name in names:
        expected, found = load_file(whole / name), load_file(run / name)
        assert set(expected) == set(found), name
        for key, value in expected.items():
            np.testing.assert_array_equal(found[key], value, err_msg=f"{name}: {key}")
    config = (whole / "model/config.json").read_text(encoding="utf-8")
    assert (run / "model/config.json").read_text(encoding="utf-8") == config
    systems = [json.loads((f / "results.json").read_text())["systems"] for f in (run, whole)]
    assert systems[0] == systems[1]
    left = [*run.rglob("*.partial"), *run.rglob(".*.replaced"), *run.rglob("checkpoints")]
    assert not left


def kill_again_and_again(
    arguments: list[str],
    folder: Path,
    kills: int,
    killer: Callable[[int], tuple[Any, ...]],
) -> str:
    """Lives that end by SIGKILL, then one that may finish; what they said."""
    ended = 0
    for life in range(kills):
        ended += live(arguments, folder / "log.txt", *killer(life)) != 0
    assert ended == kills, f"{kills - ended} lives were over before their kill"
    assert live(arguments, folder / "log.txt") == 0
    return (folder / "log.txt").read_text(encoding="utf-8")


def test_killed_while_a_checkpoint_is_written(
    whole: tuple[Path, float], tiny_encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    """Half of a checkpoint's file, then two kills at file events of later stages."""
    arguments = options(tiny_encoder_folders, tmp_path / "run")
    killers: list[tuple[Any, ...]] = [
        (kill_in_the_middle_of_saving, 4),  # optimizer.pt of the second checkpoint
        (kill_at_file_event, 150, tmp_path / "run"),
        (kill_at_file_event, 320, tmp_path / "run"),
    ]
    said = kill_again_and_again(arguments, tmp_path, 3, lambda life: killers[life])
    assert "cannot be used: it was not finished" in said
    assert "Training resumes from" in said
    assert_same(tmp_path / "run", whole[0])


def test_another_seed_is_another_model(
    whole: tuple[Path, float], tiny_encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    """The killed runs above have the same seed as the whole one, and are equal to it."""
    arguments = options(
        tiny_encoder_folders, tmp_path / "run", "--seed", "1", "--head_seeds", "1",
        "--stage", "encoders", "meta", "head", "--cross_fit", "0", "--encoder_defaults.epochs", "1",
    )  # fmt: skip
    assert live(arguments, tmp_path / "log.txt") == 0
    first, other = (load_file(f / "model/model.safetensors") for f in (whole[0], tmp_path / "run"))
    assert set(first) == set(other)
    moved = [name for name in first if not np.array_equal(first[name], other[name])]
    assert any("encoder_zeta" in name for name in moved)
    assert any("lstm" in name for name in moved)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_twenty_kills_at_random_moments(
    seed: int,
    whole: tuple[Path, float],
    tiny_encoder_folders: dict[str, Path],
    tmp_path: Path,
) -> None:
    """By the clock (seed 0), and at random openings, renamings and removals of files (seed 1)."""
    chance = np.random.default_rng(seed)
    arguments = options(tiny_encoder_folders, tmp_path / "run")
    share = whole[1] / 8  # each life of seed 0 first loads and checks data and encoders

    def killer(life: int) -> tuple[Any, ...]:
        if seed:
            return kill_at_file_event, int(chance.integers(20, 120)), tmp_path / "run"
        return kill_after, float(chance.uniform(0.0, share)), tmp_path / "run"

    said = kill_again_and_again(arguments, tmp_path, 20, killer)
    assert "Training resumes from" in said
    assert_same(tmp_path / "run", whole[0])
