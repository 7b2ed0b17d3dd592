"""Figures that a run logs while it trains, and their way to TensorBoard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Trainer, TrainerCallback
from transformers.integrations import (
    INTEGRATION_TO_CALLBACK,
    TensorBoardCallback,
    get_available_reporting_integrations,
)

from ...common.errors import UserError, did_you_mean
from ...common.numerics import sigmoid
from ...layers_stacked_emotion import masked_mean
from ...modeling_stacked_emotion import StackedEmotionForSequenceClassification
from ..choosing.thresholds import best_global_threshold
from ..data_collator import EncodedTexts, model_inputs
from ..features.cache import FeatureCache
from ..metrics.scores import average_precision, decide, jaccard_per_row

_MOST_ROWS = 512


class EpochTracker(TrainerCallback):
    """Logs the mean gate of each encoder before the first step and after every epoch.

    Everything goes through `Trainer.log`, so each tracker of `report_to` gets it.

    Args:
        trainer: whose log is used.
        model: the stack that is trained.
        features: rows for the gates; at most 512 of them are run.
        epoch_figures: returns more figures for every entry, such as those of held-out rows.
        constants: more figures, logged once at the start.
    """

    def __init__(
        self,
        trainer: Trainer,
        model: StackedEmotionForSequenceClassification,
        features: FeatureCache,
        epoch_figures: Callable[[], dict[str, float]] | None = None,
        constants: dict[str, float] | None = None,
    ) -> None:
        self.trainer = trainer
        self.model = model
        places = np.linspace(0, len(features) - 1, min(len(features), _MOST_ROWS)).astype(int)
        self.features = features.select(np.unique(places))
        self.epoch_figures = epoch_figures or dict
        self.constants = constants or {}

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        """Log the gates before the first step."""
        self._log(self.constants)

    def on_epoch_end(self, *args: Any, **kwargs: Any) -> None:
        """Log the gates of this epoch."""
        self._log({})

    def _log(self, more: dict[str, float]) -> None:
        training = self.model.training
        gates = text_gates(self.model, self.features).mean(0)
        self.model.train(training)
        names = self.model.config.encoder_names
        figures = {f"gate_{name}": float(gate) for name, gate in zip(names, gates, strict=True)}
        self.trainer.log(figures | self.epoch_figures() | more)


def held_out_figures(logits: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Binary cross-entropy of rows that are not trained on, and their scores, at the threshold that
    suits them best, from (rows, labels) logits and labels of 0 and 1.
    """
    truth = np.asarray(labels, np.int64)
    raw = np.asarray(logits, np.float64)
    probabilities = sigmoid(raw)
    threshold = best_global_threshold(probabilities, truth, "jaccard")
    columns = range(truth.shape[1])
    precisions = [average_precision(truth[:, c], probabilities[:, c]) for c in columns]
    return {
        "held_out_bce": float((np.logaddexp(0.0, raw) - truth * raw).mean()),
        "held_out_jaccard": float(jaccard_per_row(truth, decide(probabilities, threshold)).mean()),
        "held_out_macro_ap": float(np.mean(precisions)),
        "held_out_threshold": threshold,
    }


@torch.inference_mode()
def text_gates(
    model: StackedEmotionForSequenceClassification,
    texts: FeatureCache | EncodedTexts,
    batch_size: int = 128,
) -> np.ndarray:
    """How far each encoder is trusted in each text: the mean gates of its words.

    Returns:
        (rows, encoders) float32, each row summing to 1; uniform for a text without words.
    """
    encoders = len(model.config.encoder_names)
    found = np.full((len(texts), encoders), 1 / encoders, np.float32)
    for rows, batch in model_inputs(model, texts, batch_size):
        output = model.stack(**batch, output_gates=True)
        means = masked_mean(output.gates, output.word_mask).float().cpu().numpy()
        known = output.word_mask.any(1).cpu().numpy()
        found[rows[known]] = means[known]
    return found


def send_tensorboard_to(trainer: Trainer, folder: Path) -> None:
    """Let the trainer's TensorBoard callback, if it has one, write into that folder."""
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, TensorBoardCallback):
            callback.logging_dir = str(folder)


def check_trackers(report_to: Sequence[str]) -> None:
    """Check before any training that the requested trackers exist and are installed.

    Raises:
        UserError: naming the nearest one, or how to install it.
    """
    if "tensorboard" in report_to and not (find_spec("tensorboard") or find_spec("tensorboardX")):
        raise UserError(
            "--report_to tensorboard needs TensorBoard: pip install 'stacked_emotion[tracking]', "
            "or leave the option out."
        )
    for name in set(report_to) - {"none", "all"}:
        if name not in INTEGRATION_TO_CALLBACK:
            near = did_you_mean(name, INTEGRATION_TO_CALLBACK)
            raise UserError(
                f"--report_to {name!r} is not known{near}; known are none, all, "
                f"{', '.join(INTEGRATION_TO_CALLBACK)}."
            )
        if name not in ("tensorboard", *get_available_reporting_integrations()):
            raise UserError(f"--report_to {name!r}: its package is not installed.")
