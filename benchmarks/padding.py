"""Share of padded positions in the batches of the predictor and of the server.

Each encoder runs on its own longest text of a batch, so positions are counted per encoder. Where a
share p is padding, passes without any (packed ones) could at most be 1 / (1 - p) times as fast.
The server's batches depend on what arrives while it computes, so there the model does run.

    OMP_NUM_THREADS=1 python benchmarks/padding.py runs/arabic/model dev.txt other.csv
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from stacked_emotion.common.tables import markdown_table
from stacked_emotion.data.arguments import DataArguments
from stacked_emotion.data.labeled_texts import load_labeled_texts
from stacked_emotion.inference import StackedEmotionPredictor
from stacked_emotion.inference.serving.predictor_handler import PredictorHandler


class Counting:
    """A runner that counts positions, and perhaps computes nothing.

    Args:
        runner: the one that computes.
        computes: false to answer zeros.
    """

    def __init__(self, runner: Any, labels: int, computes: bool) -> None:
        self.runner, self.labels, self.computes = runner, labels, computes
        self.texts = self.batches = self.read = self.run = 0

    def __call__(self, batch: dict[str, np.ndarray]) -> np.ndarray:
        lengths = batch["attention_mask"].sum(1)
        self.texts, self.batches = self.texts + len(lengths), self.batches + 1
        self.read += int(lengths.sum())
        self.run += int(lengths.max(0).sum()) * len(lengths)
        if self.computes:
            return self.runner(batch)
        return np.zeros((len(lengths), self.labels), np.float32)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.runner, name)

    def row(self, what: str, way: str) -> list[str]:
        padded = 1 - self.read / self.run
        return [
            what, way, f"{self.texts / self.batches:.1f}", f"{padded:.1%}",
            f"{1 / (1 - padded):.3f}",
        ]  # fmt: skip


def main() -> None:
    """Print the table in docs/performance.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("files", nargs="+", help="labeled texts")
    parser.add_argument("--clients", type=int, nargs="*", default=[8, 64])
    parser.add_argument("--texts", type=int, default=600, help="most texts per file at the server")
    options = parser.parse_args()
    predictor = StackedEmotionPredictor.from_pretrained(
        options.model, backend="torch", dtype="float32"
    )
    runner, labels = predictor.runner, len(predictor.labels)
    rows = []
    for file in options.files:
        read = load_labeled_texts(DataArguments(train_file=file), "train")
        assert read is not None
        what = f"{Path(file).parent.name}/{Path(file).name}"
        requests = [{"inputs": text} for text in read.texts[: options.texts]]
        predictor.runner = counting = Counting(runner, labels, computes=False)
        predictor.score(read.texts)
        rows.append(counting.row(what, "predictor"))
        for clients in options.clients:
            predictor.runner = counting = Counting(runner, labels, computes=True)
            handler = PredictorHandler(predictor)
            with ThreadPoolExecutor(clients) as pool:
                list(pool.map(handler, requests))
            rows.append(counting.row(what, f"server, {clients} clients"))
    header = ["texts", "way", "texts per batch", "padded", "packed: at most times as fast"]
    print(markdown_table(header, rows))


if __name__ == "__main__":
    main()
