"""Disks that are full or read-only, for real: a small tmpfs, where tests may mount one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from small_disks import mounted

from stacked_emotion.common.disk import disk_errors
from stacked_emotion.common.errors import UserError
from stacked_emotion.common.locks import output_folder

WRITERS: dict[str, Callable[[Path], object]] = {
    "python": lambda path: path.write_bytes(bytes(1 << 21)),
    "torch": lambda path: torch.save(torch.zeros(1 << 19), path),
    "safetensors": lambda path: save_file({"a": np.zeros(1 << 19, np.float32)}, path),
    "numpy": lambda path: np.save(path, np.zeros(1 << 19, np.float32)),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_is_one_sentence(writer: str, tmp_path: Path) -> None:
    with mounted(tmp_path / "small", "size=1m") as folder:
        with (
            pytest.raises(UserError) as caught,
            disk_errors(folder, "--output_dir", 3_000_000),
        ):
            WRITERS[writer](folder / "file.npy")
        said = str(caught.value)
        assert f"The disk of {folder} is full: the work needs about 3.0 MB there" in said
        assert "MB are free there" in said
        assert "--output_dir" in said


def test_a_read_only_folder_is_one_sentence(tmp_path: Path) -> None:
    with mounted(tmp_path / "fixed", "ro") as folder:
        said = r"Nothing can be written in \S+ \(Read-only file system\).*another --output"
        for place in (folder / "new", folder):
            with pytest.raises(UserError, match=said), output_folder(place, "--output"):
                pass


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), disk_errors(tmp_path, "--output_dir"):
        (tmp_path / "none").read_text()
    with pytest.raises(UserError, match="mine"), disk_errors(tmp_path, "--output_dir"):
        raise UserError("mine")


def test_what_is_needed_is_estimated_from_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "half").write_bytes(bytes(2_000_000))
    with (
        pytest.raises(UserError, match=r"needs about 4\.0 MB"),
        disk_errors(tmp_path, "--output_dir"),
    ):
        raise RuntimeError("x") from OSError(28, "No space left on device")
