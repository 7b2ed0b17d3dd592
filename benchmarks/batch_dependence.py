"""How far a text's scores move with the texts that share its batch, by backend and dtype.

Each text is scored alone and in the server's batches of rounds of 64 texts.

    OMP_NUM_THREADS=1 python benchmarks/batch_dependence.py runs/arabic/model dev.txt
"""

from __future__ import annotations

import argparse

import numpy as np

from stacked_emotion.common.tables import markdown_table
from stacked_emotion.data.arguments import DataArguments
from stacked_emotion.data.labeled_texts import load_labeled_texts
from stacked_emotion.inference import StackedEmotionPredictor
from stacked_emotion.inference.serving.handler import BATCH_TEXTS
from stacked_emotion.inference.serving.predictor_handler import PredictorHandler

WAYS = ("torch float32", "torch bfloat16", "onnx float32", "onnx int8", "openvino bfloat16",
        "openvino int8")  # fmt: skip
BAR = 2e-3


def main() -> None:
    """Print the table in docs/performance.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("file", help="labeled texts")
    parser.add_argument("--texts", type=int, default=192)
    parser.add_argument("--ways", nargs="+", default=WAYS)
    options = parser.parse_args()
    read = load_labeled_texts(DataArguments(train_file=options.file), "train")
    assert read is not None
    texts = read.texts[: options.texts]
    rows = []
    for way in options.ways:
        backend, dtype = way.split()
        predictor = StackedEmotionPredictor.from_pretrained(
            options.model, backend=backend, dtype=dtype, device="cpu"
        )
        tokens = PredictorHandler(predictor).batch_tokens
        alone = [predictor.score([text]) for text in texts]
        scores = np.concatenate([one.probabilities for one in alone])
        given = np.concatenate([one.given for one in alone])
        moved, labels = np.zeros_like(scores), np.zeros_like(given)
        for start in range(0, len(texts), BATCH_TEXTS):
            for places, found in predictor.score_batches(
                texts[start : start + BATCH_TEXTS], tokens
            ):
                moved[start + places], labels[start + places] = found.probabilities, found.given
        moved = np.abs(moved - scores)
        rows.append([
            way, f"{moved.max():.1e}", f"{moved.mean():.1e}", f"{(moved > BAR).mean():.1%}",
            f"{(labels != given).mean():.2%}",
        ])  # fmt: skip
    header = ["backend", "largest", "mean", f"over {BAR}", "other labels"]
    print(markdown_table(header, rows))


if __name__ == "__main__":
    main()
