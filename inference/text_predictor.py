"""From texts to labels, whatever computes the logits: windows, batches by length, order kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import numpy as np

from .decisions import Decision, sigmoid
from .encoding import EncodedTexts, TextEncoder

WINDOW = 4096
BATCH_TOKENS = 1024


@dataclass(frozen=True)
class Prediction:
    """The answer for one text.

    Attributes:
        labels: the labels given (see `decision` in the config), most likely first.
        scores: probability of every label, in the model's order.
    """

    labels: list[str]
    scores: dict[str, float]


class Runner(Protocol):
    """Computes logits; one for each backend.

    Attributes:
        backend: "torch", "onnx" or "openvino".
        dtype: what it computes in.
        batch_tokens: positions a batch, padding included, at which it is fastest.
        workers: batches it computes at a time.
    """

    backend: str
    dtype: str
    batch_tokens: int
    workers: int

    def __call__(self, batch: dict[str, np.ndarray]) -> np.ndarray:
        """(texts, sequence, encoders) arrays to (texts, labels) float32 logits."""
        ...


@dataclass
class _Window:
    """Texts read together: the different ones, encoded, and where each text's answer is."""

    places: np.ndarray
    encoded: EncodedTexts


class TextPredictor:
    """Predicts labels of texts with a runner.

    Args:
        encoder: texts to arrays.
        decision: probabilities to labels.
        runner: arrays to logits.
    """

    def __init__(self, encoder: TextEncoder, decision: Decision, runner: Runner) -> None:
        self._text_encoder = encoder
        self._decision = decision
        self.runner = runner

    @property
    def backend(self) -> str:
        """What computes, and in which numbers, as "torch bfloat16"."""
        return f"{self.runner.backend} {self.runner.dtype}"

    @property
    def labels(self) -> list[str]:
        """The labels, in the order of the scores."""
        return list(self._decision.labels)

    @property
    def thresholds(self) -> list[float]:
        """The probability at which each label is given; 0.5 where none is stored."""
        return list(self._decision.thresholds)

    def decide(self, scores: np.ndarray) -> np.ndarray:
        """The labels given for (texts, labels) probabilities, as the model's config says."""
        return self._decision(scores)

    def predict(
        self,
        texts: Sequence[str],
        batch_tokens: int | None = None,
        progress: bool | None = None,
    ) -> list[Prediction]:
        """Labels and scores of texts, in their order.

        Args:
            texts: the texts; an empty one is a text without words.
            batch_tokens: positions a batch, padding included; None for the backend's own choice.
            progress: show a bar; None for one on a terminal when there are many texts.

        Raises:
            ValueError: something that is not a text, with its position.
        """
        return self._answers(self.predict_proba(texts, batch_tokens, progress))

    def predict_proba(
        self,
        texts: Sequence[str],
        batch_tokens: int | None = None,
        progress: bool | None = None,
    ) -> np.ndarray:
        """Probabilities of texts, (texts, labels) float32, in their order.

        Args:
            texts: the texts.
            batch_tokens: positions a batch, padding included; None for the backend's own choice.
            progress: show a bar; None for one on a terminal when there are many texts.

        Raises:
            ValueError: something that is not a text, with its position.
        """
        check_texts(texts)
        if progress is None and len(texts) <= WINDOW:
            progress = False
        scores = np.zeros((len(texts), len(self._decision.labels)), np.float32)
        done = 0
        advance, close = _progress_bar(len(texts), progress)
        try:
            for part in self._scores(iter(texts), WINDOW, batch_tokens, advance):
                scores[done : done + len(part)] = part
                done += len(part)
        finally:
            close()
        return scores

    def stream(
        self, texts: Iterable[str], window: int = WINDOW, batch_tokens: int | None = None
    ) -> Iterator[Prediction]:
        """As `predict`, over an iterable of any length in bounded memory.

        Args:
            texts: the texts; up to two windows are read ahead.
            window: texts read together; they are sorted by length, and equal ones computed once.
            batch_tokens: positions a batch; None for the backend's own choice.

        Raises:
            ValueError: something that is not a text, with its position.
        """
        for scores in self._scores(_checked(texts), window, batch_tokens):
            yield from self._answers(scores)

    def _scores(
        self,
        texts: Iterator[str],
        window: int,
        batch_tokens: int | None,
        advance: Callable[[int], Any] = int,
    ) -> Iterator[np.ndarray]:
        """Probabilities window by window; the next one is encoded while this one is computed."""
        part = list(islice(texts, window))
        if not part:
            return
        following = list(islice(texts, window))
        if not following:
            yield self._compute(self._encode(part), batch_tokens, advance)
            return
        with ThreadPoolExecutor(1, "tokenize") as pool:
            encoded = self._encode(part)
            while following:
                ahead = pool.submit(self._encode, following)
                yield self._compute(encoded, batch_tokens, advance)
                encoded = ahead.result()
                following = list(islice(texts, window))
            yield self._compute(encoded, batch_tokens, advance)

    def _encode(self, texts: list[str]) -> _Window:
        row_of = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        places = np.fromiter((row_of[text] for text in texts), np.int64, len(texts))
        return _Window(places, self._text_encoder(list(row_of)))

    def _compute(
        self, window: _Window, batch_tokens: int | None, advance: Callable[[int], Any]
    ) -> np.ndarray:
        encoded, runner = window.encoded, self.runner
        scores = np.zeros((len(encoded.lengths), len(self._decision.labels)), np.float32)
        copies = np.bincount(window.places, minlength=len(scores))

        def run(rows: np.ndarray) -> None:
            logits = runner(encoded.batch(rows)).astype(np.float64)
            scores[rows] = sigmoid(logits)
            advance(int(copies[rows].sum()))

        batches = batches_by_length(encoded.lengths, batch_tokens or runner.batch_tokens)
        if runner.workers > 1 and len(batches) > 1:
            with ThreadPoolExecutor(runner.workers, "predict") as pool:
                list(pool.map(run, batches))
        else:
            for rows in batches:
                run(rows)
        return scores[window.places]

    def _answers(self, scores: np.ndarray) -> list[Prediction]:
        names, answers = self._decision.labels, []
        for row, given in zip(scores.tolist(), self.decide(scores), strict=True):
            chosen = sorted(np.flatnonzero(given).tolist(), key=lambda index: -row[index])
            labels = [names[index] for index in chosen]
            answers.append(Prediction(labels, dict(zip(names, row, strict=True))))
        return answers


