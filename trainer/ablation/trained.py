"""Rows that train the layers on top: the run with other options, and with what it can share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from accelerate import PartialState
from safetensors.numpy import load_file

from ...common.files import replace_folder
from ...common.finished import find
from ..arguments import TrainingRecipe
from ..data_collator import EncodedTexts
from ..features.cache import open_cache
from ..features.writer import FeatureCacheWriter
from ..results import System
from ..stages.context import RunContext, tokenizer_of_one
from ..stages.features import features_folder, features_layout, scored_features, training_features
from ..stages.finish import stage_system
from ..stages.meta_and_head import run_head, run_meta, stage_folder, stage_key
from .variants import FULL, Variant


def trained_system(full: RunContext, variant: Variant, root: Path) -> tuple[System, dict[str, Any]]:
    """The system of a row of kind `stack` or `meta`, and how it was trained.

    Stages that the run or another row, in another folder of `root`, has finished are taken over.
    """
    folder = root / (FULL if variant.kind == "meta" else variant.slug)
    context = variant_context(full, variant, folder)
    others = sorted(entry for entry in root.iterdir() if entry.is_dir()) if root.exists() else []
    stages: dict[str, Any] = {}
    for stage, run in (("meta", run_meta), ("head", run_head)):
        adopt_stage(context, stage, [full.output, full.shared, *others])
        stages[stage] = run(context)
        if stage == variant.kind:
            break
    last = list(stages)[-1]
    return stage_system(context, last, variant.title), {
        "seconds": round(sum(stage["seconds"] for stage in stages.values()), 2),
        "stages": stages,
        "gates": _gates(context, last, stages[last]),
        "options": {"head.loss": context.recipe.head.loss.name} | variant.changes,
    }


def _gates(context: RunContext, stage: str, record: dict[str, Any]) -> dict[str, Any] | None:
    """Mean gate by encoder at the end of training, and the tilt of each label toward each encoder.

    Of the published seed, on training rows; None where gates are not learned.
    """
    if not context.recipe.stack.use_meta_learner:
        return None
    logged = [entry for entry in record["log"] if f"gate_{context.names[0]}" in entry]
    if not logged:  # epoch 0: as stage meta left them
        logged = [entry for entry in record["fold_logs"][0] if f"gate_{context.names[0]}" in entry]
        logged = logged[:1]
    seed = context.recipe.stages.head_seeds[0]
    weights = load_file(stage_folder(context, stage) / f"seed_{seed}.safetensors")
    trust = weights["stacked.meta_learner.label_trust"]
    return {
        "mean": {name: logged[-1][f"gate_{name}"] for name in context.names},
        "label_trust": {
            name: dict(zip(context.label_names, trust[index].tolist(), strict=True))
            for index, name in enumerate(context.names)
        },
    }


def variant_context(full: RunContext, variant: Variant, folder: Path) -> RunContext:
    """The context of a row of kind `stack`, whose stages go into a folder of its own.

    The fine-tuned encoders and, where they are the same, the features are those of the run.
    """
    shared = full.shared
    if variant.encoder or variant.changes.get("cross_fit") == 0:
        shared = folder
        _link_encoders(full.shared / "encoders", folder)
    own = {"output_dir": str(folder), "encoders_from": str(shared)}
    recipe = full.recipe.changed(variant.changes | own)
    if variant.encoder is None:
        context = RunContext(full.splits, recipe, full.tokenizer, full.encoded)
        if variant.changes.get("cross_fit") == 0:
            for split in full.held_out_splits:
                _share_features(full, context, split)
        return context
    return _one_encoder(full, recipe, variant.encoder)


def adopt_stage(context: RunContext, stage: str, folders: Iterable[Path]) -> None:
    """Take a finished stage over from another folder, if it is the same to the last option."""
    key, target = stage_key(context, stage), stage_folder(context, stage)
    finished = [
        place
        for place in (target, *(folder / stage for folder in folders))
        if find(place, key)[0] is not None
    ]
    PartialState().wait_for_everyone()  # all ranks have looked before one changes anything
    if finished and finished[0] != target:
        _put(finished[0], target)


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


def _link_encoders(encoders: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "encoders"
    if PartialState().is_main_process and not link.exists():
        link.symlink_to(encoders.resolve(), target_is_directory=True)
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
    if PartialState().is_main_process:
        _copy(source, target)
    PartialState().wait_for_everyone()


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
