"""Files of a run that change behind its back: found by the same command, and made again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damage import flip_bit, forge
from small_disks import grow, mounted
from tiny_runs import tiny_run_options

from stacked_emotion.common.finished import RECORD, find
from stacked_emotion.trainer.train import main

# Written anew by every call of the command, from finished work that is verified.
REWRITTEN = ("model/", "results.", "recipe.yaml", "predictions_",
             "tensorboard/", "trainer/")  # fmt: skip


def records_of(run: Path) -> list[Path]:
    return sorted(path.parent for path in run.rglob(RECORD))


def test_one_bit_of_every_file_is_found(run_copy: Path) -> None:
    """Size and time of change stay the same, and this process has read all files before."""
    covered = set()
    for folder in records_of(run_copy):
        found, problem = find(folder, None)
        assert problem is None
        assert found is not None
        for name in (*found.files, RECORD):
            path = folder / name
            covered.add(path)
            before = path.read_bytes()
            flip_bit(path)
            again, problem = find(folder, None)
            assert again is None, path
            assert name in str(problem)
            path.write_bytes(before)
    every = {path for path in run_copy.rglob("*") if path.is_file()} - covered
    left = {path.relative_to(run_copy).as_posix() for path in every if path.name != "started.txt"}
    assert not {name for name in left if not name.startswith(REWRITTEN)}
    kinds = {path.name.split("_")[0] for path in covered}
    assert {"model.safetensors", "fold", "seed", "out", "words.bin", "logits.bin"} <= kinds


DAMAGED = (
    "encoders/zeta/final/model.safetensors",
    "encoders/alpha/fold_1/config.json",
    "features/train/words.bin",
    "features/validation/logits.bin",
    "meta/fold_0.safetensors",
    "head/seed_0.safetensors",
    "head/validation.safetensors",
    "model/model.safetensors",
    "results.json",
    "predictions_validation.npz",
)


def contents(run: Path) -> dict[str, Any]:
    """Bytes of weights and scores by path, but no times and seconds."""
    kinds = (".safetensors", ".bin", ".yaml")
    found: dict[str, Any] = {
        path.relative_to(run).as_posix(): path.read_bytes()
        for path in sorted(run.rglob("*"))
        if path.suffix in kinds and not {"tensorboard", "recipe.yaml"} & set(path.parts)
    }
    with np.load(run / "predictions_validation.npz") as saved:
        return found | {name: saved[name].tobytes() for name in saved.files}


def test_damaged_parts_are_made_again(
    finished_run: Path, run_copy: Path, tiny_encoder_folders: dict[str, Path],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    for name in DAMAGED:
        flip_bit(run_copy / name)
    assert main(tiny_run_options(tiny_encoder_folders, run_copy)) == 0
    said = capsys.readouterr().err
    for name in DAMAGED[:6]:
        folder, _, file = name.rpartition("/")
        assert f"{run_copy / folder} is damaged: the bytes of {file} are not those" in said
    assert said.count("It is made again.") == 6
    assert contents(run_copy) == contents(finished_run)
    assert main(tiny_run_options(tiny_encoder_folders, run_copy, "--verify", "true")) == 0
    assert "made again" not in capsys.readouterr().err


def test_damaged_records_are_made_again(
    finished_run: Path, run_copy: Path, tiny_encoder_folders: dict[str, Path],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folders = [run_copy / name for name in ("encoders/alpha/final", "features/train", "head")]
    for folder in folders:
        flip_bit(folder / RECORD)
    assert main(tiny_run_options(tiny_encoder_folders, run_copy)) == 0
    said = capsys.readouterr().err
    for folder in folders:
        assert f"{folder} is damaged: done.json" in said
    assert contents(run_copy) == contents(finished_run)


FORGED: dict[str, dict[str, Any]] = {
    "encoders/zeta/final": {"settings": "x"},
    "encoders/alpha/fold_1": {"seconds": None},
    "encoders/alpha/final": {"source_state": []},
    "meta": {"decision": {"kind": "global"}},
    "head": {"stack_words": "yes"},
}


def test_forged_records_are_made_again(
    finished_run: Path, run_copy: Path, tiny_encoder_folders: dict[str, Path],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Their digests fit; what they say is not what a run says."""
    for name, fields in FORGED.items():
        forge(run_copy / name / RECORD, fields)
    forge(run_copy / "features/train" / RECORD, files={})
    forge(run_copy / "encoders/zeta/fold_0" / RECORD, files={"x": [float("inf"), 1, "00"]})
    assert main(tiny_run_options(tiny_encoder_folders, run_copy)) == 0
    said = capsys.readouterr().err
    for name in (*FORGED, "features/train", "encoders/zeta/fold_0"):
        assert f"{run_copy / name} is damaged: " in said
    assert contents(run_copy) == contents(finished_run)


