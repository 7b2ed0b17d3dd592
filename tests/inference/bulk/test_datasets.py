"""Data sets, streamed through `datasets`: of a folder, and of a Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
import pytest
from bulk_files import read_problems, read_rows, write_rows

from stacked_emotion.common.errors import UserError
from stacked_emotion.inference import predict_file


@pytest.fixture
def rows(sample_texts: list[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {"id": number, "text": text} for number, text in enumerate(sample_texts[:40])
    ]
    rows[13]["text"] = None
    return rows


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_a_folder_is_read_like_its_files(
    tmp_path: Path, tiny_stack_folder: Path, rows: list[dict[str, Any]], suffix: str
) -> None:
    folder = tmp_path / "rows"
    folder.mkdir()
    for number, start in enumerate((0, 7, 30)):  # parts do not end where files do
        stop = (7, 30, 40)[number]
        write_rows(folder / f"train-0000{number}-of-00003{suffix}", rows[start:stop])
    whole = write_rows(tmp_path / "whole.parquet", rows)
    for target in (".parquet", ".jsonl"):
        outputs = tmp_path / f"a{target}", tmp_path / f"b{target}"
        for given, output in zip((folder, whole), outputs, strict=True):
            report = predict_file(
                str(tiny_stack_folder), given, output, part_rows=10, dtype="float32"
            )
            assert report is not None
            assert (report.rows, report.without_answer) == (40, 1)
            assert [problem["row"] for problem in read_problems(output)] == [14]
        assert read_rows(outputs[0]) == read_rows(outputs[1])
    assert [row["id"] for row in read_rows(outputs[0])] == list(range(40))


def test_splits_and_mistakes(
    tmp_path: Path, tiny_stack_folder: Path, rows: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    folder = tmp_path / "rows"
    folder.mkdir()
    write_rows(folder / "train.parquet", rows[:5])
    write_rows(folder / "test.parquet", rows[5:8])
    arguments = (str(tiny_stack_folder), folder, tmp_path / "out.jsonl")
    with pytest.raises(UserError, match="dataset_split="):
        predict_file(*arguments)
    with pytest.raises(UserError, match="did you mean 'test'"):
        predict_file(*arguments, source_options={"dataset_split": "tset"})
    predict_file(*arguments, source_options={"dataset_split": "test"})
    assert [row["id"] for row in read_rows(tmp_path / "out.jsonl")] == [5, 6, 7]
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="no such data set"):
        predict_file(str(tiny_stack_folder), "user/nowhere", tmp_path / "out2.jsonl")


def test_a_hub_data_set_at_its_commit(
    tmp_path: Path, tiny_stack_folder: Path, rows: list[dict[str, Any]], hub_server: Any
) -> None:
    """The real client uploads, a later commit changes the rows, both are streamed."""
    given = write_rows(tmp_path / "rows.parquet", rows)
    result = hub_server.run(
        tmp_path,
        """
        import datasets
        from huggingface_hub import HfApi
        from stacked_emotion.inference import predict_file
        table = datasets.Dataset.from_parquet(given["file"])
        table.push_to_hub("lab/emotions")
        first = HfApi().dataset_info("lab/emotions").sha
        table.select(range(5)).push_to_hub("lab/emotions")
        reports = []
        for revision in (first, None):
            report = predict_file(
                given["model"], "lab/emotions", f"out{len(reports)}.parquet", part_rows=10,
                dtype="float32", source_options={"dataset_revision": revision},
            )
            reports.append([report.rows, report.without_answer])
        give(reports)
        """,
        file=str(given),
        model=str(tiny_stack_folder),
    )
    assert result == [[40, 1], [5, 0]]
    local = tmp_path / "local.parquet"
    predict_file(str(tiny_stack_folder), given, local, part_rows=10, dtype="float32")
    assert parquet.read_table(tmp_path / "out0.parquet").to_pylist() == read_rows(local)
