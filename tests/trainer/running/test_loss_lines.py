"""What a training prints: a line now and then, or what the user asks of the `Trainer`."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from transformers import Trainer, TrainingArguments

from stacked_emotion.trainer.running import progress
from stacked_emotion.trainer.training_sections import Optimization


class Line(nn.Module):
    """One weight, and a loss of it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": (self.weight * x).square().mean()}


def trained(
    folder: Path, logging_steps: int | None = None, /, **given: Any
) -> tuple[list[dict[str, Any]], int]:
    rows = [{"x": torch.ones(1)} for _ in range(12)]
    arguments = TrainingArguments(
        str(folder), num_train_epochs=2, per_device_train_batch_size=2, use_cpu=True,
        report_to="none", save_strategy="no",
        **({"logging_steps": logging_steps or 2} | given),
    )  # fmt: skip
    trainer = Trainer(Line(), arguments, train_dataset=rows)  # type: ignore[arg-type]
    settings = Optimization(training_arguments=given)
    progress.show_loss(trainer, settings, logging_steps)
    trainer.train()
    return trainer.state.log_history, len([e for e in trainer.state.log_history if "loss" in e])


def test_one_line_at_the_end_and_every_log_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    history, logs = trained(tmp_path)
    said = capsys.readouterr()
    assert logs == 6
    assert "{" not in said.out
    (line,) = [one for one in said.err.splitlines() if "loss" in one]
    first, last = history[0]["loss"], history[-2]["loss"]
    assert line.startswith("  12 steps in ")
    assert line.endswith(f"loss {last:.4f}, at first {first:.4f}")


def test_a_long_training_says_how_far_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_LINE_SECONDS", 0.0)
    history, _ = trained(tmp_path)
    lines = [one for one in capsys.readouterr().err.splitlines() if " epoch " in one]
    assert len(lines) == 6
    assert lines[0] == f"  epoch 0.3 of 2: loss {history[0]['loss']:.4f}"


@pytest.mark.parametrize(
    ("logging_steps", "given"),
    [(3, {}), (None, {"logging_steps": 3}), (None, {"disable_tqdm": True})],
)
def test_the_options_of_the_trainer_work(
    logging_steps: int | None, given: dict[str, Any], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    _, logs = trained(tmp_path, logging_steps, **given)
    said = capsys.readouterr().out
    assert said.count("{'loss'") == logs == (6 if "disable_tqdm" in given else 4)


def test_parts_are_shown_where_there_are_several(capsys: pytest.CaptureFixture[str]) -> None:
    for losses, shown in (
        ({"loss": 0.5, "loss_bce": 0.5}, "loss 0.5000, at first 0.5000"),
        ({"loss": 0.5, "loss_bce": 0.4, "loss_consistency": 0.1},
         "loss 0.5000 (bce 0.4000, consistency 0.1000), at first 0.5000"),
    ):  # fmt: skip
        lines = progress.LossLines()
        lines.on_log(None, None, None, logs={"grad_norm": 1.0} | losses)
        lines.on_train_end(None, SimpleNamespace(global_step=1), None)
        assert shown in capsys.readouterr().err
