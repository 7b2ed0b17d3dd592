"""Throughput and latency of `stacked-emotion serve` against the plain predictor, and a soak.

With `--adaptive` both skip encoders by the model's limits. `--file` takes the texts of a labeled
table instead of made-up ones.

    python benchmarks/serving.py --model runs/arabic/model --file dev.txt --dtype int8
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import numpy as np
from peers import machine
from random_stack import make_models, synthetic_texts
from tables import publish

from stacked_emotion.common.tables import markdown_table
from stacked_emotion.data.arguments import DataArguments
from stacked_emotion.data.labeled_texts import load_labeled_texts
from stacked_emotion.inference import StackedEmotionPredictor

CLIENTS = (1, 8, 64)
WORST = {"float32": 1e-5}
"""Largest difference from the answer to the text alone; 2e-3 with other dtypes."""


@contextmanager
def server(model: str, options: argparse.Namespace) -> Iterator[tuple[str, int]]:
    """A server in a process of its own: its address and process ID, once it is warm."""
    command = [
        sys.executable, "-m", "stacked_emotion.cli", "serve", model, "--port", "0",
        "--backend", options.backend, "--dtype", options.dtype, "--queue", "1024",
        "--workers", str(options.workers), *["--adaptive"] * options.adaptive,
    ]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            address = json.loads(process.stderr.readline())["address"]
            warm = 0
            while warm < options.workers:
                warm += '"ready"' in process.stderr.readline()
            drain = subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
            yield address, process.pid
        finally:
            process.terminate()
            process.wait()
            drain.wait()


async def ask(address: str, texts: list[str], clients: int) -> tuple[list[list[float]], list[dict]]:
    """Send each text as a request, `clients` at a time: [seconds, status], and the scores."""
    place = urlsplit(address)
    waiting = iter(range(len(texts)))
    times: list[list[float]] = [[0.0, 0] for _ in texts]
    answers: list[dict[str, float]] = [{} for _ in texts]

    async def client() -> None:
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        for number in waiting:
            body = json.dumps({"inputs": texts[number]}).encode()
            start = time.perf_counter()
            writer.write(
                b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
            )
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            answer = json.loads(await reader.readexactly(length))
            times[number] = [time.perf_counter() - start, int(head.split()[1])]
            if times[number][1] == 200:
                answers[number] = {one["label"]: one["score"] for one in answer[0]}
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return times, answers


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(other for child in children for other in family(int(child)))]


def memory(pid: int, kind: str = "Pss") -> float:
    """MB that a server and its workers take.

    Args:
        pid: of the server.
        kind: "Pss" counts a page that processes share once; "Anonymous" leaves out files, such as
            libraries, whose share depends on what else runs on the machine.
    """
    total = 0
    for one in family(pid):
        lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        total += sum(int(line.split()[1]) for line in lines if line.startswith(f"{kind}:"))
    return total / 1024


def predictor(model: str, options: argparse.Namespace) -> StackedEmotionPredictor:
    """The plain predictor with the server's options."""
    return StackedEmotionPredictor.from_pretrained(
        model, backend=options.backend, dtype=options.dtype, adaptive=options.adaptive, device="cpu"
    )


