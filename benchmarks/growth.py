"""How the predictor's time grows with the length of the texts, the batch, and the rows."""

from __future__ import annotations

import argparse
import time
from statistics import median

from peers import peak_memory
from random_stack import make_models, synthetic_texts
from tables import publish

from stacked_emotion.common.tables import markdown_table
from stacked_emotion.inference import StackedEmotionPredictor


def main() -> None:
    """Measure each of the three, the settings in turns, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", default="onnx")
    parser.add_argument("--dtype", default="int8")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    predictor = StackedEmotionPredictor.from_pretrained(
        str(make_models()["stack"]), dtype=options.dtype, backend=options.backend, device="cpu"
    )
    words = " ".join(synthetic_texts(200, seed=5)).split()
    by_length: dict[str, tuple[list[str], int | None]] = {}
    for size in (5, 10, 20, 40, 80):
        count = max(8, 480 // size)
        cut = [" ".join(words[(7 * number) % 2000 :][:size]) for number in range(count)]
        by_length[str(size)] = (cut, None)
    texts = synthetic_texts(192, seed=6)
    by_batch: dict[str, tuple[list[str], int | None]] = {
        str(size): (texts, size) for size in (32, 128, 256, 512, 1024, 2048, 4096)
    }
    predictor.predict_proba(texts[:64])
    parts = []
    for title, settings in (("words per text", by_length), ("positions per batch", by_batch)):
        seconds: dict[str, list[float]] = {name: [] for name in settings}
        for number in range(options.rounds + 1):
            for name, (given, size) in settings.items():
                start = time.perf_counter()
                predictor.predict_proba(given, size)
                if number:  # the first round warms
                    seconds[name].append((time.perf_counter() - start) / len(given))
        rows = [[name, f"{1000 * median(found):.1f}"] for name, found in seconds.items()]
        parts.append(markdown_table([title, "ms per text"], rows))
    by_rows: dict[int, list[float]] = {count: [] for count in (64, 128, 256, 512)}
    peaks: dict[int, float] = {}
    for number in range(options.rounds):
        for count, found in by_rows.items():
            start = time.perf_counter()
            predictor.predict_proba(synthetic_texts(count, seed=7 + number))
            found.append((time.perf_counter() - start) / count)
            peaks.setdefault(count, peak_memory())
    parts.append(
        markdown_table(
            ["rows", "ms per text", "peak memory so far, GB"],
            [
                [count, f"{1000 * median(found):.1f}", f"{peaks[count]:.2f}"]
                for count, found in by_rows.items()
            ],
        )
    )
    publish("growth", f"Backend: {predictor.backend}.\n\n" + "\n\n".join(parts))


if __name__ == "__main__":
    main()
