"""Time and memory to load the stack from safetensors, against its three encoders alone."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median

from random_stack import ENCODERS, make_models
from tables import publish

from stacked_emotion.common.tables import markdown_table

PEER = """
made = [AutoModel.from_pretrained(f"{folder}/{name}", add_pooling_layer=False, dtype=DTYPE)
        for name in names]
"""
PREDICTOR = """
made = StackedEmotionPredictor.from_pretrained(
    f"{folder}/stack", dtype=DTYPE, backend="torch", device="cpu")
"""
DTYPES = ("float32", "bfloat16")
LOADERS = {
    (what, dtype): body.replace("DTYPE", f'"{dtype}"')
    for dtype in DTYPES
    for what, body in (("three AutoModels", PEER), ("StackedEmotionPredictor", PREDICTOR))
}
FRAME = """
import json, logging, re, sys, threading, time
import torch, transformers
from transformers import AutoModel
from stacked_emotion.inference import StackedEmotionPredictor
import transformers.models.bert.modeling_bert
logging.disable(logging.WARNING)
transformers.utils.logging.disable_progress_bar()
folder, names = sys.argv[1], sys.argv[2].split(",")
def memory():
    text = open("/proc/self/status").read()
    return sum(int(re.search(rf"{key}:\\s+(\\d+)", text)[1]) for key in ("RssAnon", "RssFile"))
before, peak, done = memory(), 0, False
def watch():
    global peak
    while not done:
        peak = max(peak, memory())
        time.sleep(0.002)
watcher = threading.Thread(target=watch)
watcher.start()
start = time.perf_counter()
BODY
seconds = time.perf_counter() - start
done = True
watcher.join()
model = getattr(made, "model", None)
modules = made if model is None else [model]
weights = sum(p.numel() * p.element_size() for m in modules for p in m.parameters())
print(json.dumps([seconds, (max(peak, memory()) - before) * 1024, weights]))
"""


def main() -> None:
    """Load in turns, each in a fresh process with the imports done, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    places = make_models()
    folder, names = str(places["stack"].parent), ",".join(ENCODERS)
    for path in Path(folder).rglob("*.safetensors"):  # warm the page cache
        with path.open("rb") as stream:
            while stream.read(1 << 24):
                pass
    seen: dict[tuple[str, str], list[list[float]]] = {key: [] for key in LOADERS}
    for _ in range(options.rounds):
        for key, body in LOADERS.items():
            answer = subprocess.run(
                [sys.executable, "-c", FRAME.replace("BODY", body), folder, names],
                capture_output=True,
                text=True,
                check=True,
            )
            seen[key].append(json.loads(answer.stdout.splitlines()[-1]))
    rows = []
    for (what, dtype), entries in seen.items():
        seconds = median(entry[0] for entry in entries)
        base = median(entry[0] for entry in seen["three AutoModels", dtype])
        peak, weights = median(entry[1] for entry in entries), entries[0][2]
        rows.append(
            [f"{what}, {dtype}", f"{seconds:.2f}", f"{seconds / base:.2f}",
             f"{weights / 1e9:.2f}", f"{peak / 1e9:.2f}", f"{peak / weights:.2f}"]
        )  # fmt: skip
    header = ["", "seconds", "times three AutoModels", "weights, GB", "peak, GB", "peak / weights"]
    publish(
        "loading",
        f"Without imports, with a warm page cache; medians of {options.rounds} rounds in turns, "
        "each in a fresh process. The predictor's time includes its three tokenizers. The peak is "
        "the growth of the resident memory, with mapped file pages.\n\n"
        + markdown_table(header, rows)
        + "\n\nThe files are float32. In float32 they are mapped, and read when they are first "
        "needed. For bfloat16 they are read and converted.",
    )


if __name__ == "__main__":
    main()
