"""A run killed at any moment goes on: nothing is repeated, lost or overwritten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bulk_files import write_rows
from damage import flip_bit
from killed_runs import exit_code

from stacked_emotion.common.errors import UserError
from stacked_emotion.inference import StackedEmotionPredictor, predict_file

PART_ROWS = 8


@pytest.fixture
def rows(sample_texts: list[str]) -> list[dict[str, Any]]:
    rows = [{"id": number, "text": text} for number, text in enumerate(sample_texts[:30])]
    rows[9]["text"] = " "
    return rows


@pytest.mark.parametrize(
    ("suffix", "moments"),
    # each step has a moment before and after it: run.json, 1 and 2; the records of parts, 3 to 10;
    # side file, 11 and 12; output, 13 and 14; run.json says that only tidying up is left, 15 and
    # 16; the folder of parts emptied, from 17
    [(".jsonl", [2, 5, 6, 10, 13, 14, 16, 19]), (".parquet", [7])],
)
def test_killed_at_any_step(
    tmp_path: Path, tiny_stack_folder: Path, rows: list[dict[str, Any]], suffix: str,
    moments: list[int], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    given = write_rows(tmp_path / "in.jsonl", rows)
    options = {"part_rows": PART_ROWS, "dtype": "float32"}
    whole = tmp_path / f"whole{suffix}"
    predict_file(str(tiny_stack_folder), given, whole, **options)
    whole_problems = whole.with_name(f"{whole.name}.problems.jsonl").read_bytes()

    predicted: list[int] = []
    original = StackedEmotionPredictor.score

    def counting(self: Any, texts: Any, *more: Any, **named: Any) -> Any:
        predicted.append(len(texts))
        return original(self, texts, *more, **named)

    monkeypatch.setattr(StackedEmotionPredictor, "score", counting)
    for moment in moments:
        output = tmp_path / f"out{moment}{suffix}"
        arguments = (str(tiny_stack_folder), given, output)
        assert exit_code(moment, arguments, options) == -9
        assert output.exists() == (moment >= 14)
        kept = min(4, (moment - 2) // 2)
        predicted.clear()
        report = predict_file(*arguments, **options)
        assert len(predicted) == 4 - kept, f"moment {moment}"
        assert (report is None) == (moment >= 16)  # nothing but tidying up was left
        assert output.read_bytes() == whole.read_bytes()
        side = output.with_name(f"{output.name}.problems.jsonl")
        assert side.read_bytes() == whole_problems
        assert not list(tmp_path.glob("*.parts*"))
        assert not list(tmp_path.glob("*.partial"))


def test_what_is_there_is_not_overwritten(
    tmp_path: Path, tiny_stack_folder: Path, rows: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    given = write_rows(tmp_path / "in.csv", rows)
    output = tmp_path / "out.csv"
    arguments = (str(tiny_stack_folder), given, output)
    output.write_text("mine")
    with pytest.raises(UserError, match="overwrite=True"):
        predict_file(*arguments)
    assert output.read_text() == "mine"
    output.unlink()

    calls = 0
    original = StackedEmotionPredictor.score

    def failing(self: Any, texts: Any, *more: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return original(self, texts, *more, **options)

    monkeypatch.setattr(StackedEmotionPredictor, "score", failing)
    with pytest.raises(KeyboardInterrupt):
        predict_file(*arguments, part_rows=PART_ROWS)
    told = rf"2 parts of another run \(differing in 'part_rows': {PART_ROWS} there\)"
    with pytest.raises(UserError, match=told):
        predict_file(*arguments, part_rows=PART_ROWS + 1)
    with pytest.raises(UserError, match=r"differing in 'runs_on', 'backend', 'dtype'"):
        predict_file(*arguments, part_rows=PART_ROWS, dtype="bfloat16", backend="torch")
    rows[0]["text"] = "changed"
    write_rows(given, rows)
    with pytest.raises(UserError, match=r"differing in 'input'"):
        predict_file(*arguments, part_rows=PART_ROWS)
    report = predict_file(*arguments, part_rows=PART_ROWS, overwrite=True)
    assert report is not None
    assert report.rows == 30
    assert calls == 3 + 4


def test_an_output_that_is_damaged_before_all_is_tidied_up_is_noticed(
    tmp_path: Path, tiny_stack_folder: Path, rows: list[dict[str, Any]]
) -> None:
    given, output = write_rows(tmp_path / "in.jsonl", rows), tmp_path / "out.csv"
    arguments = (str(tiny_stack_folder), given, output)
    options = {"part_rows": PART_ROWS, "dtype": "float32"}
    assert exit_code(19, arguments, options) == -9
    whole = output.read_bytes()
    flip_bit(output)
    with pytest.raises(UserError, match=r"out\.csv or .* is not as this run wrote it.*overwrite="):
        predict_file(*arguments, **options)
    predict_file(*arguments, **options, overwrite=True)
    assert output.read_bytes() == whole
    assert not list(tmp_path.glob("*.parts*"))
