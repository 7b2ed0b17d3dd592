"""An ablation by two processes: each finds what the other made; the figures are those of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import tiny_run_options
from training_processes import ablate, run_ranks

ROWS = [
    "most_frequent_labels", "zeta_own_tokens", "zeta_layers_on_top", "meta", "without_bi_lstm",
    "without_cross_fitting", "bce",
]  # fmt: skip


def ablation(
    ranks: int, run: Path, encoders: dict[str, Path], folder: Path
) -> tuple[dict[str, Any], str]:
    """Its figures, and what the first process said."""
    options = tiny_run_options(
        encoders, folder / "run", "--encoders_from", str(run),
        "--meta.batch_size", str(8 // ranks), "--head.batch_size", str(8 // ranks),
        "--dropout", "0", "--encoder_dropout", "0", "--word_dropout", "0",
        "--meta.learning_rate", "1e-2", "--head.learning_rate", "1e-2",
        "--encoder_defaults.head_factor", "10", "--variants", *ROWS,  # of the recipe demo: 3
    )  # fmt: skip
    folder.mkdir()
    run_ranks(ranks, ablate, options, folder=folder)
    logs = [(folder / f"rank_{rank}.log").read_text(encoding="utf-8") for rank in range(ranks)]
    assert not [log for log in logs[1:] if "Ablation" in log]
    figures = json.loads((folder / "run/ablation.json").read_text(encoding="utf-8"))
    return figures, logs[0]


def test_two_processes_give_the_figures_of_one(
    finished_run: Path, tiny_encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    (one, _), (two, said) = (
        ablation(ranks, finished_run, tiny_encoder_folders, tmp_path / f"{ranks}")
        for ranks in (1, 2)
    )
    assert said.count("Ablation 1 of 8: stack.") == 1
    assert said.count("Stage meta: fold 1 of 2.") == 2  # the stack, and the row of one encoder
    assert set(one["systems"]) == set(two["systems"])
    for name, splits in one["systems"].items():
        for metric, entry in splits["validation"].items():
            if isinstance(entry, dict) and isinstance(entry.get("mean"), float):
                found = two["systems"][name]["validation"][metric]["mean"]
                # A score that rounds to the other side changes one of few rows.
                assert found == pytest.approx(entry["mean"], abs=2e-2), (name, metric)
    trained = 0
    for name, stages in one["training_curves"].items():
        for stage, curves in stages.items():
            ends = [
                [log[-1]["held_out_bce"] for log in outcome[name][stage]["fold_logs"]]
                for outcome in (one["training_curves"], two["training_curves"])
            ]
            assert ends[0] == pytest.approx(ends[1], abs=1e-6), (name, stage)
            starts = [log[0]["held_out_bce"] for log in curves["fold_logs"]]
            trained += starts != ends[0]
    assert trained > 5
