"""Memory of training on a feature cache of 10,000 and of 1,000,000 texts of tiny width.

Each size runs in its own process: the cache is written in pieces, opened with its digests
verified, and one epoch is trained on it. Reported is the highest anonymous memory (RssAnon, what
is not backed by a file) and, apart from it, the pages of files and maps (RssFile). `--steps`
limits the epoch; the order of all rows is drawn in any case.

    OMP_NUM_THREADS=1 python benchmarks/memory_by_rows.py
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

SIZES, LABELS, WORDS = (4, 4), 3, 6


def memory() -> dict[str, float]:
    """Megabytes of this process now."""
    lines = Path("/proc/self/status").read_text().splitlines()
    found = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Rss")}
    return {name: int(value) / 1024 for name, value in found.items()}


class Peak:
    """Samples the memory every 5 ms while it is entered."""

    def __enter__(self) -> Peak:
        self.highest: dict[str, float] = {}
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def _watch(self) -> None:
        while not self.stop.is_set():
            for name, value in memory().items():
                self.highest[name] = max(self.highest.get(name, 0.0), value)
            time.sleep(0.005)

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()


def measure(rows: int, steps: int, folder: Path) -> dict[str, float]:
    import torch
    from transformers import BertConfig, PrinterCallback, TrainingArguments

    from stacked_emotion import StackedEmotionConfig, StackedEmotionForSequenceClassification
    from stacked_emotion.trainer import LabelStatistics, StackedEmotionTrainer, build_loss
    from stacked_emotion.trainer.data_collator import FeatureCollator
    from stacked_emotion.trainer.features.cache import CacheLayout, open_cache
    from stacked_emotion.trainer.features.writer import FeatureCacheWriter

    torch.manual_seed(0)
    encoder = BertConfig(
        vocab_size=10, hidden_size=4, num_hidden_layers=1, num_attention_heads=1,
        intermediate_size=4,
    ).to_dict()  # fmt: skip
    names = ["a", "b"]
    model = StackedEmotionForSequenceClassification(
        StackedEmotionConfig(encoder_names=names, encoders=dict.fromkeys(names, encoder),
                             id2label=dict(enumerate("xyz")), lstm_hidden_size=4)
    )  # fmt: skip
    labels_file = folder / "labels.bin"
    labels = np.memmap(labels_file, np.int8, "w+", shape=(rows, LABELS))
    writer_layout = CacheLayout(np.full(rows, WORDS, np.int32), SIZES, LABELS)
    writer = FeatureCacheWriter(folder / "cache", writer_layout, "random")
    chance = np.random.default_rng(0)
    for start in range(0, rows, 10_000):
        part = slice(start, start + 10_000)
        labels[part] = chance.random((10_000, LABELS)) < 0.3
        words = slice(start * WORDS, (start + 10_000) * WORDS)
        writer.words[words] = chance.random((10_000 * WORDS, sum(SIZES))).astype(np.float16)
    writer.finish()
    statistics = LabelStatistics.from_labels(np.asarray(labels[:10_000]), list("xyz"))
    del writer

    def train(limit: int) -> None:
        cache = open_cache(folder / "cache", writer_layout, "random", labels)
        trainer = StackedEmotionTrainer(
            model=model,
            args=TrainingArguments(
                str(folder), per_device_train_batch_size=32, max_steps=limit, report_to="none",
                use_cpu=True, train_sampling_strategy="group_by_length", disable_tqdm=True,
                save_strategy="no", remove_unused_columns=False, label_names=["labels"],
            ),
            train_dataset=cache,
            data_collator=FeatureCollator(),
            loss=build_loss("hybrid", statistics),
        )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        trainer.train()

    train(5)  # what torch takes once
    with Peak() as peak:
        train(steps)
    size = sum(path.stat().st_size for path in (folder / "cache").iterdir()) / 2**20
    return {**{k: round(v, 1) for k, v in peak.highest.items()}, "map_megabytes": round(size, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--steps", type=int, default=312)
    parser.add_argument("--child", type=Path)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(options.rows[0], options.steps, options.child)))
        return
    report = {}
    for rows in options.rows:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, __file__, "--rows", str(rows), "--child", folder]
            done = subprocess.run(
                [*command, "--steps", str(options.steps)], stdout=subprocess.PIPE, check=True
            )
            report[f"{rows:,}"] = json.loads(done.stdout.decode().strip().splitlines()[-1])
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
