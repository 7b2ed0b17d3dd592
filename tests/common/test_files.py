"""What is put in the place of something else: files of others stay."""

from __future__ import annotations

from pathlib import Path

import pytest

from stacked_emotion.common.errors import UserError
from stacked_emotion.common.files import discard, replace_folder, replace_text


def folder(path: Path, **files: str) -> Path:
    path.mkdir(parents=True)
    for name, text in files.items():
        (path / name).write_text(text)
    return path


def test_a_backup_of_the_user_stays(tmp_path: Path) -> None:
    backup = folder(tmp_path / "model.old", mine="a")
    discard(folder(tmp_path / "model", sign="1"))
    assert not (tmp_path / "model").exists()
    replace_folder(folder(tmp_path / "model.partial", sign="2"), tmp_path / "model", "sign")
    assert (tmp_path / "model/sign").read_text() == "2"
    assert (backup / "mine").read_text() == "a"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "model.old"]


def test_a_file_in_the_place_of_a_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("mine")
    with pytest.raises(UserError, match="is a file, not a folder of a run"):
        replace_folder(folder(tmp_path / "model.partial", sign="2"), tmp_path / "model", "sign")
    assert (tmp_path / "model").read_text() == "mine"


def test_a_folder_in_the_place_of_a_file_stays(tmp_path: Path) -> None:
    folder(tmp_path / "results.json", mine="a")
    with pytest.raises(IsADirectoryError):
        replace_text(tmp_path / "results.json", "{}")
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]
