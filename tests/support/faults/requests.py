"""Requests to an Inference Endpoint, over HTTP: many at once, and malformed ones among them."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import endpoint_server

from .campaign import Verdicts, World, attack

GOOD = {"inputs": "فرحان جدا 😍"}
_HOSTILE = "\x1b[2J\u202e<b>\n"
BAD: list[Any] = [
    None, 3, "x", [], {}, {"inputs": None}, {"inputs": 3}, {"inputs": {}}, {"inputs": []},
    {"inputs": [[]]}, {"inputs": ["a", 3]}, {"inputs": ["a", None]}, {"inputs": [["a"]]},
    {"inputs": {"text": "a"}}, {"inputs": True}, {"inputs": "a" * 10_001},
    {"inputs": ["a"] * 1000}, {"inputs": ["😍" * 9_000] * 8}, {"inputs": "ا" * 1_000_000},
    *({"inputs": "a", "parameters": bad} for bad in (
        [], 3, "x", {"topk": 1}, {_HOSTILE: 1}, {"a" * 100_000: 1}, {"top_k": 0}, {"top_k": -1},
        {"top_k": 1.5}, {"top_k": True}, {"top_k": "1"}, {"top_k": [1]}, {"top_k": {}},
        {"threshold": 1.5}, {"threshold": -0.1}, {"threshold": "low"}, {"threshold": _HOSTILE},
        {"threshold": True}, {"threshold": float("nan")}, {"threshold": float("inf")},
        {"threshold": "x" * 100_000}, {"threshold": {}}, {"explain": "yes"}, {"explain": 1},
        {"explain": []}, {"function_to_apply": "softmax"}, {"function_to_apply": _HOSTILE},
        {"function_to_apply": 1},
    )),
    {"inputs": ["a b c d e"] * 8, "parameters": {"explain": True}},
    b"", b"{", b"\xff\xfe\x00", b"[" * 100_000, b'{"inputs": ' + b"9" * 10_000 + b"}",
    b'{"inputs": "a", "parameters": {"top_k": ' + b"9" * 10_000 + b"}}",
]  # fmt: skip


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a server of a repository, in a process without the package."""
    command = [sys.executable, endpoint_server.__file__, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def post(address: str, body: Any) -> tuple[int, Any]:
    """Status and decoded answer of a request."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(address, content, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def _requests(world: World, count: int) -> list[dict[str, Any]]:
    """Requests of one to eight texts, with all kinds of parameters."""
    texts = [row["text"] for row in world.rows()]
    parameters: list[dict[str, Any]] = [
        {}, {"top_k": 2}, {"threshold": 0.5}, {"threshold": "stored"}, {"function_to_apply": None},
    ]  # fmt: skip
    found: list[dict[str, Any]] = []
    for number in range(count):
        chosen = world.chance.sample(texts, 1 + number % 8)
        request = {"inputs": chosen, "parameters": parameters[number % len(parameters)]}
        if number % 16 == 7:
            request = {"inputs": " ".join(chosen[0].split()[:8]), "parameters": {"explain": True}}
        found.append(request)
    return found


def _equal(one: Any, other: Any) -> bool:
    """Whether answers are the same, numbers up to the rounding of another batch."""
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) < 1e-5
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    return bool(one == other)


@attack("concurrent requests", tries=64, small=8, minutes=0.5)
def concurrent_requests(world: World, tries: int) -> Verdicts:
    """All at once, with bad ones among them, get what each gets alone."""
    with served(world.repository) as address, ThreadPoolExecutor(2 * tries) as pool:
        requests = _requests(world, tries)
        alone = [post(address, request) for request in requests]
        jobs = []
        for request, bad in zip(requests, (BAD * tries)[:tries], strict=True):
            jobs.append(pool.submit(post, address, request))
            pool.submit(post, address, bad)
        for job, (status, answer) in zip(jobs, alone, strict=True):
            now, found = job.result()
            same = status == now == 200 and _equal(found, answer)
            yield None if same else f"{now} {found!r:.300} instead of {status} {answer!r:.300}"


@attack("bad requests", tries=len(BAD), small=0, minutes=0.5)
def bad_requests(world: World, tries: int) -> Verdicts:
    """Each gets status 400 and one short sentence, and the next good one its answer."""
    with served(world.repository) as address:
        _, expected = post(address, GOOD)
        for body in BAD[:tries]:
            status, answer = post(address, body)
            told = str(answer.get("error", "")) if isinstance(answer, dict) else ""
            problem = None
            if status != 400 or not 5 < len(told) < 400 or not told.isprintable():
                problem = f"{body!r:.100} is answered with {status} {answer!r:.300}"
            elif not _equal(post(address, GOOD), (200, expected)):
                problem = f"after {body!r:.100} a good request is not answered"
            yield problem
