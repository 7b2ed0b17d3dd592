"""A server of `stacked-emotion serve` in a thread of this process, on a real socket."""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
from tiny_models import NASTY_TEXTS
from uvicorn import Config, Server

from stacked_emotion.inference.serving.app import Service, ServiceSettings, create_app, load_handler


class Running:
    """A server and how to reach it.

    Attributes:
        address: of the server.
        service: the state of its worker.
        failures: why the model could not be loaded.
    """

    def __init__(self, settings: ServiceSettings, load: Any) -> None:
        self.service = Service(settings, load)
        self.failures: list[Exception] = []
        app = create_app(self.service, self.failures.append)
        config = Config(app, log_config=None, access_log=False, lifespan="on")
        self.server = Server(config)
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.address = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.thread = threading.Thread(target=self.server.run, args=([self.socket],))
        self.thread.start()

    def wait_until_warm(self) -> None:
        while httpx.get(f"{self.address}/health").status_code != 200:
            time.sleep(0.02)

    def post(self, body: Any, route: str = "/", **options: Any) -> httpx.Response:
        content = json.dumps(body)  # in ASCII, so that unpaired surrogates pass
        return httpx.post(f"{self.address}{route}", content=content, timeout=60, **options)

    def ask_together(self, texts: list[str]) -> tuple[list[list[dict[str, Any]]], list[int]]:
        """Answers to texts in requests of one to five, many at once; 0 or the encoders run."""
        sizes = [1, 2, 3, 5, 4] * len(texts)
        requests = []
        while texts:
            requests.append(texts[: sizes[len(requests)]])
            texts = texts[len(requests[-1]) :]
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda part: self.post({"inputs": part}), requests))
        runs: list[int] = []
        for part, answer in zip(requests, answers, strict=True):
            counts = answer.headers.get("X-Encoders-Run", ", ".join("0" for _ in part))
            runs += map(int, counts.split(", "))
        return [row for answer in answers for row in answer.json()], runs

    def accepts(self) -> bool:
        """Whether it still takes connections."""
        try:
            return httpx.get(f"{self.address}/health").status_code > 0
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        self.server.should_exit = True


def mixed_texts() -> list[str]:
    """135 texts, nasty ones among them, of very different lengths."""
    generator = random.Random(5)
    words = " ".join(NASTY_TEXTS[:1] + NASTY_TEXTS[8:]).split()
    return [*NASTY_TEXTS, *(" ".join(generator.choices(words, k=1 + n % 40)) for n in range(120))]


@contextmanager
def serving(
    settings: ServiceSettings, load: Any = load_handler, wait: bool = True
) -> Iterator[Running]:
    """Serve until the block ends."""
    running = Running(settings, load)
    try:
        if wait:
            running.wait_until_warm()
        yield running
    finally:
        running.stop()
        running.thread.join()
