"""Texts a second and the latency of one text: the predictor against what else can be done."""

from __future__ import annotations

import argparse
from statistics import median

import numpy as np
from peers import PEERS, Peer, machine
from random_stack import LAYERS, make_models, synthetic_texts
from tables import publish

from stacked_emotion.common.tables import markdown_table

FIRST, PRODUCT = "(a) three pipelines, float32, batch 32", "matrix product"
LINEAR_WEIGHTS = LAYERS * (4 * 768 * 768 + 2 * 768 * 3072)  # of one BERT-base encoder


def main() -> None:
    """Run every peer in turns and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--single", type=int, default=8, help="single texts a round")
    parser.add_argument("--peers", nargs="*", help="parts of names; by default all")
    options = parser.parse_args()
    names = [
        name
        for name in PEERS
        if not options.peers
        or name in (FIRST, PRODUCT)
        or any(part in name for part in options.peers)
    ]
    texts = synthetic_texts(options.texts * options.rounds, seed=3)
    flops, tokens, tokenizing = _work(texts)
    make_models()
    speeds: dict[str, list[float]] = {name: [] for name in names}
    latencies: dict[str, list[float]] = {name: [] for name in names}
    loads: dict[str, list[float]] = {name: [] for name in names}
    memories: dict[str, list[float]] = {name: [] for name in names}
    product: list[float] = []
    warm = synthetic_texts(96, seed=4)
    for number in range(options.rounds):
        part = texts[number * options.texts : (number + 1) * options.texts]
        for name in names:
            peer = Peer(name)
            if name == PRODUCT:
                product.append(float(peer([])[1]))
            else:
                peer(warm)
                speeds[name].append(len(part) / peer(part)[0])
                latencies[name] += [peer([text])[0] for text in part[: options.single]]
                loads[name].append(peer.load_seconds)
                memories[name].append(peer.memory)
            peer.stop()
    rows = []
    base_speed, base_latency = median(speeds[FIRST]), median(latencies[FIRST])
    peak = median(product)
    for name in names:
        if name == PRODUCT:
            continue
        speed, latency = median(speeds[name]), median(latencies[name])
        rows.append(
            [
                name,
                f"{speed:.1f}",
                f"{speed / base_speed:.2f}",
                f"{100 * speed * flops / peak / 1e12:.0f} %",
                f"{1000 * latency:.0f}",
                f"{latency / base_latency:.2f}",
                f"{median(loads[name]):.1f}",
                f"{median(memories[name]):.1f}",
            ]
        )
    header = [
        "",
        "texts/s",
        "times (a)",
        "of the peak",
        "one text, ms",
        "times (a)",
        "load, s",
        "peak, GB",
    ]
    publish(
        "throughput",
        f"{machine()}; {options.rounds} rounds in turns of {options.texts} texts, {tokens:.1f} "
        f"positions per text and encoder; medians. Measured bfloat16 product {peak:.2f} TFLOP/s. "
        f"Tokenizing takes {1e3 * tokenizing:.2f} ms per text for all three encoders together.\n\n"
        + markdown_table(header, rows),
        whole=not options.peers,
    )  # fmt: skip


def _work(texts: list[str]) -> tuple[float, float, float]:
    """Floating point operations of the encoders' linear layers per text (without padding), the
    positions per text and encoder, and the seconds to tokenize a text."""
    import time

    from stacked_emotion.inference.backends.onnx import text_encoder
    from stacked_emotion.inference.model_files import ModelFiles

    encoder = text_encoder(ModelFiles(make_models()["stack"]))
    times = []
    for _ in range(3):
        start = time.perf_counter()
        encoded = encoder.encode(texts, encoder.max_length)
        times.append((time.perf_counter() - start) / len(texts))
    positions = encoded.arrays["attention_mask"].sum(1)
    flops = 2 * LINEAR_WEIGHTS * float(positions.sum(1).mean())
    return flops, float(np.mean(positions)), median(times)


if __name__ == "__main__":
    main()
