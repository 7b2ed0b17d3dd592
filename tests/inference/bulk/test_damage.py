"""Bulk prediction beside damage: changed inputs, flipped bits, files of others, full disks."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bulk_files import read_rows, write_rows
from damage import flip_bit, forge
from killed_runs import exit_code
from small_disks import grow, mounted

from stacked_emotion.cli import main
from stacked_emotion.common.errors import UserError
from stacked_emotion.common.files import fingerprint
from stacked_emotion.inference import predict_file
from stacked_emotion.inference.bulk.rows import Chunk

PART_ROWS = 8
OPTIONS = {"part_rows": PART_ROWS, "dtype": "float32"}
AFTER_TWO_PARTS = 6
"""A moment for `killed_runs`: the record of the second part is in its place."""


@pytest.fixture
def rows(sample_texts: list[str]) -> list[dict[str, Any]]:
    return [{"id": number, "text": text} for number, text in enumerate(sample_texts[:30])]


@pytest.fixture
def interrupted(
    tmp_path: Path, tiny_stack_folder: Path, rows: list[dict[str, Any]]
) -> tuple[str, Path, Path]:
    """Model, input and output of a run that was killed after two parts of four."""
    given = write_rows(tmp_path / "in.jsonl", rows)
    arguments = (str(tiny_stack_folder), given, tmp_path / "out.jsonl")
    assert exit_code(AFTER_TWO_PARTS, arguments, OPTIONS) == -9
    assert (tmp_path / "out.jsonl.parts/00000001.json").exists()
    return arguments


@pytest.fixture
def whole(tmp_path: Path, tiny_stack_folder: Path, rows: list[dict[str, Any]]) -> bytes:
    """The output of a run that nothing disturbed."""
    given, output = write_rows(tmp_path / "whole_in.jsonl", rows), tmp_path / "whole.jsonl"
    predict_file(str(tiny_stack_folder), given, output, **OPTIONS)
    return output.read_bytes()


@pytest.mark.parametrize("name", ["00000000.jsonl", "00000001.json", "00000001.problems"])
def test_a_damaged_part_is_made_again(
    name: str, interrupted: tuple[str, Path, Path], whole: bytes,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path = interrupted[2].with_name("out.jsonl.parts") / name
    if path.stat().st_size:
        flip_bit(path)
    else:
        path.write_text("x")
    predict_file(*interrupted, **OPTIONS)
    said = capsys.readouterr().err
    assert f"{path.with_suffix('.jsonl')} is damaged: " in said
    assert name in said
    assert said.startswith("Resuming: 2 parts of ")
    assert "in.jsonl: 30 rows (torch float32 on cpu)" in said
    assert interrupted[2].read_bytes() == whole


def test_an_input_that_changed_in_secret(
    interrupted: tuple[str, Path, Path], rows: list[dict[str, Any]], tiny_stack_folder: Path,
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Size and time of change stay; only the part that held the changed row is made again."""
    given, output = interrupted[1:]
    before = given.stat()
    changed = given.read_text(encoding="utf-8").replace('"id": 9,', '"id": 8,')
    given.write_text(changed, encoding="utf-8")
    os.utime(given, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert given.stat().st_size == before.st_size
    predict_file(*interrupted, **OPTIONS)
    said = capsys.readouterr().err
    assert said.count("It is made again.") == 1
    assert "00000001.jsonl was made from other rows" in said
    expected = tmp_path / "expected.jsonl"
    predict_file(str(tiny_stack_folder), given, expected, **OPTIONS)
    assert output.read_bytes() == expected.read_bytes()
    assert [row["id"] for row in read_rows(output)][8:10] == [8, 8]


def truncated(path: Path) -> None:
    path.write_text('{"format')


def no_object(path: Path) -> None:
    path.write_text("[1]")


@pytest.mark.parametrize("damage", [flip_bit, truncated, no_object])
def test_a_damaged_run_json_is_named(
    damage: Callable[[Path], None], interrupted: tuple[str, Path, Path], whole: bytes,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    model, given, output = interrupted
    run = output.with_name("out.jsonl.parts") / "run.json"
    damage(run)
    command = ["predict", "--model", model, "--input", str(given), "--output", str(output)]
    command += ["--part_rows", str(PART_ROWS), "--dtype", "float32"]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert f"{run} is damaged" in said
    assert "--overwrite" in said
    assert main([*command, "--overwrite"]) == 0
    assert output.read_bytes() == whole
    assert not run.parent.exists()


def test_another_model_of_the_same_size_and_time(
    interrupted: tuple[str, Path, Path], tmp_path: Path
) -> None:
    model = Path(shutil.copytree(interrupted[0], tmp_path / "model"))
    flip_bit(model / "model.safetensors", seed=3)
    with pytest.raises(UserError, match=r"2 parts of another run \(differing in 'model'\)"):
        predict_file(str(model), *interrupted[1:], **OPTIONS)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"code": 0}, "'code'"),
        ({"runs_on": ["cpu", "onnx", "int8"]}, "'runs_on'"),
        ({"facts": 7}, "damaged"),
        ({"tidying": ["x"]}, "damaged"),
    ],
)
def test_parts_of_other_code_or_of_another_runtime(
    change: dict[str, Any], said: str, interrupted: tuple[str, Path, Path]
) -> None:
    """They differ in the last digits; a forged record is damage, not a traceback."""
    run = interrupted[2].with_name("out.jsonl.parts") / "run.json"
    record = json.loads(run.read_text(encoding="utf-8"))["record"]
    if said == "damaged":
        forge(run, change)
    else:
        facts = record["facts"] | change
        forge(run, {"facts": facts}, key=fingerprint(facts))
    with pytest.raises(UserError, match=said):
        predict_file(*interrupted, **OPTIONS)


