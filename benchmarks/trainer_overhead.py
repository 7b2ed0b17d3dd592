"""CPU time of `StackedEmotionTrainer` with plain BCE against the stock `Trainer`.

The same model, rows, seed and arguments; the two take turns in one process, each run is timed by
`time.process_time` (CPU seconds of this process, so that other processes matter little), and the
medians are compared. Two warm-up runs are thrown away.

    OMP_NUM_THREADS=1 python benchmarks/trainer_overhead.py
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BertConfig, PrinterCallback, Trainer, TrainingArguments
from transformers.utils import logging

from stacked_emotion import StackedEmotionConfig, StackedEmotionForSequenceClassification
from stacked_emotion.trainer import LabelStatistics, StackedEmotionTrainer, build_loss
from stacked_emotion.trainer.data_collator import EncodedTextCollator, EncodedTexts

LABELS = [f"label_{index}" for index in range(11)]


def build_model(width: int) -> StackedEmotionForSequenceClassification:
    torch.manual_seed(0)
    encoder = BertConfig(
        vocab_size=2000, hidden_size=width, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=2 * width, max_position_embeddings=64,
    ).to_dict()  # fmt: skip
    config = StackedEmotionConfig(
        encoder_names=["one", "two"], encoders={"one": encoder, "two": encoder},
        id2label=dict(enumerate(LABELS)),
    )  # fmt: skip
    return StackedEmotionForSequenceClassification(config)


def build_rows(rows: int, length: int) -> EncodedTexts:
    chance = np.random.default_rng(0)
    positions = rows * length
    encodings = {
        "input_ids": chance.integers(5, 2000, (positions, 2)).astype(np.int32),
        "attention_mask": np.ones((positions, 2), np.int8),
        "word_index": np.tile(np.arange(length, dtype=np.int32)[:, None], (rows, 2)),
    }
    labels = (chance.random((rows, len(LABELS))) < 0.3).astype(np.int8)
    return EncodedTexts(encodings, np.arange(rows + 1) * length, labels)


def seconds(kind: str, rows: EncodedTexts, width: int, steps: int, folder: Path) -> float:
    options: dict[str, Any] = {}
    if kind == "named loss":
        options["loss"] = build_loss("bce", LabelStatistics.from_labels(rows.labels, LABELS))
    trainer = (Trainer if kind == "stock" else StackedEmotionTrainer)(
        model=build_model(width),
        args=TrainingArguments(
            str(folder), per_device_train_batch_size=16, max_steps=steps, report_to="none",
            use_cpu=True, disable_tqdm=True, remove_unused_columns=False, save_strategy="no",
            label_names=["labels"], logging_steps=20, seed=0,
        ),
        train_dataset=rows,
        data_collator=EncodedTextCollator(),
        **options,
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    gc.collect()
    begin = time.process_time()
    trainer.train()
    return time.process_time() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--length", type=int, default=24)
    options = parser.parse_args()
    logging.set_verbosity_error()
    rows = build_rows(16 * 40, options.length)
    kinds = ("stock", "plain BCE", "named loss")
    taken: dict[str, list[float]] = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory() as folder:
        for run in range(options.runs + 2):
            for kind in kinds[run % 3 :] + kinds[: run % 3]:
                value = seconds(kind, rows, options.width, options.steps, Path(folder))
                if run >= 2:
                    taken[kind].append(value)
    medians = {kind: statistics.median(values) for kind, values in taken.items()}

    def ratios(kind: str) -> list[float]:
        return [mine / stock for mine, stock in zip(taken[kind], taken["stock"], strict=True)]

    report = {
        "cpu_seconds": {k: [round(v, 3) for v in values] for k, values in taken.items()},
        "median": {kind: round(value, 3) for kind, value in medians.items()},
        "over_stock_percent": {
            kind: round(100 * (medians[kind] / medians["stock"] - 1), 2) for kind in kinds[1:]
        },
        "median_over_stock_of_the_same_turn_percent": {
            kind: round(100 * (statistics.median(ratios(kind)) - 1), 2) for kind in kinds[1:]
        },
        "settings": vars(options) | {"threads": torch.get_num_threads()},
    }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
