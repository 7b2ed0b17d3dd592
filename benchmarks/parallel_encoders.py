"""Stage `encoders` with several jobs against one process with one thread, and with all threads.

An encoder of 6 layers, 384 wide, with random weights, fine-tuned on the bundled sample by five
folds (the default) and on all rows: six parts of one kind. Each way is a process of its own that
starts, reads, trains and ends, so the start of the child processes counts. Run it on an idle
machine.

    python benchmarks/parallel_encoders.py --jobs 2
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from transformers import AutoModel, AutoTokenizer, BertConfig

from stacked_emotion.data.labeled_texts import DataArguments, load_labeled_texts
from stacked_emotion.recipes import RECIPES
from stacked_emotion.trainer.tiny_encoders import make_tiny_encoders

SAMPLE = RECIPES / "sample/train.jsonl"


def make_encoder(folder: Path) -> Path:
    """A BERT of 6 layers, 384 wide, with the tokenizer of a tiny encoder."""
    texts = load_labeled_texts(DataArguments(train_file=str(SAMPLE)), "train")
    assert texts is not None
    tokenizer = AutoTokenizer.from_pretrained(make_tiny_encoders(folder, texts.texts)["unigram"])
    target = folder / "small"
    tokenizer.save_pretrained(target)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=384, num_hidden_layers=6, num_attention_heads=12,
        intermediate_size=1536, max_position_embeddings=128, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    AutoModel.from_config(config, add_pooling_layer=False).save_pretrained(target)
    return target


def seconds(encoder: Path, output: Path, epochs: int, jobs: int, threads: int) -> float:
    """Wall-clock seconds of stage `encoders`, from the start of the command to its end."""
    command = [
        sys.executable, "-m", "stacked_emotion.trainer.train", "--train_file", str(SAMPLE),
        "--encoders", f"small={encoder}", "--output_dir", str(output), "--stage", "encoders",
        "--encoder_defaults.epochs", str(epochs), "--jobs", str(jobs),
    ]  # fmt: skip
    begin = time.monotonic()
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return time.monotonic() - begin


def main() -> None:
    """Measure the three ways and print their seconds and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of one process")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        encoder = make_encoder(Path(folder))
        ways = {
            "one process, 1 thread": (1, 1),
            f"one process, {options.threads} threads": (1, options.threads),
            f"{options.jobs} jobs, 1 thread each": (options.jobs, 1),
        }
        measured: dict[str, float] = {}
        for place, (name, (jobs, threads)) in enumerate(ways.items()):
            output = Path(folder) / f"run_{place}"
            measured[name] = seconds(encoder, output, options.epochs, jobs, threads)
            first = next(iter(measured.values()))
            print(f"{name}: {measured[name]:.1f} s, {first / measured[name]:.2f} times as fast")


if __name__ == "__main__":
    main()
