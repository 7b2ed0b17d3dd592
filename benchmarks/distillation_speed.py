"""Throughput and single-text latency of a teacher and its student, in turns, as ratios.

    python benchmarks/distillation_speed.py --teacher runs/arabic/model --student runs/student/model

Teacher and student are measured one after the other in every round, so that whatever else the
machine does hits both; the medians of the rounds and the median of the rounds' ratios are printed.
Texts are synthetic, as long as tweets. Both run in PyTorch with the same threads and format.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from random_stack import synthetic_texts
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging

from stacked_emotion.inference import StackedEmotionPredictor


def teacher_scorer(folder: str, dtype: str) -> Callable[[list[str], int], Any]:
    """A function that scores texts by the stack; its own predictor sorts and batches them."""
    predictor = StackedEmotionPredictor.from_pretrained(
        folder, dtype=dtype, device="cpu", backend="torch"
    )
    return lambda texts, batch: predictor.predict_proba(texts)


def student_scorer(folder: str, dtype: str) -> Callable[[list[str], int], Any]:
    """A function that scores texts by the stock model, sorted by length, in batches."""
    model = AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=getattr(torch, dtype)
    ).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)

    @torch.inference_mode()
    def score(texts: list[str], batch: int) -> None:
        texts = sorted(texts, key=len)
        for begin in range(0, len(texts), batch):
            part = texts[begin : begin + batch]
            inputs = tokenizer(part, padding=True, truncation=True, return_tensors="pt")
            torch.sigmoid(model(**inputs).logits.float())

    return score


def seconds(score: Callable[[list[str], int], Any], texts: list[str], batch: int) -> float:
    begin = time.perf_counter()
    if batch == 1:
        for text in texts:
            score([text], 1)
    else:
        score(texts, batch)
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--teacher", required=True, help="folder of the stack")
    parser.add_argument("--student", required=True, help="folder of the student")
    parser.add_argument("--texts", type=int, default=256)
    parser.add_argument("--single", type=int, default=24, help="texts scored one at a time")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--batch",
        type=int,
        default=16,
        help="texts per batch of the student; 16 tweets have about as many positions as the "
        "predictor puts into one (256 to 512), where the caches are used best",
    )
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--output", type=Path, help="write the figures to this JSON file")
    options = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    texts = synthetic_texts(options.texts)
    report: dict[str, Any] = {
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "texts": options.texts,
        "student_batch": options.batch,
        "rounds": options.rounds,
    }
    for dtype in options.dtypes:
        scorers = {
            "teacher": teacher_scorer(options.teacher, dtype),
            "student": student_scorer(options.student, dtype),
        }
        cases = {"throughput": (texts, options.batch), "single": (texts[: options.single], 1)}
        times: dict[str, dict[str, list[float]]] = {
            case: {name: [] for name in scorers} for case in cases
        }
        for score in scorers.values():  # warm up
            seconds(score, texts[:32], options.batch)
        for _ in range(options.rounds):
            for case, (given, batch) in cases.items():
                for name, score in scorers.items():
                    times[case][name].append(seconds(score, given, batch) / len(given))
        for case, taken in times.items():
            middle = {name: statistics.median(values) for name, values in taken.items()}
            ratios = [t / s for t, s in zip(taken["teacher"], taken["student"], strict=True)]
            report[f"{case}, {dtype}"] = {
                "teacher_ms_per_text": round(1000 * middle["teacher"], 3),
                "student_ms_per_text": round(1000 * middle["student"], 3),
                "times_as_fast": round(statistics.median(ratios), 2),
                "lowest": round(min(ratios), 2),
                "highest": round(max(ratios), 2),
            }
    print(json.dumps(report, indent=1))
    if options.output:
        options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