def test_links_that_leave_the_folder_are_replaced(
    run_copy: Path, tiny_encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    """What a run writes does not go through a link that somebody left in its folder."""
    victim = tmp_path / "victim"
    victim.write_text("of others")
    for name in ("results.json", "results.md", "recipe.yaml", "predictions_validation.npz"):
        (run_copy / name).unlink()
        (run_copy / name).symlink_to(victim)
        (run_copy / f"{name}.partial").symlink_to(victim)
    (run_copy / ".lock").symlink_to(victim)
    (run_copy / "model.partial").symlink_to(tmp_path)
    flip_bit(run_copy / "model/model.safetensors")
    (run_copy / "model/thesis.txt").write_text("years of work")
    assert main(tiny_run_options(tiny_encoder_folders, run_copy)) == 0
    assert victim.read_text() == "of others"
    assert not [path for path in run_copy.rglob("*") if path.is_symlink()]
    assert (run_copy / "model/thesis.txt").read_text() == "years of work"


def test_files_of_others_are_not_removed(
    tiny_encoder_folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "encoders/zeta/fold_0/thesis.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("years of work")
    assert main(tiny_run_options(tiny_encoder_folders, tmp_path)) == 2
    assert f"{mine.parent} holds files that no run wrote" in capsys.readouterr().err
    assert mine.read_text() == "years of work"


def test_files_of_others_beside_finished_work_are_not_removed(
    run_copy: Path, tiny_encoder_folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    mine = run_copy / "head/thesis.txt"
    mine.write_text("years of work")
    options = tiny_run_options(tiny_encoder_folders, run_copy, "--head.learning_rate", "1e-4")
    assert main(options) == 2
    assert "head holds files that no run wrote ('thesis.txt')" in capsys.readouterr().err
    assert mine.read_text() == "years of work"


def test_two_commands_on_one_folder(
    run_copy: Path, tiny_encoder_folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    from stacked_emotion.common.locks import output_folder

    with output_folder(run_copy):
        assert main(tiny_run_options(tiny_encoder_folders, run_copy)) == 2
    said = capsys.readouterr().err
    assert f"{run_copy} is in use by process" in said
    assert "Traceback" not in said


def test_encoders_of_another_run_that_are_damaged(
    run_copy: Path, tiny_encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    """Where stage `encoders` does not run, the message says what to do."""
    from stacked_emotion.common.errors import UserError
    from stacked_emotion.trainer import parse_recipe
    from stacked_emotion.trainer.stages.context import RunContext
    from stacked_emotion.trainer.stages.encoders import fine_tuned_folder

    options = tiny_run_options(
        tiny_encoder_folders, tmp_path / "other", "--encoders_from", str(run_copy)
    )
    context = RunContext.load(parse_recipe(options))
    flip_bit(run_copy / "encoders/zeta/final/model.safetensors")
    with pytest.raises(UserError, match=r"final is damaged: .*run the stage encoders first"):
        fine_tuned_folder(context, "zeta", "final")
    shutil.rmtree(run_copy / "encoders/zeta/final")
    with pytest.raises(UserError, match="final holds no finished work: run the stage encoders"):
        fine_tuned_folder(context, "zeta", "final")


def test_a_full_disk_and_then_room(
    finished_run: Path, tiny_encoder_folders: dict[str, Path], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Full in stage `encoders`, then in a later one; the third command has room and resumes."""
    with mounted(tmp_path / "small", "size=800k") as disk:
        options = tiny_run_options(tiny_encoder_folders, disk / "run")
        for room in ("800k", "3m"):
            grow(disk, room)
            assert main(options) == 2
            said = capsys.readouterr().err
            (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
            assert f"The disk of {disk / 'run'}" in line
            assert "is full: the work needs about" in line
            assert "--output_dir" in line
            assert "Traceback" not in said
        grow(disk, "40m")
        assert main(options) == 0
        assert contents(disk / "run") == contents(finished_run)


def test_a_read_only_folder(
    tiny_encoder_folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with mounted(tmp_path / "fixed", "ro") as disk:
        assert main(tiny_run_options(tiny_encoder_folders, disk / "run")) == 2
        said = capsys.readouterr().err
        assert f"Nothing can be written in {disk / 'run'} (Read-only file system)" in said
        assert "another --output_dir" in said


def test_what_lies_beside_the_model_stays_while_the_model_does(
    run_copy: Path, tiny_encoder_folders: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    graph = run_copy / "model/onnx/model.onnx"
    graph.parent.mkdir()
    graph.write_text("an export")
    assert main(tiny_run_options(tiny_encoder_folders, run_copy)) == 0
    assert graph.read_text() == "an export"
    shutil.rmtree(run_copy / "model")
    (run_copy / "model").mkdir()
    (run_copy / "model" / "thesis.txt").write_text("mine")
    assert main(tiny_run_options(tiny_encoder_folders, run_copy)) == 2
    assert f"{run_copy / 'model'} holds something else" in capsys.readouterr().err
    assert (run_copy / "model" / "thesis.txt").read_text() == "mine"
