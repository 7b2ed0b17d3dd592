"""The features of a run: what the fine-tuned encoders say of every text, computed once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler
from transformers.utils import logging

from ...common.disk import disk_errors
from ...common.files import fingerprint
from ...configuration_stacked_emotion import StackedEmotionConfig
from ..data_collator import EncodedTexts
from ..features.cache import CacheLayout, FeatureCache, open_cache
from ..features.writer import FeatureCacheWriter
from ..metrics.scores import average_precision
from ..running.jobs import Task, run_tasks
from ..running.once import alone_in
from .context import RunContext
from .encoders import fine_tuned_folder, load_stack_of_one, weights_digest

logger = logging.get_logger(__name__)

# Raised when the same encoders and texts come to other features: caches are then made again.
FEATURES_VERSION = 1


def training_features(context: RunContext) -> FeatureCache:
    """Features of the training rows, each from encoders that did not see the row.

    With `cross_fit: 0` they come from the final encoders, which did.
    """
    return _features(context, "train")


def scored_features(context: RunContext, split: str) -> FeatureCache:
    """Features of a split that is only scored, from the final encoders."""
    return _features(context, split)


def probe_gaps(context: RunContext, features: FeatureCache) -> dict[str, float]:
    """How far the folds' feature spaces are from one another, by encoder.

    For each fold a linear (ridge) probe is fitted on the text means of the other folds, whose
    features come from other encoders, and scored on this fold's. The gap is the macro average
    precision of the fold's own head minus that of the probe: near 0 where the spaces agree, large
    where features of different folds cannot be mixed.

    Returns:
        Gap in macro average precision by encoder; empty without cross-fitting.
    """
    if not context.recipe.stages.cross_fit:
        return {}
    folds, labels = context.fold_of_row, context.splits["train"].labels
    gaps = {}
    for index, name in enumerate(context.names):
        means = features.text_means(index)
        probed = np.zeros(labels.shape)
        for fold in range(context.folds):
            inside = folds == fold
            scaler = StandardScaler().fit(means[~inside])
            signs = 2.0 * labels[~inside] - 1.0
            probe = Ridge(alpha=100.0).fit(scaler.transform(means[~inside]), signs)
            found = probe.predict(scaler.transform(means[inside]))
            probed[inside] = found.reshape(-1, labels.shape[1])  # Ridge drops the axis of one label
        own = features.encoder_logits()[:, index]
        columns = range(labels.shape[1])
        gaps[name] = float(
            np.mean(
                [
                    average_precision(labels[:, c], own[:, c])
                    - average_precision(labels[:, c], probed[:, c])
                    for c in columns
                ]
            )
        )
    return gaps


def encoder_parts_of_rows(context: RunContext, split: str) -> dict[str, np.ndarray]:
    """Which rows of a split get their features from which fine-tuned encoders.

    Training rows from the fold that did not see them, unless `cross_fit` is 0; all others, and then
    those too, from the final encoders.
    """
    if split != "train" or not context.recipe.stages.cross_fit:
        return {"final": np.arange(len(context.splits[split]))}
    folds = context.fold_of_row
    return {f"fold_{fold}": np.flatnonzero(folds == fold) for fold in range(context.folds)}


def features_layout(context: RunContext, split: str) -> tuple[CacheLayout, str]:
    """Sizes of a split's feature cache, and the fingerprint of all it depends on."""
    parts = encoder_parts_of_rows(context, split)
    digests = {
        name: {part: weights_digest(context, name, part) for part in parts}
        for name in context.names
    }
    words = context.encoded[split].word_counts
    layout = CacheLayout(words, _hidden_sizes(context), len(context.label_names))
    key = fingerprint(
        FEATURES_VERSION,
        context.data_fingerprint,
        context.splits[split].fingerprint(),
        digests,
        {part: rows.tolist() for part, rows in parts.items()},
        layout.dtype,
    )
    return layout, key


def features_folder(context: RunContext, split: str) -> Path:
    """Where a split's feature cache is."""
    return context.shared / "features" / split


def make_features(context: RunContext, splits: Sequence[str]) -> None:
    """Compute the features of these splits that are not there yet."""
    with ExitStack() as stack:
        tasks: list[Task] = []
        writers = []
        for split in splits:
            layout, key = features_layout(context, split)
            folder = features_folder(context, split)
            if open_cache(folder, layout, key) is not None:
                continue
            stack.enter_context(disk_errors(folder, "--output_dir", layout.nbytes))
            stack.enter_context(alone_in(folder))
            writers.append(FeatureCacheWriter(folder, layout, key))
            for index, name in enumerate(context.names):
                for part, rows in encoder_parts_of_rows(context, split).items():
                    task = f"{split}: {name}, {part}"
                    model = fine_tuned_folder(context, name, part)
                    texts = context.encoded[split]
                    work = partial(_fill, writers[-1], model, texts, rows, index, task)
                    tasks.append(Task(task, work, size=len(rows)))
        run_tasks(tasks, context.recipe.stages.jobs, "Features")
        for writer in writers:
            writer.finish()


def _fill(
    writer: FeatureCacheWriter, folder: Path, texts: EncodedTexts, rows: np.ndarray, index: int,
    description: str,
) -> None:  # fmt: skip
    writer.fill(load_stack_of_one(folder), texts, rows, index, description=description)


def _features(context: RunContext, split: str) -> FeatureCache:
    make_features(context, [split])
    layout, _ = features_layout(context, split)
    return FeatureCache(features_folder(context, split), layout, context.splits[split].labels)


def _hidden_sizes(context: RunContext) -> tuple[int, ...]:
    return tuple(
        StackedEmotionConfig.from_pretrained(fine_tuned_folder(context, name, "final"))
        .encoders[name]
        .hidden_size
        for name in context.names
    )
