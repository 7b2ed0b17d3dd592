"""Texts longer than the encoders read: cut, or read in overlapping windows.

    python benchmarks/long_texts.py MODEL dev.txt --join 2 4 8

Labeled texts are joined in groups, in their order. The labels of a group are the union of those of
its texts. Each mode answers the same groups. Jaccard is the mean over the groups.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from stacked_emotion.common.tables import markdown_table
from stacked_emotion.data.arguments import DataArguments
from stacked_emotion.data.labeled_texts import load_labeled_texts
from stacked_emotion.inference import StackedEmotionPredictor
from stacked_emotion.trainer.metrics.scores import emotion_scores

MODES = {"truncate": {}, "window, mean": {"pooling": "mean"}, "window, max": {"pooling": "max"}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", help="folder of a model or run")
    parser.add_argument("file", help="labeled texts")
    parser.add_argument("--join", type=int, nargs="+", default=[2, 4, 8], help="texts per group")
    options = parser.parse_args()
    rows = []
    for mode, more in MODES.items():
        predictor = StackedEmotionPredictor.from_pretrained(
            options.model, dtype="float32", backend="torch",
            long_texts="window" if more else "truncate", **more,
        )  # fmt: skip
        names = list(predictor.labels)
        data = load_labeled_texts(DataArguments(test_file=options.file), "test", names)
        assert data is not None
        for size in options.join:
            groups = range(0, len(data) - size + 1, size)
            texts = [" ".join(data.texts[start : start + size]) for start in groups]
            gold = np.stack([data.labels[start : start + size].max(0) for start in groups])
            begin = time.perf_counter()
            found = predictor.score(texts)
            seconds = time.perf_counter() - begin
            scores = emotion_scores(
                gold.astype(int), found.probabilities, label_names=names,
                decisions=found.given.astype(int),
            )  # fmt: skip
            rows.append([mode, size, len(texts), int(found.truncated.sum()),
                         *(f"{scores[name]:.3f}" for name in ("jaccard", "micro_f1", "macro_ap")),
                         f"{1000 * seconds / len(texts):.0f}"])  # fmt: skip
    columns = ["mode", "texts joined", "groups", "not read in full"]
    columns += ["Jaccard", "micro-F1", "macro AP"]
    print(markdown_table([*columns, "ms per group"], sorted(rows, key=lambda row: row[1])))


if __name__ == "__main__":
    main()
