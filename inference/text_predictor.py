"""From texts to labels, with any backend: batches by length, in the order of the texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..alignment_stacked_emotion import AlignedBatch, AlignedBatchEncoder
from ..common.batching import batches_by_length
from ..common.errors import UserError, counted
from .adaptive.stack import AdaptiveStack, adaptive_rule
from .decisions import Decision
from .limits import Limits
from .long_texts import LONG_TEXTS, POOLINGS, further_windows, pooled
from .predictions import Prediction, Predictions, TextScores
from .texts import checked, texts_of

if TYPE_CHECKING:
    from typing_extensions import Self

    from .model_files import ModelFiles

CHUNK = 4096
"""Texts that are encoded together. They are sorted by length, and equal ones computed once."""
BATCH_TOKENS = 1024


class Runner(Protocol):
    """Computes logits; one for each backend.

    Attributes:
        backend: "torch", "onnx" or "openvino".
        dtype: what it computes in.
        device: where it runs, such as "cpu".
        batch_tokens: positions of a batch, padding included, at which it is fastest.
        workers: batches it computes at a time.
    """

    backend: str
    dtype: str
    device: str
    batch_tokens: int
    workers: int

    def __call__(self, batch: dict[str, np.ndarray]) -> np.ndarray:
        """(texts, sequence, encoders) arrays to (texts, labels) float32 logits."""
        ...


class TextPredictor:
    """Predicts labels of texts with a runner.

    Args:
        encoder: texts to arrays.
        decision: logits to labels.
        runner: arrays to logits.
        long_texts: "truncate" reads a text up to the encoders' `max_length`; "window" reads all
            of it in overlapping windows. A text that fits has the same scores in both.
        pooling: how the logits of windows become those of a text, "mean" or "max".
        source: where the model came from, for `repr`.

    Attributes:
        limits: how much one call of `predict`, `predict_proba` or `score` may ask for, such as
            `Limits()` in a service; None, the default, for no limit.
        adaptive: skips encoders where the labels are certain enough; None runs all.

    Raises:
        UserError: an unknown value of `long_texts` or `pooling`.
    """

    limits: Limits | None = None
    adaptive: AdaptiveStack | None = None

    def __init__(
        self,
        encoder: AlignedBatchEncoder,
        decision: Decision,
        runner: Runner,
        long_texts: str = "truncate",
        pooling: str = "max",
        source: str = "",
    ) -> None:
        for name, value, known in (
            ("long_texts", long_texts, LONG_TEXTS), ("pooling", pooling, POOLINGS),
        ):  # fmt: skip
            if value not in known:
                raise UserError(f"{name}={value!r} is not known; there are {known}.")
        self.encoder, self.decision, self.runner = encoder, decision, runner
        self.long_texts, self.pooling, self.source = long_texts, pooling, source

    def __repr__(self) -> str:
        source = f"{self.source!r}, " if self.source else ""
        return (
            f"{type(self).__name__}({source}{self.backend} on {self.runner.device}, "
            f"{counted(len(self.labels), 'label')}, up to {self.encoder.max_length} positions, "
            f"long texts: {self.long_texts})"
        )

    @property
    def backend(self) -> str:
        """What computes, and in which numbers, as "torch bfloat16"."""
        return f"{self.runner.backend} {self.runner.dtype}"

    @property
    def labels(self) -> list[str]:
        """The labels, in the order of the scores."""
        return list(self.decision.labels)

    @property
    def thresholds(self) -> list[float]:
        """The probability at which each label is given; 0.5 where none is stored."""
        return list(self.decision.thresholds)

    def decide(self, scores: np.ndarray, has_words: np.ndarray | None = None) -> np.ndarray:
        """The labels given for (texts, labels) probabilities, as the model's config says.

        A text without words, where (texts,) `has_words` is false, gets no label.
        """
        return self.decision.of_probabilities(scores, has_words)

    def predict(
        self,
        texts: Any,
        batch_tokens: int | None = None,
        progress: bool | None = None,
        text: str | None = None,
    ) -> Predictions:
        """Labels and scores of texts, in their order.

        Args:
            texts: one text, or texts in a list, array, pandas Series or DataFrame, or
                `datasets.Dataset`. An empty text is a text without words, which gets no label.
            batch_tokens: positions of a batch, padding included; None for the backend's choice.
            progress: show a bar; None for one on a terminal when there are many texts.
            text: the column of texts of a DataFrame or data set.

        Returns:
            A list with one `Prediction` per text, also for a single text. `.to_pandas()` makes a
            DataFrame of it, and keeps the columns of a DataFrame.

        Raises:
            UserError: something that is not a text, with its position, or more than `limits`
                allows.
        """
        found, index = texts_of(texts, text)
        answers = self.score(found, batch_tokens, progress)
        frame = texts if index is not None and hasattr(texts, "columns") else None
        return Predictions(answers, found, self.labels, index, frame)

    def predict_proba(
        self,
        texts: Any,
        batch_tokens: int | None = None,
        progress: bool | None = None,
        text: str | None = None,
    ) -> np.ndarray:
        """Probabilities of texts, (texts, labels) float32, in their order; see `predict`."""
        return self.score(texts, batch_tokens, progress, text).probabilities

    def score(
        self,
        texts: Any,
        batch_tokens: int | None = None,
        progress: bool | None = None,
        text: str | None = None,
    ) -> TextScores:
        """Logits, probabilities and labels of texts as arrays, in their order; see `predict`."""
        found, _ = texts_of(texts, text)
        if self.limits is not None:
            try:
                self.limits.check(found)
            except ValueError as error:
                raise UserError(str(error)) from None
        if progress is None and len(found) <= CHUNK:
            progress = False
        description = f"{self.backend} on {self.runner.device}"
        advance, close = _progress_bar(len(found), progress, description)
        try:
            parts = list(self._scores(iter(found), CHUNK, batch_tokens, advance))
        finally:
            close()
        return TextScores.joined(parts, self.decision)

    def score_batches(
        self, texts: list[str], batch_tokens: int | None = None
    ) -> Iterator[tuple[np.ndarray, TextScores]]:
        """Scores of texts batch by batch as they are computed, short texts first.

        With `adaptive` all texts come at once, because after each encoder those that are left share
        new batches.

        Args:
            texts: the texts.
            batch_tokens: positions of a batch, padding included; None for the backend's choice.

        Yields:
            The places of a batch's texts, (batch,) int, and their scores.
        """
        batch = self._read(texts)
        positions = None if self.adaptive else batch_tokens or self.runner.batch_tokens
        for rows in batches_by_length(batch.lengths, positions):
            part = AlignedBatch(
                **batch.rows(rows), lengths=batch.lengths[rows], truncated=batch.truncated[rows],
                words=[batch.words[row] for row in rows],
            )  # fmt: skip
            own = [texts[row] for row in rows]
            yield rows, self._compute(own, own, part, batch_tokens, int)

    def stream(
        self, texts: Iterable[str], chunk: int = CHUNK, batch_tokens: int | None = None
    ) -> Iterator[Prediction]:
        """As `predict`, over an iterable of any length in bounded memory.

        Args:
            texts: the texts; up to two chunks are read ahead.
            chunk: texts read together; they are sorted by length, and equal ones computed once.
            batch_tokens: positions of a batch; None for the backend's choice.

        Raises:
            UserError: something that is not a text, with its position, or a `chunk` below 1.
        """
        if chunk < 1:
            raise UserError(f"chunk is {chunk}; it must be at least 1.")
        for scores in self._scores(checked(texts), chunk, batch_tokens):
            yield from scores

    def adapted(self, config: dict[str, Any]) -> Self:
        """This predictor, skipping encoders by the limits of its model's configuration.

        Raises:
            UserError: the model has none.
        """
        rule = adaptive_rule(config, self.source)
        self.adaptive = AdaptiveStack(rule, self.decision, self.runner)
        return self

    def verified(self, files: ModelFiles) -> Self:
        """This predictor, after a run on two short texts.

        Raises:
            ModelError: the model that was loaded does not run, or not with these labels.
        """
        with files.reading("the model"):
            logits = self.runner(self._read(["a b", ""]).arrays)
            if logits.shape != (2, len(self.labels)) or not np.isfinite(logits).all():
                raise ValueError(
                    f"its logits of two texts and {len(self.labels)} labels have the shape "
                    f"{logits.shape} or are not finite numbers"
                )
        return self

    def _scores(
        self,
        texts: Iterator[str],
        chunk: int,
        batch_tokens: int | None,
        advance: Callable[[int], Any] = int,
    ) -> Iterator[TextScores]:
        """Scores chunk by chunk; the next one is encoded while this one is computed."""
        part = list(islice(texts, chunk))
        if not part:
            return
        following = list(islice(texts, chunk))
        if not following:
            yield self._compute(part, *self._encode(part), batch_tokens, advance)
            return
        with ThreadPoolExecutor(1, "tokenize") as pool:
            encoded = self._encode(part)
            while part:
                ahead = pool.submit(self._encode, following)
                yield self._compute(part, *encoded, batch_tokens, advance)
                part, encoded = following, ahead.result()
                following = list(islice(texts, chunk))

    def _encode(self, texts: list[str]) -> tuple[list[str], AlignedBatch]:
        """The different texts, and what the encoders read of them."""
        different = list(dict.fromkeys(texts))
        return different, self._read(different)

    def _read(self, texts: list[str]) -> AlignedBatch:
        return self.encoder.encode(texts, self.encoder.max_length)

    def _compute(
        self,
        texts: list[str],
        different: list[str],
        batch: AlignedBatch,
        batch_tokens: int | None,
        advance: Callable[[int], Any],
    ) -> TextScores:
        row_of = {text: row for row, text in enumerate(different)}
        places = np.fromiter((row_of[text] for text in texts), np.int64, len(texts))
        copies = np.bincount(places, minlength=len(different))
        logits, used = self._logits(
            batch, batch_tokens, lambda rows: advance(int(copies[rows].sum()))
        )
        truncated = batch.truncated
        if self.long_texts == "window" and truncated.any():
            long = np.flatnonzero(truncated)
            logits[long], used[long] = self._of_windows(
                [different[row] for row in long], batch.word_counts[long], logits[long],
                used[long], batch_tokens,
            )  # fmt: skip
            truncated = np.zeros_like(truncated)
        return TextScores(
            logits[places],
            truncated[places],
            batch.has_words[places],
            self.decision,
            used[places] if self.adaptive else None,
            tuple(self.adaptive.rule.order) if self.adaptive else (),
        )

    def _of_windows(
        self, texts: list[str], words: np.ndarray, first: np.ndarray, used: np.ndarray,
        batch_tokens: int | None,
    ) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
        """Pooled logits of texts whose first windows are computed, and the most encoders run."""
        windows, owners = further_windows(self.encoder, texts, words.tolist())
        further = [
            self._logits(self._read(windows[start : start + CHUNK]), batch_tokens)
            for start in range(0, len(windows), CHUNK)
        ]
        np.maximum.at(used, owners, np.concatenate([used[:0], *(runs for _, runs in further)]))
        logits = np.concatenate([first[:0], *(found for found, _ in further)])
        return pooled(first, logits, owners, self.pooling), used

    def _logits(
        self,
        batch: AlignedBatch,
        batch_tokens: int | None,
        done: Callable[[np.ndarray], Any] = len,
    ) -> tuple[np.ndarray, np.ndarray]:
        """(texts, labels) float32 logits, in batches by length, and (texts,) encoders run."""
        if self.adaptive is not None:
            return self.adaptive(batch, batch_tokens, done)
        runner = self.runner
        logits = np.zeros((len(batch.lengths), len(self.decision.labels)), np.float32)

        def run(rows: np.ndarray) -> None:
            logits[rows] = runner(batch.rows(rows))
            done(rows)

        batches = batches_by_length(
            batch.lengths, batch_tokens or runner.batch_tokens, longest_first=True
        )
        if runner.workers > 1 and len(batches) > 1:
            with ThreadPoolExecutor(runner.workers, "predict") as pool:
                list(pool.map(run, batches))
        else:
            for rows in batches:
                run(rows)
        return logits, np.full(len(logits), len(self.encoder.tokenizers))


def _progress_bar(
    total: int, progress: bool | None, description: str
) -> tuple[Callable[[int], Any], Callable[[], Any]]:
    """How to advance a bar and how to close it; None shows it on a terminal only."""
    if progress is False:
        return int, list
    from tqdm.auto import tqdm

    bar = tqdm(
        total=total, desc=description, disable=None if progress is None else False, unit="texts"
    )
    return bar.update, bar.close
