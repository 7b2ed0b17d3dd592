"""The run context of a row: the same texts, folds and encoders, its own options and folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from accelerate import PartialState

from ...common.files import replace_folder
from ...common.finished import find
from ..arguments import TrainingRecipe
from ..data_collator import EncodedTexts
from ..features.cache import open_cache
from ..features.writer import FeatureCacheWriter
from ..stages.context import RunContext, tokenizer_of_one
from ..stages.features import (
    features_folder,
    features_layout,
    scored_features,
    training_features,
)
from ..stages.meta_and_head import stage_folder, stage_key
from .variants import Variant


def variant_context(full: RunContext, variant: Variant, folder: Path) -> RunContext:
    """The context of a row that is trained for the table.

    The fine-tuned encoders and, where they are the same, the features are those of the run.

    Args:
        full: the run.
        variant: a row of kind `stack`.
        folder: where the row's stages go.
    """
    shared = full.shared
    if variant.encoder or variant.changes.get("cross_fit") == 0:
        shared = folder
        _link_encoders(full, folder)
    own = {"output_dir": str(folder), "encoders_from": str(shared)}
    recipe = full.recipe.changed(variant.changes | own)
    if variant.encoder is None:
        context = RunContext(full.splits, recipe, full.tokenizer, full.encoded)
        if variant.changes.get("cross_fit") == 0:
            for split in full.held_out_splits:
                _share_features(full, context, split)
        return context
    return _one_encoder(full, recipe, variant.encoder)


def adopt_stage(context: RunContext, stage: str, folders: Iterable[Path]) -> bool:
    """Take a finished stage over from another row's folder, if it is the same to the last option.

    Args:
        context: the row.
        stage: meta or head.
        folders: where other rows' stages may be.

    Returns:
        Whether the stage is finished now.
    """
    key, target = stage_key(context, stage), stage_folder(context, stage)
    finished = [
        place
        for place in (target, *(folder / stage for folder in folders))
        if find(place, key)[0] is not None
    ]
    PartialState().wait_for_everyone()  # all ranks have looked before one changes anything
    if finished and finished[0] != target:
        _put(finished[0], target)
    return bool(finished)


def _one_encoder(full: RunContext, recipe: TrainingRecipe, name: str) -> RunContext:
    """The context of a stack of one encoder; its features are cut out of the run's."""
    recipe = replace(recipe, encoders={name: recipe.encoders[name]})
    index = full.names.index(name)
    tokenizer = tokenizer_of_one(full.tokenizer, name)
    encoded = {}
    for split, texts in full.encoded.items():
        cut = {key: values[:, [index]] for key, values in texts.encodings.items()}
        encoded[split] = EncodedTexts(cut, texts.starts, texts.labels)
        encoded[split].word_counts = texts.word_counts  # words it has no sub-word of count too
    context = RunContext(full.splits, recipe, tokenizer, encoded)
    for split in ("train", *full.held_out_splits):
        _cut_features(full, context, split, index)
    return context


def _link_encoders(full: RunContext, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "encoders"
    if PartialState().is_main_process and not link.exists():
        link.symlink_to((full.shared / "encoders").resolve(), target_is_directory=True)
    PartialState().wait_for_everyone()


def _cut_features(full: RunContext, context: RunContext, split: str, index: int) -> None:
    """Make the feature cache of one encoder from its columns in the run's."""
    layout, key = features_layout(context, split)
    folder = features_folder(context, split)
    if open_cache(folder, layout, key) is not None:
        return
    whole = training_features(full) if split == "train" else scored_features(full, split)
    begin = sum(whole.layout.sizes[:index])
    writer = FeatureCacheWriter(folder, layout, key)
    if PartialState().is_main_process:
        writer.words[:] = whole.words[:, begin : begin + whole.layout.sizes[index]]
        writer.logits[:] = whole.logits[:, [index]]
    writer.finish()


def _share_features(full: RunContext, context: RunContext, split: str) -> None:
    """Take the run's feature cache of a split over; nothing about it differs."""
    layout, key = features_layout(context, split)
    folder = features_folder(context, split)
    if open_cache(folder, layout, key) is None:
        scored_features(full, split)
        _put(features_folder(full, split), folder)


def _put(source: Path, target: Path) -> None:
    """Copy a folder into place at once, by hard links where the disk has them."""
    state = PartialState()
    if state.is_main_process:
        _copy(source, target)
    state.wait_for_everyone()


def _copy(source: Path, target: Path) -> None:
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copytree(source, partial, copy_function=os.link)
    except (OSError, shutil.Error):
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(source, partial)
    replace_folder(partial, target)
