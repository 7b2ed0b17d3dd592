"""Several processes under `accelerate launch`: the output of one, whoever did which part."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from bulk_files import write_rows
from tiny_models import ROOT

from stacked_emotion.inference import predict_file


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_two_processes_write_what_one_writes(
    tmp_path: Path, tiny_stack_folder: Path, sample_texts: list[str], suffix: str
) -> None:
    rows = [{"id": number, "text": text} for number, text in enumerate(sample_texts[:90])]
    rows[50]["text"] = ""
    given = write_rows(tmp_path / f"in{suffix}", rows)
    one, two = tmp_path / f"one{suffix}", tmp_path / f"two{suffix}"
    predict_file(str(tiny_stack_folder), given, one, part_rows=10, dtype="float32")
    command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file"]
    command += [str(ROOT / "recipes/accelerate/two_cpu_processes.yaml"), "--main_process_port", "0"]
    command += ["-m", "stacked_emotion.cli", "predict"]
    command += ["--model", str(tiny_stack_folder), "--input", str(given), "--output", str(two)]
    process = subprocess.run(
        [*command, "--part_rows", "10", "--dtype", "float32"],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode == 0, process.stderr[-3000:]
    assert process.stdout.count("90 rows, 89 predicted, 1 without a text") == 1
    assert two.read_bytes() == one.read_bytes()
    side = [path.with_name(f"{path.name}.problems.jsonl").read_bytes() for path in (one, two)]
    assert side[0] == side[1]
    assert len(list(tmp_path.iterdir())) == 5


def test_each_process_does_its_share(
    tmp_path: Path, tiny_stack_folder: Path, sample_texts: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Every third part, whoever comes first; what another has done already is not done again."""
    from stacked_emotion.inference.bulk import job
    from stacked_emotion.inference.bulk.processes import Processes

    rows = [{"text": text} for text in sample_texts[:70]]
    given = write_rows(tmp_path / "in.jsonl", rows)
    whole, output = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    options = {"part_rows": 10, "dtype": "float32"}
    predict_file(str(tiny_stack_folder), given, whole, **options)
    parts = tmp_path / "out.jsonl.parts"
    done: list[set[int]] = []

    class Alone(Processes):
        def wait(self) -> None:
            if parts.exists():
                done.append({int(path.stem) for path in parts.glob("0*.jsonl")})

    def stop(*_: Any) -> None:
        raise OSError("stop")

    monkeypatch.setattr(Processes, "launched", lambda: Alone(0, 3, "cpu"))
    monkeypatch.setattr(job._Job, "finish", stop)
    with pytest.raises(OSError, match="stop"):  # the first process gets no further than its share
        predict_file(str(tiny_stack_folder), given, output, **options)
    assert done[-1] == {0, 3, 6}
    monkeypatch.undo()
    for rank, expected in ((2, {0, 2, 3, 5, 6}), (1, set(range(7)))):
        monkeypatch.setattr(Processes, "launched", lambda rank=rank: Alone(rank, 3, "cpu"))
        assert predict_file(str(tiny_stack_folder), given, output, **options) is None
        assert done[-1] == expected
        assert not output.exists()
    monkeypatch.setattr(Processes, "launched", lambda: Processes(0, 1, "cpu"))
    report = predict_file(str(tiny_stack_folder), given, output, **options)
    assert report is not None
    assert output.read_bytes() == whole.read_bytes()