def test_blank_lines_are_no_rows(tmp_path: Path, tiny_stack_folder: Path) -> None:
    given, output = tmp_path / "in.jsonl", tmp_path / "out.csv"
    given.write_text("\n \n\n")
    report = predict_file(str(tiny_stack_folder), given, output, **OPTIONS)
    assert report is not None
    assert report.rows == 0
    assert len(output.read_text().splitlines()) == 1


def test_files_of_others_stay(interrupted: tuple[str, Path, Path], whole: bytes) -> None:
    parts = interrupted[2].with_name("out.jsonl.parts")
    mine = [parts / "thesis.txt", parts / "inner/notes.md", parts.with_name("out.jsonl.partial")]
    for path in mine:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    predict_file(*interrupted, **OPTIONS)
    assert interrupted[2].read_bytes() == whole
    assert [path.read_text() for path in mine] == ["mine"] * 3
    assert sorted(path.name for path in parts.iterdir()) == ["inner", "thesis.txt"]
    predict_file(*interrupted, overwrite=True, **OPTIONS)
    assert [path.read_text() for path in mine] == ["mine"] * 3


def test_what_was_there_before_stays(
    tmp_path: Path, tiny_stack_folder: Path, rows: list[dict[str, Any]]
) -> None:
    given = write_rows(tmp_path / "in.jsonl", rows)
    arguments = (str(tiny_stack_folder), given, tmp_path / "out.jsonl")
    side = tmp_path / "out.jsonl.problems.jsonl"
    side.write_text("mine")
    with pytest.raises(UserError, match=r"problems\.jsonl exists"):
        predict_file(*arguments, **OPTIONS)
    assert side.read_text() == "mine"
    side.write_text('{"problem": "the text is empty", "row": 3}\n')
    predict_file(*arguments, **OPTIONS)  # left over from an output that was removed
    assert not side.exists()
    arguments[2].unlink()
    mine = tmp_path / "out.jsonl.parts/00000000.jsonl"
    mine.parent.mkdir()
    mine.write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(UserError, match=r"no run\.json"):
            predict_file(*arguments, overwrite=overwrite, **OPTIONS)
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("target", [".csv", ".tsv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("source", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_no_rows_give_no_rows(
    source: str, target: str, tmp_path: Path, tiny_stack_folder: Path,
    rows: list[dict[str, Any]], capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    given = write_rows(tmp_path / f"in{source}", rows[:1])
    if source == ".parquet":
        import pyarrow.parquet as parquet

        parquet.write_table(parquet.read_table(given).slice(0, 0), given)
    else:
        header = given.read_bytes().splitlines(keepends=True)[:1]
        given.write_bytes(b"" if source == ".jsonl" else header[0])
    output = tmp_path / f"out{target}"
    command = ["predict", "--model", str(tiny_stack_folder), "--input", str(given)]
    assert main([*command, "--output", str(output)]) == 0
    assert "0 rows, 0 predicted" in capsys.readouterr().out
    if target in (".csv", ".tsv"):
        (header_line,) = output.read_text().splitlines()
        names = header_line.split("," if target == ".csv" else "\t")
        assert names[: names.index("labels")] == (["id", "text"] if source != ".jsonl" else [])
    else:
        assert read_rows(output) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([given.name, output.name])


def test_the_digest_of_rows_tells_them_apart() -> None:
    import pyarrow

    from stacked_emotion.inference.bulk.rows import JsonRows, Problem, TableRows

    def table(*texts: Any) -> TableRows:
        return TableRows(pyarrow.table({"text": pyarrow.array(texts, pyarrow.string())}))

    whole = table("a", "b", None, "d").table
    chunks = [
        Chunk(0, 0, table("b", None)),
        Chunk(0, 0, table("b", "")),
        Chunk(0, 2, table("b", None)),
        Chunk(0, 0, JsonRows(["{}"], [{}])),
        Chunk(0, 0, table("b", None), [Problem("bad", line=3)]),
        Chunk(0, 0, table("b", None), lines=[2, 3]),
    ]
    assert len({chunk.digest() for chunk in chunks}) == len(chunks)
    assert Chunk(0, 0, TableRows(whole.slice(1, 2))).digest() == chunks[0].digest()


def test_two_at_once(interrupted: tuple[str, Path, Path], whole: bytes) -> None:
    from stacked_emotion.common.locks import locked

    output = interrupted[2]
    lock = output.with_name(".out.jsonl.lock")
    with (
        locked(lock, output, "--output"),
        pytest.raises(
            UserError, match=rf"{output} is in use by process {os.getpid()} .*output_file="
        ),
    ):
        predict_file(*interrupted, **OPTIONS)
    predict_file(*interrupted, **OPTIONS)
    assert output.read_bytes() == whole
    assert not lock.exists()


def test_a_full_disk_and_then_room(
    tmp_path: Path, tiny_stack_folder: Path, rows: list[dict[str, Any]]
) -> None:
    long = [row | {"more": os.urandom(4000).hex()} for row in rows]
    given = write_rows(tmp_path / "in.jsonl", long)
    whole = tmp_path / "whole.jsonl"
    predict_file(str(tiny_stack_folder), given, whole, **OPTIONS)
    with mounted(tmp_path / "small", "size=250k") as folder:
        arguments = (str(tiny_stack_folder), given, folder / "out.jsonl")
        with pytest.raises(UserError, match=rf"The disk of {folder} is full: .*output_file=\."):
            predict_file(*arguments, **OPTIONS)
        assert not (folder / "out.jsonl").exists()
        kept = len(list((folder / "out.jsonl.parts").glob("*[0-9].json")))
        assert kept >= 1
        grow(folder, "4m")
        predict_file(*arguments, **OPTIONS)
        assert (folder / "out.jsonl").read_bytes() == whole.read_bytes()


def test_a_read_only_folder(
    tmp_path: Path, tiny_stack_folder: Path, rows: list[dict[str, Any]]
) -> None:
    given = write_rows(tmp_path / "in.jsonl", rows[:3])
    with (
        mounted(tmp_path / "fixed", "ro") as folder,
        pytest.raises(
            UserError, match=rf"Nothing can be written in {folder}.*another output_file=\."
        ),
    ):
        predict_file(str(tiny_stack_folder), given, folder / "out.jsonl", **OPTIONS)
