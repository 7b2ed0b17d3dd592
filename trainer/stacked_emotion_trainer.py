"""A `Trainer` whose loss is the hybrid loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, Sampler
from transformers import EvalPrediction, Trainer

from .collator import LengthGroupedSampler
from .losses import EmotionLoss
from .metrics.scores import emotion_scores
from .thresholds import best_global_threshold


class StackedEmotionTrainer(Trainer):
    """`Trainer` with a loss of named parts, each logged.

    The loss sees `logits + log(pos_weight)`, so that with class weights the logits themselves stay
    log-odds: training with weight w on the positives moves an unadjusted logit by log w.

    Args:
        *args: as `Trainer`.
        loss: an `EmotionLoss`; None for the model's own plain binary cross entropy.
        optimised: the output that is trained, "logits" or "meta_logits".
        optimizer_groups: groups for the optimizer; by default those of `Trainer`.
        label_names: names of the labels, for per-class metrics.
        **kwargs: as `Trainer`. Without `compute_metrics`, the scores at the best single global
            threshold are computed, so that `metric_for_best_model="jaccard"` chooses by it.
    """

    loss_is_scaled_for_ga = False

    def __init__(
        self,
        *args: Any,
        loss: EmotionLoss | None = None,
        optimised: str = "logits",
        optimizer_groups: list[dict[str, Any]] | None = None,
        label_names: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("compute_metrics", self.scores_at_best_threshold)
        super().__init__(*args, **kwargs)
        self.model_accepts_loss_kwargs = False
        self.optimised = optimised
        self.optimizer_groups = optimizer_groups
        self.class_names = None if label_names is None else list(label_names)
        self.emotion_loss = loss if loss is None else loss.to(self.args.device)
        self._part_sums: dict[str, Tensor] = {}
        self._part_steps = 0

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The sum of the loss's parts over the batch.

        Args:
            model: the model, wrapped or not.
            inputs: a batch with `labels` (batch, labels) and optionally `row_mask` (batch,), false
                for rows that only fill the batch.
            return_outputs: return the model's output beside it.
            num_items_in_batch: not used; every part is a mean over its rows.

        Returns:
            The loss, a scalar, and the outputs if asked for.
        """
        if self.emotion_loss is None and self.optimised == "logits":
            outputs = model(**inputs)
            return (outputs["loss"], outputs) if return_outputs else outputs["loss"]
        labels = inputs["labels"]
        row_mask = inputs.get("row_mask")
        skipped = ("labels", "row_mask")
        outputs = model(**{key: value for key, value in inputs.items() if key not in skipped})
        logits = outputs[self.optimised]
        if self.emotion_loss is None:
            loss = nn.functional.binary_cross_entropy_with_logits(logits.float(), labels.float())
            return (loss, outputs) if return_outputs else loss
        if self.emotion_loss.weights_positives:
            logits = logits + torch.log(self.emotion_loss.pos_weight).to(logits.dtype)
        parts = self.emotion_loss(
            logits,
            labels,
            embedding=outputs.get("embedding"),
            row_mask=row_mask,
        )
        loss = sum(parts.values())
        if model.training:
            for name, part in parts.items():
                self._part_sums[name] = self._part_sums.get(name, 0.0) + part.detach().float()
            self._part_steps += 1
        return (loss, outputs) if return_outputs else loss

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

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler | None:
        dataset = self.train_dataset if train_dataset is None else train_dataset
        lengths = getattr(dataset, "lengths", None)
        if lengths is None or self.args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(train_dataset)
        seed = self.args.data_seed if self.args.data_seed is not None else self.args.seed
        batch = self.args.train_batch_size * self.args.world_size
        return LengthGroupedSampler(lengths, batch, seed)

    def scores_at_best_threshold(self, prediction: EvalPrediction) -> dict[str, float]:
        """All metrics at the best single global threshold for Jaccard.

        Args:
            prediction: logits (rows, labels) and labels (rows, labels).
        """
        logits = prediction.predictions
        if isinstance(logits, tuple):
            logits = logits[0]
        labels = np.asarray(prediction.label_ids).astype(int)
        probabilities = 1.0 / (1.0 + np.exp(-logits.astype(np.float64)))
        choice = best_global_threshold(probabilities, labels, "jaccard")
        scores = emotion_scores(labels, probabilities, choice.thresholds, self.class_names)
        return scores | {"threshold": choice.global_threshold}
