"""`stacked-emotion export` beside another one, and where nothing can be written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from small_disks import mounted

from stacked_emotion.cli import main
from stacked_emotion.common.locks import locked


def test_one_export_at_a_time(
    tiny_stack_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Path(shutil.copytree(tiny_stack_folder, tmp_path / "model"))
    with locked(model / ".lock", model):
        assert main(["export", str(model)]) == 2
    assert f"{model} is in use by process" in capsys.readouterr().err
    assert not (model / "onnx").exists()


@pytest.mark.slow
def test_a_full_disk(
    tiny_stack_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = sum(path.stat().st_size for path in tiny_stack_folder.rglob("*")) // 1024 + 100
    with mounted(tmp_path / "small", f"size={size}k") as disk:
        model = Path(shutil.copytree(tiny_stack_folder, disk / "model"))
        assert main(["export", str(model)]) == 2
        said = capsys.readouterr().err
        assert f"The disk of {model} is full: the work needs about" in said
        assert "Traceback" not in said
