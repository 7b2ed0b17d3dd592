"""Windows, batches, order and repeated texts, with a runner that only counts."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from stacked_emotion.alignment_stacked_emotion import AlignedBatchEncoder
from stacked_emotion.common.batching import batches_by_length
from stacked_emotion.inference.backends.onnx import text_encoder
from stacked_emotion.inference.decisions import Decision
from stacked_emotion.inference.model_files import ModelFiles
from stacked_emotion.inference.text_predictor import TextPredictor


class CountingRunner:
    """The logit of a text is its number of words; keeps the shapes it was given."""

    backend, dtype, device, batch_tokens = "counting", "float64", "cpu", 64

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers
        self.shapes: list[tuple[int, ...]] = []
        self.threads: set[int] = set()

    def __call__(self, batch: dict[str, np.ndarray]) -> np.ndarray:
        self.shapes.append(batch["input_ids"].shape)
        self.threads.add(threading.get_ident())
        words = batch["word_index"].max((1, 2))
        return np.stack([words - 10, 10 - words], axis=1).astype(np.float32)


@pytest.fixture
def encoder(tiny_stack_folder: Path) -> AlignedBatchEncoder:
    return text_encoder(ModelFiles(tiny_stack_folder))


def predictor(
    encoder: AlignedBatchEncoder, workers: int = 1
) -> tuple[TextPredictor, CountingRunner]:
    runner = CountingRunner(workers)
    return TextPredictor(encoder, Decision(["long", "short"], [0.5, 0.5]), runner), runner


@pytest.mark.parametrize("workers", [1, 2])
def test_order_is_kept_over_windows_and_workers(encoder: AlignedBatchEncoder, workers: int) -> None:
    texts = [" ".join(["نص"] * (1 + 7 * number % 19)) for number in range(60)]
    expected = [1 / (1 + np.exp(10 - (1 + 7 * number % 19))) for number in range(60)]
    made, _ = predictor(encoder, workers)
    np.testing.assert_allclose(made.predict_proba(texts)[:, 0], expected, rtol=1e-6)
    streamed = [answer.scores["long"] for answer in made.stream(iter(texts), chunk=7)]
    np.testing.assert_allclose(streamed, expected, rtol=1e-6)


def test_repeated_texts_are_computed_once_a_window(encoder: AlignedBatchEncoder) -> None:
    made, runner = predictor(encoder)
    made.predict(["نص"] * 50 + ["نص ثان"])
    assert sum(shape[0] for shape in runner.shapes) == 2


def test_batches_hold_no_more_positions_than_asked(encoder: AlignedBatchEncoder) -> None:
    lengths = np.array([3, 60, 5, 5, 200, 7, 1])
    batches = batches_by_length(lengths, 64, longest_first=True)
    assert sorted(np.concatenate(batches)) == list(range(7))
    assert [lengths[rows].tolist() for rows in batches] == [[200], [60], [7, 5, 5, 3, 1]]
    made, runner = predictor(encoder)
    made.predict([" ".join(["نص"] * size) for size in range(1, 30)], batch_tokens=40)
    assert all(shape[0] * shape[1] <= 40 or shape[0] == 1 for shape in runner.shapes)


def test_endless_input_is_read_window_by_window(encoder: AlignedBatchEncoder) -> None:
    read = 0

    def endless() -> Iterator[str]:
        nonlocal read
        for read in itertools.count(1):
            yield f"نص {read}"

    made, _ = predictor(encoder)
    answers = list(itertools.islice(made.stream(endless(), chunk=10), 25))
    assert len(answers) == 25
    assert read <= 25 + 20 + 10


def test_what_is_no_text_is_told_with_its_position(encoder: AlignedBatchEncoder) -> None:
    made, _ = predictor(encoder)
    with pytest.raises(ValueError, match=r"texts\[3\] is int"):
        list(made.stream(["a", "b", "c", 4], chunk=2))  # type: ignore[list-item]
    with pytest.raises(ValueError, match="list"):
        next(made.stream("abc"))
    assert list(made.stream([])) == []
