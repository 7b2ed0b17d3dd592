"""The handler over a predictor of this package, with any backend."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..limits import Limits
from ..predictor import StackedEmotionPredictor
from .handler import EndpointHandler, Request

Observer = Callable[[int, float], Any]
"""Called after each batch with its number of texts and its seconds."""


class PredictorHandler(EndpointHandler):
    """Answers requests as `EndpointHandler` does. Nothing in the model's folder is run as code.

    Args:
        predictor: computes.
        limits: how much one request may ask for.
        observe: is told about each batch.
        commit: of the model on the Hub, if it came from there.
    """

    def __init__(
        self,
        predictor: StackedEmotionPredictor,
        limits: Limits | None = None,
        observe: Observer = lambda texts, seconds: None,
        commit: str | None = None,
    ) -> None:
        self.predictor, self.tokenizer = predictor, predictor.tokenizer
        self.limits, self.observe, self.commit = limits or Limits(), observe, commit
        if self._explains:
            self.model = predictor.model
        self._start(predictor.labels)

    @property
    def _explains(self) -> bool:
        return self.predictor.runner.backend == "torch" and self.predictor.long_texts == "truncate"

    def read(self, data: Any) -> Request:
        """As `EndpointHandler.read`."""
        request = super().read(data)
        if request.options.explain and not self._explains:
            raise ValueError(
                f'"explain" needs backend torch and truncated texts; this server has '
                f"{self.predictor.backend}, long texts: {self.predictor.long_texts}."
            )
        return request

    def _rows(
        self, texts: list[str], explain: bool
    ) -> Iterator[tuple[Iterable[int], list[dict[str, Any]]]]:
        if explain:
            yield from super()._rows(texts, explain)
            return
        start = time.perf_counter()
        for places, scores in self.predictor.score_batches(texts):
            self.observe(len(places), time.perf_counter() - start)
            columns = (scores.logits, scores.probabilities, scores.given)
            rows = zip(*(column.tolist() for column in columns), strict=True)
            names = ("logits", "scores", "given")
            yield places, [dict(zip(names, row, strict=True)) for row in rows]
            start = time.perf_counter()
