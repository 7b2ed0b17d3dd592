"""Small feature caches, filled in one process or by several ranks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tiny_models import build_stack

from stacked_emotion.trainer.data_collator import EncodedTexts
from stacked_emotion.trainer.features.cache import CacheLayout, FeatureCache, open_cache
from stacked_emotion.trainer.features.writer import FeatureCacheWriter
from stacked_emotion.trainer.running.processes import join_ranks

KEY = "of these weights and texts"


def tiny_texts(tokenizer: Any, texts: list[str]) -> EncodedTexts:
    return EncodedTexts.from_texts(tokenizer, texts)


def layout_of(model: Any, texts: EncodedTexts) -> CacheLayout:
    sizes = [model.get_encoder(name).config.hidden_size for name in model.config.encoder_names]
    return CacheLayout(texts.word_counts, tuple(sizes), model.config.num_labels)


def fill_and_open(folder: Path, model: Any, tokenizer: Any, texts: list[str]) -> FeatureCache:
    encoded = tiny_texts(tokenizer, texts)
    layout = layout_of(model, encoded)
    writer = FeatureCacheWriter(folder, layout, KEY)
    writer.fill(model, encoded, np.arange(len(texts)), batch_tokens=200)
    writer.finish()
    cache = open_cache(folder, layout, KEY)
    assert cache is not None
    return cache


def fill_twice(folders: dict[str, str], texts: list[str], folder: Path) -> None:
    """What each rank does: fill, find it altered by another, and fill it again together."""
    model, tokenizer = build_stack({name: Path(source) for name, source in folders.items()})
    state = join_ranks()
    assert state.num_processes == 2
    cache = fill_and_open(folder, model, tokenizer, texts)
    assert open_cache(folder, cache.layout, KEY) is not None
    state.wait_for_everyone()
    if state.is_main_process:
        file = folder / "logits.bin"
        file.write_bytes(file.read_bytes()[:-4])
    state.wait_for_everyone()
    assert open_cache(folder, cache.layout, KEY) is None
    fill_and_open(folder, model, tokenizer, texts)
