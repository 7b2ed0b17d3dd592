"""Steps of the trainer on a tiny stack, in one process or several, from the same start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from tiny_models import LABELS, build_stack
from transformers import TrainerCallback, TrainingArguments

from stacked_emotion.trainer import LabelStatistics, StackedEmotionTrainer, build_loss
from stacked_emotion.trainer.data_collator import EncodedTextCollator, EncodedTexts

HYBRID: dict[str, Any] = {"correlation_weight": 0.5, "contrastive_weight": 0.3}


def without_dropout(model: Any) -> Any:
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    for name in model.config.encoder_names:
        model.get_encoder(name).config.attention_probs_dropout_prob = 0.0
    return model


def make_trainer(
    folders: dict[str, str],
    texts: list[str],
    output: Path,
    loss: dict[str, Any] | None,
    dropout: float = 0.0,
    callbacks: list[TrainerCallback] | None = None,
    **options: Any,
) -> StackedEmotionTrainer:
    """A trainer on texts with random labels; the loss is hybrid, or None for the model's own."""
    paths = {name: Path(folder) for name, folder in folders.items()}
    model, tokenizer = build_stack(
        paths, dropout=dropout, encoder_dropout=dropout, word_dropout=dropout
    )
    if not dropout:
        without_dropout(model)
    labels = (np.random.default_rng(0).random((64, 3)) < [0.5, 0.3, 0.2]).astype(np.int8)
    statistics = LabelStatistics.from_labels(labels, LABELS)
    values: dict[str, Any] = {
        "output_dir": str(output), "report_to": "none", "use_cpu": True, "seed": 3,
        "learning_rate": 1.0, "optim": "sgd", "lr_scheduler_type": "constant",
        "max_grad_norm": 0.0, "disable_tqdm": True, "remove_unused_columns": False,
        "label_names": ["labels"], "save_strategy": "no", "max_steps": 1,
        "train_sampling_strategy": "group_by_length", "logging_strategy": "no",
    }  # fmt: skip
    return StackedEmotionTrainer(
        model=model,
        args=TrainingArguments(**(values | options)),
        train_dataset=EncodedTexts.from_texts(tokenizer, texts, labels[: len(texts)]),
        data_collator=EncodedTextCollator(),
        loss=None if loss is None else build_loss("hybrid", statistics, **loss),
        callbacks=callbacks,
    )


def movement(trainer: StackedEmotionTrainer) -> dict[str, torch.Tensor]:
    """How far `train` moves each parameter: the gradient, with a learning rate of 1."""
    before = {name: value.detach().clone() for name, value in trainer.model.named_parameters()}
    trainer.train()
    after = dict(trainer.model.named_parameters())
    return {name: value - after[name].detach() for name, value in before.items()}


CASES: dict[str, tuple[int, dict[str, Any] | None]] = {
    "full": (16, HYBRID), "uneven": (13, HYBRID), "one rank empty": (5, HYBRID),
    "the model's own loss": (11, None),
}  # fmt: skip


def save_movements(folders: dict[str, str], texts: list[str], output: Path, batch: int) -> None:
    """One step of every case; rank 0 writes the movements."""
    for name, (rows, loss) in CASES.items():
        trainer = make_trainer(
            folders, texts[:rows], output, loss, per_device_train_batch_size=batch
        )
        moved = movement(trainer)
        if trainer.is_world_process_zero():
            save_file(moved, output / f"{name}.safetensors")


class StopAtStep(TrainerCallback):
    """Stops in the middle of an epoch, as a killed process does."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        if state.global_step == self.step:
            control.should_training_stop = True
        return control


def save_resumed(folders: dict[str, str], texts: list[str], output: Path, batch: int) -> None:
    """Three epochs at a stretch, and stopped at step 5 and resumed from step 4."""
    options: dict[str, Any] = {
        "per_device_train_batch_size": batch, "max_steps": -1, "num_train_epochs": 3,
        "optim": "adamw_torch", "learning_rate": 1e-3, "lr_scheduler_type": "linear",
        "save_strategy": "steps", "save_steps": 2, "save_total_limit": 2, "dropout": 0.1,
    }  # fmt: skip
    whole = make_trainer(folders, texts, output / "whole", HYBRID, **options)
    whole.train()
    stopped = make_trainer(
        folders, texts, output / "parts", HYBRID, callbacks=[StopAtStep(5)], **options
    )
    stopped.train()
    torch.manual_seed(99)
    resumed = make_trainer(folders, texts, output / "parts", HYBRID, **options)
    resumed.train(resume_from_checkpoint=True)
    if whole.is_world_process_zero():
        for name, trainer in (("whole", whole), ("stopped", stopped), ("resumed", resumed)):
            state = {key: value.detach() for key, value in trainer.model.named_parameters()}
            save_file(state, output / f"{name}.safetensors")
        steps = f"{whole.state.global_step} {stopped.state.global_step} {resumed.state.global_step}"
        (output / "steps.txt").write_text(steps)


def save_all(folders: dict[str, str], texts: list[str], output: Path) -> None:
    """What a rank of two does: `save_movements` and `save_resumed`, 8 rows a rank."""
    save_movements(folders, texts, output, batch=8)
    save_resumed(folders, texts, output, batch=8)
