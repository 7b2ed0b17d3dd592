"""The layers on top come out the same, bit for bit, with the encoders set aside."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cache_filling import fill_and_open
from tiny_models import LABELS, build_stack
from transformers import TrainingArguments

from stacked_emotion.trainer import LabelStatistics, StackedEmotionTrainer, build_loss
from stacked_emotion.trainer.data_collator import FeatureCollator
from stacked_emotion.trainer.features.cache import FeatureCache
from stacked_emotion.trainer.parameter_groups import top_parameter_groups, top_parameters
from stacked_emotion.trainer.stages.cached_training import encoders_aside


def trained(
    folders: dict[str, Path], cache: FeatureCache, labels: np.ndarray, aside: bool, folder: Path
) -> Any:
    model, _ = build_stack(folders)
    model.requires_grad_(False)
    for _, parameter in top_parameters(model):
        parameter.requires_grad_(True)
    with encoders_aside(model) if aside else contextlib.nullcontext():
        trainer = StackedEmotionTrainer(
            model=model,
            args=TrainingArguments(
                str(folder), max_steps=6, per_device_train_batch_size=8, learning_rate=1e-2,
                report_to="none", use_cpu=True, seed=3, disable_tqdm=True, save_strategy="no",
                remove_unused_columns=False, label_names=["labels"],
            ),
            train_dataset=cache,
            data_collator=FeatureCollator(),
            loss=build_loss("hybrid", LabelStatistics.from_labels(labels, LABELS)),
            optimizer_groups=top_parameter_groups(model, 1e-2, 50.0, 0.01),
        )  # fmt: skip
        trainer.train()
    return model


def test_training_is_the_same_and_the_model_whole_again(
    tiny_encoder_folders: dict[str, Path], sample_texts: list[str], tmp_path: Path
) -> None:
    texts = sample_texts[:40]
    labels = (np.random.default_rng(0).random((40, 3)) < 0.4).astype(np.int8)
    model, tokenizer = build_stack(tiny_encoder_folders)
    before = model.state_dict()
    layout = fill_and_open(tmp_path / "cache", model, tokenizer, texts).layout
    cache = FeatureCache(tmp_path / "cache", layout, labels)
    whole, alone = (
        trained(tiny_encoder_folders, cache, labels, aside, tmp_path) for aside in (False, True)
    )
    assert list(alone.state_dict()) == list(before)
    assert [name for name, _ in alone.named_parameters()] == [
        n for n, _ in whole.named_parameters()
    ]
    moved = 0
    for name, value in whole.state_dict().items():
        assert torch.equal(value, alone.state_dict()[name]), name
        moved += not torch.equal(value, before[name])
    assert moved > 10
    inputs = tokenizer(texts[:3], padding=True, return_tensors="pt")
    with torch.no_grad():
        assert torch.equal(whole.eval()(**inputs).logits, alone.eval()(**inputs).logits)


def test_nothing_of_the_encoders_is_left_and_all_comes_back_after_an_error(
    tiny_encoder_folders: dict[str, Path],
) -> None:
    model, _ = build_stack(tiny_encoder_folders)
    names = [name for name, _ in model.named_modules()]
    top = [name for name, _ in top_parameters(model)]

    def fail() -> None:
        with encoders_aside(model):
            assert [name for name, _ in model.named_parameters()] == top
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        fail()
    assert [name for name, _ in model.named_modules()] == names
