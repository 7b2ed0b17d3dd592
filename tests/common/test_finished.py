"""Finished work: what is whole is found, what is damaged is named, nothing leaves its folder."""

from __future__ import annotations

import os
from pathlib import Path
from types import NoneType
from typing import Any

import pytest
from damage import flip_bit, forge

from stacked_emotion.common import finished
from stacked_emotion.common.errors import UserError
from stacked_emotion.common.files import file_digest, fingerprint
from stacked_emotion.common.finished import (
    NUMBER,
    OTHER_KEY,
    RECORD,
    Form,
    find,
    finish,
    finished_in,
    is_inside,
    thorough,
)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    (folder / "inner").mkdir(parents=True)
    (folder / "weights.bin").write_bytes(bytes(range(256)) * 8)
    (folder / "inner" / "نص.json").write_text('{"a": 1}')
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "half").write_text("x")
    (folder / "other.lock").write_text("x")
    finish(folder, "key", {"epoch": 3, "shares": [0.1, None]}, leave_out=("checkpoints",))
    return folder


def test_whole_work_is_found(work: Path) -> None:
    found, problem = find(work, "key")
    assert problem is None
    assert found is not None
    assert found.record == {"epoch": 3, "shares": [0.1, None]}
    assert sorted(found.files) == ["inner/نص.json", "weights.bin"]
    assert found.files["weights.bin"][2] == file_digest(work / "weights.bin")
    assert found.digest("*.bin") == fingerprint({"weights.bin": file_digest(work / "weights.bin")})
    assert found.digest() != found.digest("*.bin")
    assert find(work, None)[0] == found
    assert find(work, "another") == (None, OTHER_KEY)
    assert find(work.parent / "nowhere", "key") == (None, None)
    (work / "added later.txt").write_text("of no concern")
    assert find(work, "key")[0] == found


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("name", ["weights.bin", "inner/نص.json", RECORD])
def test_one_bit_is_found(work: Path, name: str, seed: int) -> None:
    """Even with the time of change set back, in a process that has just read the file."""
    assert find(work, "key")[0] is not None
    flip_bit(work / name, seed)
    found, problem = find(work, "key")
    assert found is None
    assert str(problem).startswith("is damaged: ")
    assert name in str(problem)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "weights.bin").unlink(), "weights.bin is missing"),
        (lambda folder: os.truncate(folder / "weights.bin", 9), "has 9 bytes instead of 2048"),
        (
            lambda folder: ((folder / "weights.bin").unlink(), (folder / "weights.bin").mkdir()),
            "weights.bin is not a file",
        ),
        (lambda folder: (folder / RECORD).write_text(""), "done.json cannot be read"),
        (lambda folder: (folder / RECORD).write_text("[" * 100_000), "done.json cannot be read"),
    ],
)
def test_other_damage_is_named(work: Path, damage: Any, said: str) -> None:
    damage(work)
    found, problem = find(work, "key")
    assert found is None
    assert said in str(problem)


@pytest.mark.parametrize(
    "entry",
    [[float("inf"), 1, "00"], [1.5, 1, "00"], ["1", 1, "00"], [1, None, "00"], [1, 1, 7], [1, 1],
     [True, 1, "00"], {}, "abc", None],
)  # fmt: skip
def test_entries_of_another_type_are_refused(work: Path, entry: Any) -> None:
    forge(work / RECORD, files={"weights.bin": entry})
    assert find(work, "key") == (None, f"is damaged: {RECORD} is not what was written")


NAMED = Form({"epoch": int, "shares": [(float, NoneType)]}, ("*.bin",))


@pytest.mark.parametrize(
    ("form", "said"),
    [
        (Form({"seconds": NUMBER}), "seconds is missing"),
        (Form({"epoch": str}), "epoch is missing or of another type"),
        (Form({"epoch": bool}), "epoch is missing"),
        (Form({"epoch": {"of": int}}), "epoch is missing"),
        (Form({"shares": [float]}), "shares.1 is missing"),
        (Form({"shares": {str: float}}), "shares is missing"),
        (Form({str: int}), "shares is missing"),
        (Form({}, ("*.safetensors",)), "no *.safetensors is listed"),
    ],
)
def test_work_of_another_form_is_damaged(work: Path, form: Form, said: str) -> None:
    assert find(work, "key", form=NAMED)[0] is not None
    found, problem = find(work, "key", form=form)
    assert found is None
    assert f"is damaged: in {RECORD}, {said}" in str(problem)
    with pytest.raises(UserError, match=r"is damaged: in done\.json.*: run it\."):
        finished_in(work, "run it.", form)


@pytest.mark.parametrize("fields", [{"epoch": True}, {"epoch": 3.0}, {"shares": ["x"]}])
def test_forged_fields_are_damage(work: Path, fields: dict[str, Any]) -> None:
    forge(work / RECORD, fields)
    assert find(work, "key")[0] is not None
    assert find(work, "key", form=NAMED)[0] is None


def test_a_pipe_in_place_of_a_record_is_not_waited_for(work: Path) -> None:
    (work / RECORD).unlink()
    os.mkfifo(work / RECORD)
    assert find(work, "key") == (None, f"is damaged: {RECORD} cannot be read")


@pytest.mark.parametrize(
    "name",
    ["../secret", "/etc/passwd", "a/../../b", "C:\\x", "\\\\host\\share", "..\\x", "", "a\0b"],
)
def test_names_that_leave_the_folder_are_refused(work: Path, name: str) -> None:
    assert not is_inside(name)
    forge(work / RECORD, files={name: [1, 1, "00"]})
    assert find(work, "key") == (None, f"is damaged: {RECORD} is not what was written")


@pytest.mark.parametrize(
    "content",
    [
        "[]", "1", "null", "{}", '{"digest": 1}', '{"digest": "x", "key": "key"}',
        '{"digest": "x", "key": "key", "record": {}, "files": {}}',
    ],
)  # fmt: skip
def test_hostile_records_are_no_traceback(work: Path, content: str) -> None:
    (work / RECORD).write_text(content)
    found, problem = find(work, "key")
    assert found is None
    assert "done.json" in str(problem)


@pytest.mark.parametrize(
    "changes",
    [
        {"files": []}, {"files": {"a": 1}}, {"files": {"a": ["x", 1, "00"]}}, {"record": 3},
        {"files": {"a": [1, 2, 3, 4]}}, {"files": None}, {"files": {"weights.bin": [-1, 0, ""]}},
    ],
)  # fmt: skip
def test_records_of_other_shapes(work: Path, changes: dict[str, Any]) -> None:
    forge(work / RECORD, **changes)
    found, problem = find(work, "key")
    assert found is None
    assert "is damaged" in str(problem)


def test_large_files_are_read_when_their_time_differs_or_on_request(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finished, "SMALL", 100)
    flip_bit(work / "weights.bin", keep_time=True)
    assert find(work, "key")[0] is not None
    with thorough():
        assert find(work, "key")[0] is None
    with thorough(False):
        assert find(work, "key")[0] is not None
    os.utime(work / "weights.bin")
    assert "weights.bin" in str(find(work, "key")[1])


def test_work_that_is_needed_but_not_there(work: Path) -> None:
    assert finished_in(work, "run it.").key == "key"
    (work / "weights.bin").unlink()
    with pytest.raises(UserError, match=r"work is damaged: weights.bin is missing: run it\."):
        finished_in(work, "run it.")
    with pytest.raises(UserError, match="holds no finished work: run it"):
        finished_in(work / "inner", "run it.")
