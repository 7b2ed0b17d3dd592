"""Several ranks give what one process gives, and a resumed run what a whole one gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from optimizer_steps import CASES, HYBRID, make_trainer, movement, save_all, save_resumed
from safetensors.torch import load_file
from training_processes import run_ranks

from stacked_emotion.trainer.data_collator import (
    EvenRowsSampler,
    LengthGroupedSampler,
    RowsWithMask,
)


@pytest.fixture(scope="module")
def folders(tiny_encoder_folders: dict[str, Path]) -> dict[str, str]:
    return {name: str(tiny_encoder_folders[name]) for name in ("zeta", "alpha")}


@pytest.fixture(scope="module")
def two_ranks(
    folders: dict[str, str], sample_texts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("ranks")
    run_ranks(2, save_all, folders, sample_texts[:45], folder, folder=folder)
    return folder


@pytest.mark.parametrize("case", CASES)
def test_two_ranks_move_as_one_process(
    case: str, two_ranks: Path, folders: dict[str, str], sample_texts: list[str], tmp_path: Path
) -> None:
    rows, loss = CASES[case]
    trainer = make_trainer(
        folders, sample_texts[:rows], tmp_path, loss, per_device_train_batch_size=16
    )
    alone, together = movement(trainer), load_file(two_ranks / f"{case}.safetensors")
    assert max(float(value.abs().max()) for value in alone.values()) > 1e-3
    for name, value in alone.items():
        torch.testing.assert_close(together[name], value, atol=2e-6, rtol=1e-3, msg=name)


def assert_resumed(folder: Path) -> None:
    whole, resumed = (load_file(folder / f"{name}.safetensors") for name in ("whole", "resumed"))
    stopped = load_file(folder / "stopped.safetensors")
    assert any(not torch.equal(value, stopped[name]) for name, value in whole.items())
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name


def test_two_ranks_go_on_in_the_middle_of_an_epoch(two_ranks: Path) -> None:
    assert (two_ranks / "steps.txt").read_text() == "9 5 9"
    assert_resumed(two_ranks)


def test_one_process_goes_on_in_the_middle_of_an_epoch(
    folders: dict[str, str], sample_texts: list[str], tmp_path: Path
) -> None:
    save_resumed(folders, sample_texts[:45], tmp_path, batch=16)
    assert (tmp_path / "steps.txt").read_text() == "9 5 9"
    assert_resumed(tmp_path)


def test_rows_that_fill_a_batch_are_marked() -> None:
    sampler = EvenRowsSampler(LengthGroupedSampler([3, 1, 2, 9, 5], 2, seed=1), 4)
    order = list(sampler)
    assert len(order) == len(sampler) == 8
    assert sorted(row for row in order if row >= 0) == [0, 1, 2, 3, 4]
    assert [row for row in order if row < 0] == [~row for row in order[:3]]
    sampler.set_epoch(1)
    assert list(sampler) != order
    rows: Any = RowsWithMask([{"a": 0}, {"a": 1}])
    assert rows[~1] == {"a": 1, "row_mask": False}
    assert rows[1] == {"a": 1, "row_mask": True}


def test_mixed_precision_keeps_the_loss_in_fp32(
    folders: dict[str, str], sample_texts: list[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    trainer = make_trainer(
        folders, sample_texts[:16], tmp_path, HYBRID, bf16=True, per_device_train_batch_size=16,
        learning_rate=1e-3,
    )  # fmt: skip
    seen: list[tuple[Any, ...]] = []
    contrastive: Any = trainer.emotion_loss.contrastive
    original = contrastive.components

    def watch(logits: Any, labels: Any, embedding: Any) -> Any:
        autocast = torch.is_autocast_enabled("cpu")
        parts = original(logits, labels, embedding)
        exact = original(logits.double(), labels.double(), embedding.double())
        seen.append((autocast, embedding.dtype, parts["contrastive"].item(),
                     exact["contrastive"].item()))  # fmt: skip
        return parts

    layers: list[torch.dtype] = []
    trainer.model.get_encoder("zeta").encoder.layer[0].output.dense.register_forward_hook(
        lambda module, inputs, output: layers.append(output.dtype)
    )
    monkeypatch.setattr(contrastive, "components", watch)
    moved = movement(trainer)
    assert layers == [torch.bfloat16]
    ((autocast, dtype, value, exact),) = seen
    assert (autocast, dtype) == (False, torch.float32)
    assert value == pytest.approx(exact, rel=1e-6)
    assert all(torch.isfinite(value).all() for value in moved.values())
    assert all(value.dtype == torch.float32 for value in moved.values())
