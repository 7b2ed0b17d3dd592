"""The handler over a predictor of this package, with any backend."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ..limits import Limits
from ..predictions import TextScores
from ..predictor import StackedEmotionPredictor
from .handler import EndpointHandler, Options

Observer = Callable[[TextScores, float], Any]
"""Called after each batch with its scores and its seconds."""


class PredictorHandler(EndpointHandler):
    """Answers requests as `EndpointHandler` does. Nothing in the model's folder is run as code.

    Args:
        predictor: computes.
        limits: how much one request may ask for.
        observe: is told about each batch.
        commit: of the model on the Hub, if it came from there.

    Attributes:
        batch_tokens: positions of a batch: half of what is best for many texts. The few texts of a
            round differ more in length, so smaller batches save more padding than they cost.
    """

    def __init__(
        self,
        predictor: StackedEmotionPredictor,
        limits: Limits | None = None,
        observe: Observer = lambda scores, seconds: None,
        commit: str | None = None,
    ) -> None:
        self.predictor, self.tokenizer = predictor, predictor.tokenizer
        self.limits, self.observe, self.commit = limits or Limits(), observe, commit
        self.batch_tokens = predictor.runner.batch_tokens // 2
        if self._explains:
            self.model = predictor.model
        self._start(predictor.labels)

    @property
    def _explains(self) -> bool:
        predictor = self.predictor
        torch, whole = predictor.runner.backend == "torch", predictor.adaptive is None
        return torch and whole and predictor.long_texts == "truncate"

    def _check(self, options: Options) -> None:
        predictor = self.predictor
        if options.explain and not self._explains:
            remedies = {
                "with --backend torch --dtype float32": predictor.runner.backend != "torch",
                "without --long_texts window": predictor.long_texts != "truncate",
                "without --adaptive": predictor.adaptive is not None,
            }
            asked = " and ".join(remedy for remedy, wanted in remedies.items() if wanted)
            raise ValueError(
                f'"explain" does not work on this server, which has {predictor.backend}: start it '
                f"{asked}."
            )
        started = predictor.adaptive is not None
        if options.adaptive not in (None, started):
            raise ValueError(
                f'"adaptive" is {str(options.adaptive).lower()}, but this server was started '
                f"with{'' if started else 'out'} --adaptive. Leave it out."
            )

    def headers(self, rows: Sequence[dict[str, Any]]) -> dict[str, str]:
        """Headers of an answer: with adaptive stacking, which encoders were run on each text.

        `X-Encoder-Order` names the encoders in the order in which they run. `X-Encoders-Run` says
        for each text how many of them were run.
        """
        if self.predictor.adaptive is None:
            return {}
        return {
            "X-Encoder-Order": ", ".join(self.predictor.adaptive.rule.order),
            "X-Encoders-Run": ", ".join(str(row["encoders_run"]) for row in rows),
        }

    def _rows(
        self, texts: list[str], options: Options
    ) -> Iterator[tuple[Iterable[int], list[dict[str, Any]]]]:
        if options.explain:
            yield from super()._rows(texts, options)
            return
        start = time.perf_counter()
        for places, scores in self.predictor.score_batches(texts, self.batch_tokens):
            self.observe(scores, time.perf_counter() - start)
            columns = {
                "logits": scores.logits, "scores": scores.probabilities, "given": scores.given,
            }  # fmt: skip
            if scores.encoders_run is not None:
                columns["encoders_run"] = scores.encoders_run
            rows = zip(*(column.tolist() for column in columns.values()), strict=True)
            yield places, [dict(zip(columns, row, strict=True)) for row in rows]
            start = time.perf_counter()
