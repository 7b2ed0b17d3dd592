"""How far a text's scores move with the texts that share its batch, by backend and dtype.

Each text is scored alone and in the server's batches of rounds of 64 texts; by a student (a stock
encoder with exported graphs), in batches of 64.

    OMP_NUM_THREADS=1 python benchmarks/batch_dependence.py runs/arabic/model dev.txt
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
import onnxruntime
from transformers import AutoTokenizer

from stacked_emotion.common.numerics import sigmoid
from stacked_emotion.common.tables import markdown_table
from stacked_emotion.data.arguments import DataArguments
from stacked_emotion.data.labeled_texts import load_labeled_texts
from stacked_emotion.inference import StackedEmotionPredictor
from stacked_emotion.inference.backends.student_export import GRAPHS
from stacked_emotion.inference.model_files import CONFIG, ModelFiles
from stacked_emotion.inference.serving.handler import BATCH_TEXTS
from stacked_emotion.inference.serving.predictor_handler import PredictorHandler

WAYS = ("torch float32", "torch bfloat16", "onnx float32", "onnx int8", "openvino bfloat16",
        "openvino int8")  # fmt: skip
STUDENT_WAYS = ("onnx float32", "onnx int8")
BAR = 2e-3
Scored = tuple[np.ndarray, np.ndarray]
"""Scores and 0/1 labels, each (texts, labels)."""


def main() -> None:
    """Print the table in docs/performance.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("file", help="labeled texts")
    parser.add_argument("--texts", type=int, default=192)
    parser.add_argument("--ways", nargs="+")
    options = parser.parse_args()
    read = load_labeled_texts(DataArguments(train_file=options.file), "train")
    assert read is not None
    texts = read.texts[: options.texts]
    student = ModelFiles(options.model).read_json(CONFIG)["model_type"] != "stacked_emotion"
    of_way, ways = (of_student, STUDENT_WAYS) if student else (of_stack, WAYS)
    rows = []
    for way in options.ways or ways:
        (scores, given), (moved, labels) = of_way(options.model, way, texts)
        moved = np.abs(moved - scores)
        rows.append([
            way, f"{moved.max():.1e}", f"{moved.mean():.1e}", f"{(moved > BAR).mean():.1%}",
            f"{(labels != given).mean():.2%}",
        ])  # fmt: skip
    header = ["backend", "largest", "mean", f"over {BAR}", "other labels"]
    print(markdown_table(header, rows))


def of_stack(model: str, way: str, texts: list[str]) -> tuple[Scored, Scored]:
    """What a stack says of texts alone, and in the server's batches."""
    backend, dtype = way.split()
    predictor = StackedEmotionPredictor.from_pretrained(
        model, backend=backend, dtype=dtype, device="cpu"
    )
    tokens = PredictorHandler(predictor).batch_tokens
    alone = [predictor.score([text]) for text in texts]
    scores = np.concatenate([one.probabilities for one in alone])
    given = np.concatenate([one.given for one in alone])
    moved, labels = np.zeros_like(scores), np.zeros_like(given)
    for start in range(0, len(texts), BATCH_TEXTS):
        for places, found in predictor.score_batches(texts[start : start + BATCH_TEXTS], tokens):
            moved[start + places], labels[start + places] = found.probabilities, found.given
    return (scores, given), (moved, labels)


def of_student(model: str, way: str, texts: list[str]) -> tuple[Scored, Scored]:
    """What a student's graph says of texts alone, and in batches; labels at 0.5."""
    files = ModelFiles(model)
    graph = f"onnx/{GRAPHS[way.split()[1]]}"
    session = onnxruntime.InferenceSession(files(graph), providers=["CPUExecutionProvider"])
    tokenizer = AutoTokenizer.from_pretrained(files.location)

    def scored(size: int) -> Iterator[np.ndarray]:
        for start in range(0, len(texts), size):
            batch = tokenizer(texts[start : start + size], padding=True, truncation=True)
            names = ("input_ids", "attention_mask")
            inputs = {name: np.array(batch[name], np.int64) for name in names}
            yield sigmoid(session.run(["logits"], inputs)[0])

    alone, together = (np.concatenate(list(scored(size))) for size in (1, BATCH_TEXTS))
    return (alone, alone >= 0.5), (together, together >= 0.5)


if __name__ == "__main__":
    main()
