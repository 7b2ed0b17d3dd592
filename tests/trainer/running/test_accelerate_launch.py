"""`accelerate launch` with two processes on CPUs, through every stage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file
from tiny_models import ROOT

from stacked_emotion import StackedEmotionForSequenceClassification

SAMPLE = ROOT / "recipes" / "sample"
RECIPE = """
cross_fit: 2
head_seeds: [0]
max_length: 32
decisions: [global]
stage: [encoders, meta, head, joint]
encoder_defaults: {epochs: 1, batch_size: 8, gradient_checkpointing: true}
meta: {epochs: 1, batch_size: 8}
head: {epochs: 3, batch_size: 8}
joint: {batch_size: 8, gradient_checkpointing: true}
"""


def test_two_processes_run_every_stage(
    tiny_encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    command = [
        sys.executable, "-m", "accelerate.commands.launch",
        "--config_file", str(ROOT / "recipes/accelerate/two_cpu_processes.yaml"),
        "--main_process_port", "0", "-m", "stacked_emotion.trainer.train",
        "--train_file", str(SAMPLE / "train.jsonl"),
        "--validation_file", str(SAMPLE / "validation.jsonl"),
        "--max_train_samples", "45", "--max_validation_samples", "21",
        "--encoders", f"zeta={tiny_encoder_folders['zeta']}",
        f"alpha={tiny_encoder_folders['alpha']}", "--output_dir", str(tmp_path / "run"),
        "--config", str(tmp_path / "recipe.yaml"), "--head.epochs", "1",
        "--encoders.alpha.epochs", "2",
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=500)
    assert done.returncode == 0, done.stderr[-4000:]
    said = done.stderr
    assert said.count(" on cpu, 2 processes, ") == 1
    assert said.count("Stage encoders: zeta, final, 45 texts") == 1
    assert done.stdout.count("The model is in") == 1
    results = json.loads((tmp_path / "run/results.json").read_text(encoding="utf-8"))
    assert list(results["systems"]) == ["zeta", "alpha", "average", "meta", "stack", "joint"]
    assert results["recipe"]["head"]["epochs"] == 1
    assert [results["recipe"]["encoders"][name]["epochs"] for name in ("zeta", "alpha")] == [1, 2]
    model = StackedEmotionForSequenceClassification.from_pretrained(tmp_path / "run/model")
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


@pytest.mark.parametrize("path", sorted((ROOT / "recipes/accelerate").glob("*.yaml")), ids=str)
def test_configurations_are_read_by_accelerate(path: Path) -> None:
    config = load_config_from_file(str(path))
    assert config.distributed_type in ("MULTI_GPU", "FSDP", "DEEPSPEED")
    assert config.num_processes >= 2
    assert "ried" in path.read_text(encoding="utf-8")  # what was and what was not
