"""What `/metrics` shows, for one process or the sum of several workers."""

from __future__ import annotations

import os
import time
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from ..predictions import TextScores

SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable with the folder in which workers add up their figures."""
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The figures of one worker."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        self.requests = Counter(
            "stacked_emotion_requests", "Answered requests", ["route", "status"], registry=own
        )
        self.seconds = Histogram(
            "stacked_emotion_request_seconds", "From the first byte of a request to its answer",
            ["route"], buckets=_SECONDS, registry=own,
        )  # fmt: skip
        self.waiting = Gauge(
            "stacked_emotion_texts_waiting", "Texts accepted and not answered yet",
            multiprocess_mode="livesum", registry=own,
        )  # fmt: skip
        self.ready = Gauge(
            "stacked_emotion_workers_ready", "Workers that are warm",
            multiprocess_mode="livesum", registry=own,
        )  # fmt: skip
        self.batch_texts = Histogram(
            "stacked_emotion_batch_texts", "Texts of a batch",
            buckets=(1, 2, 4, 8, 16, 32, 64), registry=own,
        )  # fmt: skip
        self.batch_seconds = Histogram(
            "stacked_emotion_batch_seconds", "Computing a batch", buckets=_SECONDS, registry=own
        )
        self.encoder_texts = Counter(
            "stacked_emotion_encoder_texts", "Texts an encoder was run on (adaptive stacking)",
            ["encoder"], registry=own,
        )  # fmt: skip
        self.seconds_per_text = 0.0

    def batch(self, scores: TextScores, seconds: float) -> None:
        """Count a batch."""
        texts = len(scores.logits)
        self.batch_texts.observe(texts)
        self.batch_seconds.observe(seconds)
        recent = self.seconds_per_text or seconds / texts
        self.seconds_per_text = 0.9 * recent + 0.1 * seconds / texts
        if scores.encoders_run is not None:
            for place, name in enumerate(scores.order):
                self.encoder_texts.labels(name).inc(int((scores.encoders_run > place).sum()))

    def answered(self, route: str, status: int, start: float) -> None:
        """Count a request that came at `start` of `time.perf_counter`."""
        self.requests.labels(route, status).inc()
        self.seconds.labels(route).observe(time.perf_counter() - start)

    def page(self) -> bytes:
        """All figures, of all workers, as Prometheus reads them."""
        if SHARED not in os.environ:
            return generate_latest(self.registry)
        for file in Path(os.environ[SHARED]).glob("gauge_live*_*.db"):
            pid = int(file.stem.rpartition("_")[2])
            if not _alive(pid):
                mark_process_dead(pid)
        together = CollectorRegistry()
        MultiProcessCollector(together)
        return generate_latest(together)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
