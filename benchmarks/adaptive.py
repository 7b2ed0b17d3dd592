"""Adaptive stacking against the full stack on labeled texts: throughput, equal cells, Jaccard.

Both ways take turns in one process, after a turn that does not count. The ratio is the median of
the turns' ratios.

    python benchmarks/adaptive.py runs/arabic/model dev.txt --backend torch --dtype float32
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import numpy as np
import torch

from stacked_emotion.data.arguments import DataArguments
from stacked_emotion.data.labeled_texts import load_labeled_texts
from stacked_emotion.inference import StackedEmotionPredictor
from stacked_emotion.trainer.metrics.scores import jaccard_per_row


def main() -> None:
    """Score the texts both ways, and print a line of the table in docs/adaptive.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("file", help="labeled texts that no part of the model has seen")
    parser.add_argument("--backend", default="torch")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    full, fast = (
        StackedEmotionPredictor.from_pretrained(
            options.model, backend=options.backend, dtype=options.dtype, adaptive=adaptive
        )
        for adaptive in (False, True)
    )
    texts = load_labeled_texts(DataArguments(train_file=options.file), "train", full.labels)
    assert texts is not None
    ratios = []
    for turn in range(options.rounds + 1):
        begin = time.perf_counter()
        expected = full.score(texts.texts)
        middle = time.perf_counter()
        found = fast.score(texts.texts)
        if turn:
            ratios.append((middle - begin) / (time.perf_counter() - middle))
    assert found.encoders_run is not None
    stops = np.bincount(found.encoders_run, minlength=len(found.order) + 1)[1:] / len(texts)
    one, other = (jaccard_per_row(texts.labels, way.given).mean() for way in (found, expected))
    print(
        f"| {full.backend} | {' / '.join(f'{share:.0%}' for share in stops)} | "
        f"{median(ratios):.2f} | {(found.given == expected.given).mean():.2%} | "
        f"{one:.4f} (full: {other:.4f}) |"
    )


if __name__ == "__main__":
    main()
