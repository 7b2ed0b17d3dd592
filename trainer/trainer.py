"""A `Trainer` whose loss is the hybrid loss."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, Sampler
from transformers import EvalPrediction, Trainer, TrainerCallback
from transformers.trainer_utils import rotate_checkpoints

from ..common.finished import RECORD
from ..common.numerics import sigmoid
from .choosing.thresholds import best_global_threshold
from .data_collator import EvenRowsSampler, LengthGroupedSampler, RowsWithMask, lengths_of
from .losses import EmotionLoss
from .losses.consistency import dropout_consistency
from .metrics.scores import emotion_scores
from .running.checkpoints import finish_checkpoint, newest_checkpoint


class StackedEmotionTrainer(Trainer):
    """`Trainer` with a loss of named parts, each logged.

    The loss sees `logits + log(pos_weight)`, so that with class weights the logits themselves stay
    log-odds: training with weight w on the positives moves an unadjusted logit by log w.

    Over several ranks, rows that only fill the last batch of an epoch carry `row_mask` false and
    count as if they were not there, so that the gradient is that of one process with the same
    global batch.

    A checkpoint gets its digests when it is whole, and older ones are removed only then;
    `train(resume_from_checkpoint=True)` takes the newest one that verifies.

    Args:
        *args: as `Trainer`.
        loss: an `EmotionLoss`; None for the model's own plain binary cross entropy.
        optimized: the output that is trained, "logits" or "meta_logits".
        optimizer_groups: groups for the optimizer; by default those of `Trainer`.
        label_names: names of the labels, for per-class metrics.
        consistency_weight: of `dropout_consistency` between two passes over each batch (R-Drop); 0
            for one pass.
        **kwargs: as `Trainer`. Without `compute_metrics`, the scores at the best single global
            threshold are computed, so that `metric_for_best_model="jaccard"` chooses by it.
    """

    loss_is_scaled_for_ga = False
    train_dataset: Any

    def __init__(
        self,
        *args: Any,
        loss: EmotionLoss | None = None,
        optimized: str = "logits",
        optimizer_groups: list[dict[str, Any]] | None = None,
        label_names: Sequence[str] | None = None,
        consistency_weight: float = 0.0,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("compute_metrics", self.scores_at_best_threshold)
        super().__init__(*args, **kwargs)
        self.model_accepts_loss_kwargs = False
        self.optimized = optimized
        self.consistency_weight = consistency_weight
        self.optimizer_groups = optimizer_groups
        self.class_names = None if label_names is None else list(label_names)
        self.emotion_loss = loss if loss is None else loss.to(self.args.device)
        self._part_sums: dict[str, Tensor] = {}
        self._part_steps = 0
        self._epoch_sampler: Sampler | None = None
        self.add_callback(_EpochOrder(self))

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs: Any) -> Any:
        """As `Trainer.train`; True resumes from the newest checkpoint that verifies.

        Raises:
            ValueError: True, but there is no such checkpoint.
        """
        if resume_from_checkpoint is True:
            resume_from_checkpoint = newest_checkpoint(Path(self.args.output_dir))
            if resume_from_checkpoint is None:
                raise ValueError(f"{self.args.output_dir} has no checkpoint that can be resumed.")
        return super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The sum of the loss's parts over the batch, each a mean over its rows.

        The batch has `labels` (batch, labels) and optionally `row_mask` (batch,), false for rows
        that only fill the batch, and what else the loss reads.
        """
        labels, row_mask = inputs["labels"], inputs.get("row_mask")
        wanted = () if self.emotion_loss is None else self.emotion_loss.more_inputs
        more = {key: inputs[key] for key in wanted if key in inputs}
        plain = self.emotion_loss is None and not self.consistency_weight
        if plain and self.optimized == "logits" and row_mask is None:
            outputs = model(**inputs)
            return (outputs["loss"], outputs) if return_outputs else outputs["loss"]
        skipped = ("labels", "row_mask", *wanted)
        given = {key: value for key, value in inputs.items() if key not in skipped}
        if self.consistency_weight and model.training:
            outputs = model(**{key: torch.cat([value, value]) for key, value in given.items()})
            rows = len(labels)
            first, second = outputs[self.optimized][:rows], outputs[self.optimized][rows:]
            embeddings = outputs.get("embedding")
            halves = (None, None) if embeddings is None else embeddings.split(rows)
            parts, known = self._parts(first, halves[0], labels, row_mask, more)
            again, _ = self._parts(second, halves[1], labels, row_mask, more)
            parts = {name: (part + again[name]) / 2 for name, part in parts.items()}
            if row_mask is not None:
                first, second = first[row_mask.bool()], second[row_mask.bool()]
            parts["consistency"] = self.consistency_weight * dropout_consistency(first, second)
        else:
            outputs = model(**given)
            logits, embedding = outputs[self.optimized], outputs.get("embedding")
            parts, known = self._parts(logits, embedding, labels, row_mask, more)
        loss = self._total(parts, row_mask, known, logged=model.training and not plain)
        return (loss, outputs) if return_outputs else loss

    def _total(
        self,
        parts: dict[str, Tensor],
        row_mask: Tensor | None,
        gathered: frozenset[str] = frozenset(),
        logged: bool = True,
    ) -> Any:
        """The sum of the parts, weighted by this rank's share of rows unless they are gathered."""
        if row_mask is not None:
            share = self._share_of_rows(row_mask)
            parts = {n: part if n in gathered else part * share for n, part in parts.items()}
        if logged:
            for name, part in parts.items():
                self._part_sums[name] = self._part_sums.get(name, 0.0) + part.detach().float()
            self._part_steps += 1
        return sum(parts.values())

    def _parts(
        self, logits: Tensor, embedding: Tensor | None, labels: Tensor, row_mask: Tensor | None,
        more: dict[str, Tensor],
    ) -> tuple[dict[str, Tensor], frozenset[str]]:  # fmt: skip
        """The loss's parts, and the names of those that are gathered over ranks."""
        if self.emotion_loss is None:
            return {"bce": _plain_bce(logits, labels, row_mask)}, frozenset()
        if self.emotion_loss.weights_positives:
            logits = logits + torch.log(self.emotion_loss.pos_weight).to(logits.dtype)
        parts = self.emotion_loss(logits, labels, embedding=embedding, row_mask=row_mask, **more)
        return parts, self.emotion_loss.gathered_components

    def _share_of_rows(self, row_mask: Tensor) -> Tensor:
        """Weight of this rank's mean over its rows, so that the mean over ranks is over all."""
        rows = row_mask.sum().float()
        everyone = self.accelerator.reduce(rows.clone(), "sum")
        return rows * self.accelerator.num_processes / everyone.clamp_min(1.0)

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Add the mean of each part since the last log, over all ranks."""
        if "loss" in logs and self._part_steps:
            names = sorted(self._part_sums)
            means = torch.stack([self._part_sums[name] for name in names]) / self._part_steps
            means = self.accelerator.reduce(means.to(self.args.device), "mean")
            logs |= {
                f"loss_{name}": value for name, value in zip(names, means.tolist(), strict=True)
            }
            self._part_sums, self._part_steps = {}, 0
        super().log(logs, *args, **kwargs)

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """The optimizer of the arguments, over `optimizer_groups` where they are given."""
        if self.optimizer_groups is not None and getattr(self, "optimizer", None) is None:
            kind, options = self.get_optimizer_cls_and_kwargs(self.args, model or self.model)
            self.optimizer: Any = kind(self.optimizer_groups, **options)
            return self.optimizer
        return super().create_optimizer(model)

    def _set_signature_columns_if_needed(self) -> None:
        super()._set_signature_columns_if_needed()
        if "row_mask" not in self._signature_columns:
            self._signature_columns.append("row_mask")

    def get_train_dataloader(self) -> DataLoader:
        """As in `Trainer`; over several ranks, rows that fill the last batch are masked."""
        dataset = self.train_dataset
        if self.args.world_size == 1 or dataset is None or not _is_map_style(dataset):
            return super().get_train_dataloader()
        try:
            self.train_dataset = RowsWithMask(dataset)
            return super().get_train_dataloader()
        finally:
            self.train_dataset = dataset

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler | None:
        dataset: Any = self.train_dataset if train_dataset is None else train_dataset
        masked = isinstance(dataset, RowsWithMask)
        rows: Any = dataset.rows if masked else dataset
        seed = self.args.data_seed if self.args.data_seed is not None else self.args.seed
        batch = self.args.train_batch_size * self.args.world_size
        sampler: Sampler | None
        grouped = self.args.train_sampling_strategy == "group_by_length"
        lengths = lengths_of(rows, self.args.length_column_name) if grouped else None
        if lengths is not None:
            sampler = LengthGroupedSampler(lengths, batch, seed)
        else:
            sampler = super()._get_train_sampler(rows)
            if masked and isinstance(sampler, RandomSampler):
                sampler = LengthGroupedSampler(np.zeros(len(rows), np.int8), batch, seed)
        if masked and sampler is not None:
            sampler = EvenRowsSampler(sampler, batch)
        self._epoch_sampler = sampler
        return sampler

    def save_finished(self, folder: Path) -> None:
        """Write the trained model to a folder; every rank must call it.

        Weights that FSDP or DeepSpeed ZeRO-3 keep in shards are put together first.
        """
        wrapped = self.model_wrapped if self.model_wrapped is not None else self.model
        sharded = self.is_fsdp_enabled or self.is_deepspeed_enabled
        state = self.accelerator.get_state_dict(wrapped) if sharded else None
        if self.is_world_process_zero():
            model: Any = self.accelerator.unwrap_model(wrapped)
            model.save_pretrained(folder, state_dict=state)
        self.accelerator.wait_for_everyone()

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Save, write the record when everything is written, then remove older checkpoints."""
        run_folder = self._get_output_dir(trial=trial)
        checkpoint = Path(run_folder) / f"checkpoint-{self.state.global_step}"
        if self.args.should_save:
            (checkpoint / RECORD).unlink(missing_ok=True)
        limit, self.args.save_total_limit = self.args.save_total_limit, None
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self.args.save_total_limit = limit
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            finish_checkpoint(checkpoint)
            best = self.state.best_model_checkpoint
            rotate_checkpoints(os.fspath(run_folder), limit, best)
        self.accelerator.wait_for_everyone()

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """As `Trainer`, with the model's code beside the weights, so that what is pushed loads."""
        if self.is_world_process_zero():
            for file in Path(checkpoint_folder).glob("*.py"):
                shutil.copyfile(file, Path(self.args.output_dir) / file.name)
        super()._push_from_checkpoint(checkpoint_folder)

    def scores_at_best_threshold(self, prediction: EvalPrediction) -> dict[str, float]:
        """All metrics at the best single global threshold for Jaccard, of (rows, labels) logits."""
        logits = prediction.predictions
        if isinstance(logits, tuple):
            logits = logits[0]
        labels = np.asarray(prediction.label_ids).astype(int)
        probabilities = sigmoid(logits)
        threshold = best_global_threshold(probabilities, labels, "jaccard")
        return emotion_scores(labels, probabilities, threshold, self.class_names) | {
            "threshold": threshold
        }


class _EpochOrder(TrainerCallback):
    """Tells the sampler its epoch.

    accelerate's wrappers reach it only through several layers: not over several ranks when an
    epoch is resumed in its middle.
    """

    def __init__(self, trainer: StackedEmotionTrainer) -> None:
        self.trainer = trainer

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Set the epoch that begins or resumes."""
        sampler: Any = self.trainer._epoch_sampler
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(int(state.epoch or 0))


def _is_map_style(dataset: Any) -> bool:
    return hasattr(dataset, "__len__") and not isinstance(dataset, IterableDataset)


def _plain_bce(logits: Tensor, labels: Tensor, row_mask: Tensor | None) -> Tensor:
    """Mean over the rows that count and the labels; 0 with a gradient where no row does."""
    if row_mask is not None:
        logits, labels = logits[row_mask.bool()], labels[row_mask.bool()]
    if not logits.numel():
        return logits.float().sum()
    return nn.functional.binary_cross_entropy_with_logits(logits.float(), labels.float())
