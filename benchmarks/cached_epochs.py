"""An epoch on cached features against an epoch that runs three BERT-base-size encoders.

Random weights of BERT-base size (12 layers, 768 wide) and random token ids; the layers on top are
trained the same way in both, with the hybrid loss, by `StackedEmotionTrainer`, on cached features
with the encoders set aside, as in the stages `meta` and `head`. The epochs take turns in one
process, each with the start and the end of `train()`; both the clock and the CPU time of the
process are shown, of which the second holds on a machine that others use too.

    python benchmarks/cached_epochs.py
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BertConfig, PrinterCallback, TrainingArguments

from stacked_emotion import StackedEmotionConfig, StackedEmotionForSequenceClassification
from stacked_emotion.trainer import LabelStatistics, StackedEmotionTrainer, build_loss
from stacked_emotion.trainer.data_collator import EncodedTextCollator, EncodedTexts, FeatureCollator
from stacked_emotion.trainer.features.cache import CacheLayout, FeatureCache
from stacked_emotion.trainer.features.writer import FeatureCacheWriter
from stacked_emotion.trainer.parameter_groups import top_parameters
from stacked_emotion.trainer.running.processes import prepare_process
from stacked_emotion.trainer.stages.cached_training import encoders_aside

LABELS = [f"label_{index}" for index in range(11)]
NAMES = ["first", "second", "third"]


def build_model(layers: int, width: int) -> StackedEmotionForSequenceClassification:
    torch.manual_seed(0)
    encoder = BertConfig(
        vocab_size=8000, hidden_size=width, num_hidden_layers=layers,
        num_attention_heads=width // 64, intermediate_size=4 * width,
    ).to_dict()  # fmt: skip
    model = StackedEmotionForSequenceClassification(
        StackedEmotionConfig(
            encoder_names=NAMES, encoders=dict.fromkeys(NAMES, encoder),
            id2label=dict(enumerate(LABELS)),
        )
    )  # fmt: skip
    model.requires_grad_(False)
    for _, parameter in top_parameters(model):
        parameter.requires_grad_(True)
    return model


def build_rows(rows: int, mean_length: int) -> EncodedTexts:
    chance = np.random.default_rng(0)
    lengths = np.clip(chance.normal(mean_length, mean_length / 3, rows), 6, 64).astype(int)
    positions = int(lengths.sum())
    words = np.concatenate([np.arange(length) * 2 // 3 for length in lengths]).astype(np.int32)
    encodings = {
        "input_ids": chance.integers(5, 8000, (positions, 3)).astype(np.int32),
        "attention_mask": np.ones((positions, 3), np.int8),
        "word_index": np.repeat(words[:, None], 3, axis=1),
    }
    labels = (chance.random((rows, len(LABELS))) < 0.2).astype(np.int8)
    return EncodedTexts(encodings, np.concatenate([[0], np.cumsum(lengths)]), labels)


def epoch_seconds(
    model: Any, rows: Any, collator: Any, labels: np.ndarray, folder: Path
) -> tuple[float, float]:
    """CPU seconds of this process, and seconds by the clock."""
    trainer = StackedEmotionTrainer(
        model=model,
        args=TrainingArguments(
            str(folder), per_device_train_batch_size=32, num_train_epochs=1, report_to="none",
            train_sampling_strategy="group_by_length", disable_tqdm=True, save_strategy="no",
            remove_unused_columns=False, label_names=["labels"], seed=0,
        ),
        train_dataset=rows,
        data_collator=collator,
        loss=build_loss("hybrid", LabelStatistics.from_labels(labels, LABELS)),
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    begin = time.process_time(), time.perf_counter()
    trainer.train()
    return time.process_time() - begin[0], time.perf_counter() - begin[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--texts", type=int, default=640)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--mean_length", type=int, default=28)
    options = parser.parse_args()
    prepare_process()
    model, rows = (
        build_model(options.layers, options.width),
        build_rows(options.texts, options.mean_length),
    )
    labels = rows.labels
    assert labels is not None
    report: dict[str, Any] = {"settings": vars(options) | {"threads": torch.get_num_threads()}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        layout = CacheLayout(rows.word_counts, (options.width,) * 3, len(LABELS))
        begin = time.perf_counter()
        writer = FeatureCacheWriter(folder / "cache", layout, "random")
        writer.fill(model, rows, np.arange(options.texts))
        writer.finish()
        report["fill_seconds"] = round(time.perf_counter() - begin, 2)
        cache = FeatureCache(folder / "cache", layout, labels)
        taken: dict[str, list[tuple[float, float]]] = {"encoders": [], "cached": []}
        with encoders_aside(model):
            epoch_seconds(model, cache, FeatureCollator(), labels, folder)  # warm-up
        for _ in range(options.turns):
            taken["encoders"].append(
                epoch_seconds(model, rows, EncodedTextCollator(), labels, folder)
            )
            with encoders_aside(model):
                taken["cached"].append(
                    epoch_seconds(model, cache, FeatureCollator(), labels, folder)
                )
    for place, kind in enumerate(("cpu", "clock")):
        by_kind = {name: [turn[place] for turn in turns] for name, turns in taken.items()}
        ratios = [slow / fast for slow, fast in zip(*by_kind.values(), strict=True)]
        report[f"epoch_seconds_{kind}"] = {
            name: [round(value, 3) for value in values] for name, values in by_kind.items()
        }
        report[f"times_faster_{kind}"] = {
            "by_turn": [round(ratio, 1) for ratio in ratios],
            "median": round(statistics.median(ratios), 1),
        }
    report["kilobytes_a_text"] = round(layout.nbytes / options.texts / 1e3, 1)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
