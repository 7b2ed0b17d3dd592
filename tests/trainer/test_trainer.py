"""The trainer: equal to the stock one with plain BCE; accumulation, parts and best state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import LABELS, build_stack
from transformers import Trainer, TrainingArguments

from stacked_emotion.trainer import LabelStatistics, StackedEmotionTrainer, build_loss
from stacked_emotion.trainer.data_collator import (
    EncodedTextCollator,
    EncodedTexts,
    LengthGroupedSampler,
)
from stacked_emotion.trainer.stages.context import tokenizer_of_one


@pytest.fixture(scope="module")
def data(tiny_stack: Any, sample_texts: list[str]) -> EncodedTexts:
    labels = (np.random.default_rng(0).random((64, 3)) < [0.5, 0.3, 0.1]).astype(np.int8)
    return EncodedTexts.from_texts(tiny_stack[1], sample_texts[:64], labels)


def fresh(folders: dict[str, Path], dropout: float = 0.1) -> Any:
    two = {name: folders[name] for name in ("zeta", "alpha")}
    model, _ = build_stack(two, dropout=dropout, encoder_dropout=0.0, word_dropout=0.0)
    if not dropout:
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        for name in ("zeta", "alpha"):
            model.get_encoder(name).config.attention_probs_dropout_prob = 0.0
    return model


def two_encoders(data: EncodedTexts) -> EncodedTexts:
    cut = {key: values[:, :2] for key, values in data.encodings.items()}
    return EncodedTexts(cut, data.starts, data.labels, texts=data.texts)


def arguments(folder: Path, **options: Any) -> TrainingArguments:
    values = {
        "output_dir": str(folder), "report_to": "none", "use_cpu": True, "seed": 3,
        "per_device_train_batch_size": 4, "learning_rate": 1e-3, "disable_tqdm": True,
        "remove_unused_columns": False, "label_names": ["labels"], "save_strategy": "no",
    }  # fmt: skip
    return TrainingArguments(**(values | options))


def statistics(data: EncodedTexts) -> LabelStatistics:
    return LabelStatistics.from_labels(data.labels, LABELS)


@pytest.mark.parametrize("named_loss", [False, True])
def test_plain_bce_equals_the_stock_trainer(
    named_loss: bool, data: EncodedTexts, tiny_encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    rows = two_encoders(data)
    states = []
    for kind in (Trainer, StackedEmotionTrainer):
        options: dict[str, Any] = {}
        if kind is StackedEmotionTrainer and named_loss:
            options["loss"] = build_loss("bce", statistics(data))
        trainer = kind(
            model=fresh(tiny_encoder_folders),
            args=arguments(tmp_path, max_steps=20),
            train_dataset=rows,
            data_collator=EncodedTextCollator(),
            **options,
        )
        trainer.train()
        states.append(trainer.model.state_dict())
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name


def gradients(
    folders: dict[str, Path], data: EncodedTexts, folder: Path, loss: Any, **options: Any
) -> dict[str, torch.Tensor]:
    trainer = StackedEmotionTrainer(
        model=fresh(folders, dropout=0.0),
        args=arguments(folder, max_steps=1, max_grad_norm=0.0, optim="sgd", learning_rate=1.0,
                       lr_scheduler_type="constant", **options),
        train_dataset=two_encoders(data.select(range(32))),
        data_collator=EncodedTextCollator(),
        loss=loss,
    )  # fmt: skip
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.train()
    return {name: before[name] - value for name, value in trainer.model.state_dict().items()}


def test_accumulation_gives_the_same_gradient(
    data: EncodedTexts, tiny_encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    loss = build_loss("hybrid", statistics(data), contrastive_weight=0.0)
    whole = gradients(tiny_encoder_folders, data, tmp_path, loss, per_device_train_batch_size=32)
    parts = gradients(
        tiny_encoder_folders, data, tmp_path, loss,
        per_device_train_batch_size=8, gradient_accumulation_steps=4,
    )  # fmt: skip
    assert max(float(value.abs().max()) for value in whole.values()) > 1e-3
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, atol=2e-6, rtol=1e-3)


def test_parts_are_logged_and_the_best_state_is_kept(
    data: EncodedTexts, tiny_encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    rows = two_encoders(data)
    trainer = StackedEmotionTrainer(
        model=fresh(tiny_encoder_folders),
        args=arguments(
            tmp_path, num_train_epochs=2, logging_steps=4, eval_strategy="epoch",
            save_strategy="epoch", load_best_model_at_end=True, metric_for_best_model="jaccard",
        ),
        train_dataset=rows,
        eval_dataset=rows,
        data_collator=EncodedTextCollator(),
        loss=build_loss("hybrid", statistics(data), contrastive_weight=0.1),
        label_names=LABELS,
    )  # fmt: skip
    trainer.train()
    logs = [entry for entry in trainer.state.log_history if "loss_bce" in entry]
    assert logs
    for entry in logs:
        parts = entry["loss_bce"] + entry["loss_correlation"] + entry["loss_contrastive"]
        assert parts == pytest.approx(entry["loss"], rel=2e-3)
    scores = [e["eval_jaccard"] for e in trainer.state.log_history if "eval_jaccard" in e]
    assert trainer.state.best_metric == max(scores)
    assert trainer.evaluate()["eval_jaccard"] == pytest.approx(max(scores))
    assert "eval_f1_joy" in trainer.evaluate()


def test_logits_stay_log_odds_under_class_weights(
    data: EncodedTexts, tiny_encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    loss = build_loss("weighted_bce", statistics(data), class_weights="inverse")
    trainer = StackedEmotionTrainer(
        model=fresh(tiny_encoder_folders), args=arguments(tmp_path), loss=loss
    )
    logits = torch.logit(torch.tensor(statistics(data).prevalence)).float().expand(64, 3)
    logits = logits.clone().requires_grad_(True)

    class Constant(torch.nn.Module):
        def forward(self, **_: Any) -> dict[str, torch.Tensor]:
            return {"logits": logits}

    total = trainer.compute_loss(Constant(), {"labels": torch.tensor(data.labels)})
    (gradient,) = torch.autograd.grad(total, logits)
    assert gradient.sum(0).abs().max() < 1e-6  # the prevalence is the best constant


def test_length_grouped_sampler() -> None:
    lengths = np.random.default_rng(0).integers(3, 60, size=333).tolist()
    sampler = LengthGroupedSampler(lengths, batch_size=8, seed=1)
    first = list(sampler)
    assert sorted(first) == list(range(333))
    assert list(sampler) == first
    sampler.set_epoch(1)
    assert list(sampler) != first
    assert list(LengthGroupedSampler(lengths, 8, seed=2)) != first

    def waste(order: list[int]) -> int:
        batches = [order[start : start + 8] for start in range(0, 333, 8)]
        return sum(
            max(lengths[i] for i in b) * len(b) - sum(lengths[i] for i in b) for b in batches
        )

    assert waste(first) < 0.3 * waste(list(range(333)))


def test_consistency_is_logged_and_costs_nothing_without_dropout(
    data: EncodedTexts, tiny_encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    rows, states, logs = two_encoders(data), {}, {}
    for dropout, weight in ((0.0, 0.0), (0.0, 2.0), (0.3, 2.0)):
        trainer = StackedEmotionTrainer(
            model=fresh(tiny_encoder_folders, dropout),
            args=arguments(tmp_path, max_steps=3, logging_steps=1, optim="sgd"),
            train_dataset=rows,
            data_collator=EncodedTextCollator(),
            loss=build_loss("weighted_bce", statistics(data)),
            consistency_weight=weight,
        )
        trainer.train()
        states[dropout, weight] = trainer.model.state_dict()
        logs[dropout, weight] = [
            entry.get("loss_consistency", 0.0) for entry in trainer.state.log_history[:3]
        ]
    for name, value in states[0.0, 0.0].items():
        torch.testing.assert_close(value, states[0.0, 2.0][name], rtol=1e-4, atol=1e-5)
    assert max(logs[0.0, 2.0]) < 1e-10
    assert min(logs[0.3, 2.0]) > 1e-6


def test_a_column_is_what_its_encoder_reads_alone(
    tiny_stack: Any, data: EncodedTexts, sample_texts: list[str]
) -> None:
    tokenizer = tiny_stack[1]
    cut = tokenizer(sample_texts[:64], return_truncated=True)["truncated"]
    rows = np.flatnonzero(
        ~np.array(cut)
    )  # who else reads a text that is too long decides on its end
    texts, data = [sample_texts[row] for row in rows], data.select(rows)
    assert len(data.select([0])[0]["input_ids"]) > min(data.column(i).lengths[0] for i in (0, 1))
    for index, name in enumerate(tokenizer.encoder_names):
        alone = EncodedTexts.from_texts(
            tokenizer_of_one(tokenizer, name), texts, data.labels
        ).column(0)
        column = data.column(index)
        for row in range(len(data)):
            for key, values in alone[row].items():
                assert np.array_equal(values, column[row][key]), (name, row, key)
        assert column.fingerprint() == alone.fingerprint() != data.fingerprint()
        assert column.select(range(1, len(data))).fingerprint() != column.fingerprint()
    flipped = EncodedTexts(data.encodings, data.starts, 1 - data.labels, 0, data.texts)
    assert flipped.fingerprint() != data.column(0).fingerprint()