def batches_by_length(lengths: np.ndarray, batch_tokens: int) -> list[np.ndarray]:
    """Rows in batches of at most `batch_tokens` padded positions, the longest texts first.

    Args:
        lengths: (rows,) positions of each row.
        batch_tokens: positions a batch; a row longer than that is a batch of its own.
    """
    order = np.argsort(-lengths, kind="stable")
    batches, start = [], 0
    while start < len(order):
        size = max(1, batch_tokens // int(lengths[order[start]]))
        batches.append(order[start : start + size])
        start += size
    return batches


def check_texts(texts: Any) -> None:
    """Refuse what is no sequence of texts.

    Raises:
        ValueError: with the position of the first that is not a text.
    """
    if isinstance(texts, str):
        raise ValueError("Give a list of texts: [text] for a single one.")
    for _ in _checked(texts):
        pass


def _checked(texts: Iterable[str]) -> Iterator[str]:
    if isinstance(texts, str):
        raise ValueError("Give a list of texts: [text] for a single one.")
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(
                f"texts[{position}] is {type(text).__name__} ({text!r}), not str: drop it or "
                "turn it into a text."
            )
        yield text


def _progress_bar(
    total: int, progress: bool | None
) -> tuple[Callable[[int], Any], Callable[[], Any]]:
    """How to advance a bar and how to close it; None shows it on a terminal only."""
    if progress is False:
        return int, list
    from tqdm.auto import tqdm

    bar = tqdm(total=total, disable=None if progress is None else False, unit="texts")
    return bar.update, bar.close
