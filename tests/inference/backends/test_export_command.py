"""`stacked-emotion export` beside another one, and where nothing can be written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from small_disks import mounted

from stacked_emotion.cli import main
from stacked_emotion.common.locks import locked
from stacked_emotion.inference.model_files import ModelFiles


def test_one_export_at_a_time(
    tiny_stack_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Path(shutil.copytree(tiny_stack_folder, tmp_path / "model"))
    with locked(model / ".lock", model):
        assert main(["export", str(model)]) == 2
    assert f"{model} is in use by process" in capsys.readouterr().err
    assert not (model / "onnx").exists()


def test_labeled_texts_are_read_with_the_options_of_training(
    tiny_stack_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Path(shutil.copytree(tiny_stack_folder, tmp_path / "model"))
    labels = ModelFiles(model).decision().labels
    rows = [["نص", *labels], ["يوم جميل", *["1"] * len(labels)], ["تعبت", *["x"] * len(labels)]]
    table = tmp_path / "dev.csv"
    table.write_bytes("\n".join(";".join(row) for row in rows).encode("cp1256"))
    words = ["export", str(model), "--test_file", str(table)]
    assert main(words) == 2
    assert "--encoding" in capsys.readouterr().err
    words += ["--encoding", "cp1256", "--delimiter", ";"]
    assert main(words) == 2
    assert "--on_bad_rows skip" in capsys.readouterr().err
    with locked(model / ".lock", model):  # read, and stopped before anything is traced
        assert main([*words, "--on_bad_rows", "skip"]) == 2
    assert f"{model} is in use by process" in capsys.readouterr().err


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
