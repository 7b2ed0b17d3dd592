"""The ways to answer the same texts that are compared, each in its own process.

The peers are loaded and run in turns, several rounds of them, so that a slow minute of the machine
does not meet one of them alone, and the memory holds one at a time.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from random_stack import ENCODERS, make_models

Answer = Callable[[list[str]], np.ndarray]
BATCH = 32


def pipelines(dtype: str, by_length: bool) -> Answer:
    """Three stock pipelines one after another, their scores averaged."""
    import torch
    from transformers import pipeline

    places = make_models()
    made = [
        pipeline(
            "text-classification",
            model=str(places[name]),
            batch_size=BATCH,
            top_k=None,
            dtype=getattr(torch, dtype),
            device="cpu",
        )
        for name in ENCODERS
    ]

    def answer(texts: list[str]) -> np.ndarray:
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        given = [texts[row] for row in order] if by_length else texts
        total = 0.0
        for pipe in made:
            rows = [sorted(row, key=lambda entry: entry["label"]) for row in pipe(given)]
            total = total + np.array([[entry["score"] for entry in row] for row in rows])
        scores = np.empty_like(total)
        scores[order if by_length else range(len(texts))] = total / len(made)
        return scores

    return answer


def plain_graph(backend: str, dtype: str) -> Answer:
    """The exported graph as a user would run it: batches of 32 sorted by length."""
    from stacked_emotion.common.batching import batches_by_length
    from stacked_emotion.common.numerics import sigmoid
    from stacked_emotion.inference.backends.onnx import text_encoder
    from stacked_emotion.inference.model_files import ModelFiles

    folder = make_models()["stack"]
    encoder = text_encoder(ModelFiles(folder))
    if backend == "onnx":
        import onnxruntime

        name = "model.onnx" if dtype == "float32" else "model_int8.onnx"
        session = onnxruntime.InferenceSession(
            str(folder / "onnx" / name), providers=["CPUExecutionProvider"]
        )
        run: Any = lambda batch: session.run(None, batch)[0]  # noqa: E731
    else:
        import openvino

        model = openvino.Core().compile_model(
            str(folder / "onnx/model.onnx"), "CPU", {"INFERENCE_PRECISION_HINT": "bf16"}
        )
        run = lambda batch: model(batch)[0]  # noqa: E731

    def answer(texts: list[str]) -> np.ndarray:
        encoded = encoder.encode(texts, encoder.max_length)
        scores = np.empty((len(texts), 11))
        for rows in batches_by_length(encoded.lengths, size=BATCH):
            scores[rows] = sigmoid(run(encoded.rows(rows)))
        return scores

    return answer


def predictor(backend: str, dtype: str, adaptive: bool = False) -> Answer:
    """This package's predictor."""
    from stacked_emotion.inference import StackedEmotionPredictor

    made = StackedEmotionPredictor.from_pretrained(
        str(make_models()["stack"]), dtype=dtype, backend=backend, device="cpu", adaptive=adaptive
    )
    if workers := os.environ.get("BENCHMARK_WORKERS"):
        made.runner.workers = int(workers)
    return made.predict_proba


def matrix_product() -> Answer:
    """No texts: the TFLOP/s of a bfloat16 product of (2048, 768) and (768, 3072)."""
    import torch

    left = torch.randn(2048, 768).bfloat16()
    weight = torch.randn(3072, 768).bfloat16()

    def answer(texts: list[str]) -> np.ndarray:
        times = []
        for _ in range(20):
            start = time.perf_counter()
            torch.nn.functional.linear(left, weight)
            times.append(time.perf_counter() - start)
        return np.array(2 * left.shape[0] * weight.numel() / np.median(times) / 1e12)

    return answer


PEERS: dict[str, Callable[[], Answer]] = {
    "(a) three pipelines, float32, batch 32": lambda: pipelines("float32", False),
    "(b) three pipelines, bfloat16, sorted": lambda: pipelines("bfloat16", True),
    "(c) ONNX Runtime float32, sorted": lambda: plain_graph("onnx", "float32"),
    "(c) ONNX Runtime int8, sorted": lambda: plain_graph("onnx", "int8"),
    "(d) OpenVINO bfloat16, sorted": lambda: plain_graph("openvino", "bfloat16"),
    "predictor, torch bfloat16": lambda: predictor("torch", "bfloat16"),
    "predictor, onnx float32": lambda: predictor("onnx", "float32"),
    "predictor, onnx int8": lambda: predictor("onnx", "int8"),
    "predictor, openvino bfloat16": lambda: predictor("openvino", "bfloat16"),
    "predictor, openvino int8": lambda: predictor("openvino", "int8"),
    "adaptive, torch bfloat16": lambda: predictor("torch", "bfloat16", True),
    "adaptive, onnx int8": lambda: predictor("onnx", "int8", True),
    "adaptive, openvino bfloat16": lambda: predictor("openvino", "bfloat16", True),
    "adaptive, openvino int8": lambda: predictor("openvino", "int8", True),
    "matrix product": matrix_product,
}


def peak_memory() -> float:
    """Largest resident memory of this process so far, in GB.

    Not `ru_maxrss`: that of a new process starts with its parent's.
    """
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1e6


def _serve(name: str, connection: Connection) -> None:
    import torch  # noqa: F401  imports are not part of the loading
    import transformers  # noqa: F401

    import stacked_emotion.inference.predictor  # noqa: F401

    start = time.perf_counter()
    answer = PEERS[name]()
    connection.send((time.perf_counter() - start, peak_memory()))
    while (texts := connection.recv()) is not None:
        gc.collect()
        start = time.perf_counter()
        result = answer(texts)
        connection.send((time.perf_counter() - start, result, peak_memory()))


class Peer:
    """A peer in its process.

    Attributes:
        name: as in `PEERS`.
        load_seconds: the time it took to load, imports left out.
        memory: largest resident memory, in GB.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(name, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.load_seconds, self.memory = self.connection.recv()

    def __call__(self, texts: Sequence[str]) -> tuple[float, np.ndarray]:
        """Seconds, and the scores (texts, labels)."""
        self.connection.send(list(texts))
        seconds, result, self.memory = self.connection.recv()
        return seconds, result

    def stop(self) -> None:
        """End the process."""
        self.connection.send(None)
        self.process.join()


def machine() -> str:
    """Processor, cores and the bfloat16 abilities of this machine, in a line."""
    from stacked_emotion.inference.backends.fastest import processor_flags
    from stacked_emotion.inference.backends.onnx import available_cores

    model, flags = "unknown processor", ""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.split(":")[1].strip()
            if line.startswith("flags"):
                flags = line
    vnni = ["avx512_vnni"] if "avx512_vnni" in flags else []
    has = ", ".join(sorted(processor_flags()) + vnni) or "no bfloat16"
    return f"{model}, {available_cores()} cores, {has}"