def compare(model: str, options: argparse.Namespace) -> str:
    """The predictor and the server in turns, with 1, 8 and 64 clients."""
    plain = predictor(model, options)
    texts = synthetic_texts(options.texts, seed=3)
    if options.file:
        read = load_labeled_texts(DataArguments(train_file=options.file), "train")
        assert read is not None
        texts = read.texts[: options.texts]
    few = {1: max(16, options.texts // 8)}
    speeds: dict[int, list[float]] = {0: [], **{clients: [] for clients in CLIENTS}}
    times: dict[int, list[float]] = {clients: [] for clients in CLIENTS}
    differences: list[float] = []
    with server(model, options) as (address, pid):
        expected = np.concatenate([plain.predict_proba([text]) for text in texts])
        asyncio.run(ask(address, texts[:64], 8))
        for _ in range(options.rounds):
            start = time.perf_counter()
            plain.predict_proba(texts)
            speeds[0].append(len(texts) / (time.perf_counter() - start))
            for clients in CLIENTS:
                part = texts[: few.get(clients, len(texts))]
                start = time.perf_counter()
                found, answers = asyncio.run(ask(address, part, clients))
                speeds[clients].append(len(part) / (time.perf_counter() - start))
                times[clients] += [seconds for seconds, _ in found]
                scores = [[answer[label] for label in plain.labels] for answer in answers]
                differences += np.abs(np.array(scores) - expected[: len(part)]).ravel().tolist()
        used = memory(pid)
    base = median(speeds[0])
    rows = [["the predictor, all texts at once", f"{base:.1f}", "1.00", "", "", "", ""]]
    for clients in CLIENTS:
        p50, p95, p99 = np.percentile(times[clients], [50, 95, 99]) * 1000
        speed = median(speeds[clients])
        rows.append([
            f"{clients} client{'s' if clients > 1 else ''}", f"{speed:.1f}", f"{speed / base:.2f}",
            f"{p50:.0f}", f"{p95:.0f}", f"{p99:.0f}", f"{p99 / p50:.1f}",
        ])  # fmt: skip
    header = ["", "texts/s", "of the predictor", "p50, ms", "p95, ms", "p99, ms", "p99 / p50"]
    return (
        f"{machine()}, load {os.getloadavg()[0]:.1f}; {plain.backend}, "
        f"{options.workers} worker(s); {options.rounds} rounds in turns of {len(texts)} texts, "
        f"one text per request; medians. "
        f"Difference of a score from the predictor's to the text alone: at most "
        f"{max(differences):.1e}, {np.mean(np.array(differences) > 2e-3):.2%} of them over 0.002. "
        f"Memory of the server {used:.0f} MB.\n\n" + markdown_table(header, rows)
    )


def soak(model: str, options: argparse.Namespace) -> str:
    """Many requests with the answers of single texts known: how many were lost or wrong."""
    plain = predictor(model, options)
    pool = synthetic_texts(1000, seed=9)
    expected = [plain.predict_proba([text])[0] for text in pool]
    draw = random.Random(11)
    lost = wrong = 0
    memories: list[float] = []
    with server(model, options) as (address, pid):
        start = time.perf_counter()
        for done in range(0, options.soak, 1000):
            places = [draw.randrange(len(pool)) for _ in range(min(1000, options.soak - done))]
            found, answers = asyncio.run(ask(address, [pool[place] for place in places], 64))
            lost += sum(status != 200 for _, status in found)
            for place, answer in zip(places, answers, strict=True):
                row = np.array([answer.get(label, np.nan) for label in plain.labels])
                wrong += not np.abs(row - expected[place]).max() <= WORST.get(options.dtype, 2e-3)
            memories.append(memory(pid, "Anonymous"))
        seconds = time.perf_counter() - start
    step = max(1, len(memories) // 10)
    shown = memories[step - 1 :: step]
    return (
        f"{machine()}; {plain.backend}: {options.soak:,} requests of 64 clients in "
        f"{seconds:.0f} s, {lost} lost, {wrong} wrong. "
        "Anonymous memory in MB after each tenth of them: "
        f"{', '.join(f'{value:.0f}' for value in shown)} "
        f"({100 * (shown[-1] / shown[0] - 1):+.1f} %)."
    )


def main() -> None:
    """Compare with the predictor, or soak."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="by default three random BERT-base encoders")
    parser.add_argument("--backend", default="onnx")
    parser.add_argument("--dtype", default="int8")
    parser.add_argument("--adaptive", action="store_true")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--file", help="labeled texts; by default made-up ones")
    parser.add_argument("--texts", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--soak", type=int, help="only send so many requests")
    options = parser.parse_args()
    model = options.model or str(make_models()["stack"])
    if options.soak:
        print(soak(model, options))
    elif options.model:
        print(compare(model, options))
    else:
        publish("serving", compare(model, options))


if __name__ == "__main__":
    main()
