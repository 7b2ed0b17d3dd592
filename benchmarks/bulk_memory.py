"""Peak memory of `stacked-emotion predict` by number of rows: is it constant?

    python benchmarks/bulk_memory.py --rows 10000 100000 1000000

Without --model, a stack of one tiny encoder (one layer, width 16, random weights) is made.
Every text is different, so that none is answered from another's result. Each run is a process of
its own; its peak resident memory is the kernel's high-water mark (`VmHWM`; `ru_maxrss` would count
this process, which made it, too). Seconds depend on what
else the machine does; the memory does not.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet as parquet
from transformers import AutoTokenizer, BertConfig, BertModel

from stacked_emotion import StackedEmotionForSequenceClassification, StackedEmotionTokenizer
from stacked_emotion.trainer.tiny_encoders import make_tiny_encoders

WORDS = [
    "فرحان", "جدا", "اليوم", "تعبت", "خائف", "من", "كل", "شيء", "والله",
    "العظيم", "حزين", "غاضب", "الحمد", "لله", "😍", "💔", "نجحت", "بس",
]  # fmt: skip
SCHEMA = pyarrow.schema([("id", pyarrow.int64()), ("text", pyarrow.string())])


def rows(count: int) -> Iterator[dict[str, Any]]:
    """Rows with texts of 2 to 12 words, all different."""
    draw = random.Random(0)
    for number in range(count):
        words = " ".join(draw.choices(WORDS, k=draw.randint(2, 11)))
        yield {"id": number, "text": f"{words} {number}"}


def write(path: Path, count: int, row_group: int) -> None:
    """The rows as a file, in constant memory too."""
    if path.suffix == ".parquet":
        with parquet.ParquetWriter(path, SCHEMA) as writer:
            batch: list[dict[str, Any]] = []
            for row in rows(count):
                batch.append(row)
                if len(batch) == row_group:
                    writer.write_table(pyarrow.Table.from_pylist(batch, SCHEMA))
                    batch = []
            if batch:
                writer.write_table(pyarrow.Table.from_pylist(batch, SCHEMA))
        return
    with path.open("w", encoding="utf-8", newline="") as stream:
        if path.suffix == ".jsonl":
            stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows(count))
        else:
            writer = csv.DictWriter(stream, ["id", "text"])
            writer.writeheader()
            writer.writerows(rows(count))


def tiny_model(folder: Path) -> str:
    """A stack of one encoder that costs next to nothing, with 11 labels."""
    folders = make_tiny_encoders(folder, [row["text"] for row in rows(2000)])
    tokenizer = AutoTokenizer.from_pretrained(folders["wordpiece"])
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=64,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder / "one")
    tokenizer.save_pretrained(folder / "one")
    labels = [f"label_{number}" for number in range(11)]
    StackedEmotionForSequenceClassification.from_encoders(
        {"one": folder / "one"}, labels=labels, meta_hidden_size=16, lstm_hidden_size=16
    ).save_pretrained(folder / "model")
    StackedEmotionTokenizer.from_tokenizers({"one": folder / "one"}).save_pretrained(
        folder / "model"
    )
    return str(folder / "model")


def measure(command: list[str]) -> tuple[float, float]:
    """Peak resident memory in MiB and seconds of a command that must succeed."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
        marks = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
        peak = max([peak, *map(int, marks)])  # none while the process ends
        time.sleep(0.05)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed: status {process.returncode}")
    return peak / 1024, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument(
        "--formats", nargs="+", default=["csv:csv", "jsonl:jsonl", "parquet:parquet"],
        help="input:output",
    )  # fmt: skip
    parser.add_argument("--row_group", type=int, default=1_000_000, help="of Parquet inputs")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run(arguments, arguments.model or tiny_model(Path(folder)))


def run(arguments: argparse.Namespace, model: str) -> None:
    print("| rows | input | output | peak MiB | seconds |\n| --- | --- | --- | --- | --- |")
    for pair in arguments.formats:
        given, wanted = pair.split(":")
        for count in arguments.rows:
            with tempfile.TemporaryDirectory() as folder:
                source, target = Path(folder, f"in.{given}"), Path(folder, f"out.{wanted}")
                write(source, count, arguments.row_group)
                command = [sys.executable, "-m", "stacked_emotion.cli", "predict"]
                command += ["--model", model, "--input", str(source)]
                peak, seconds = measure([*command, "--output", str(target), "--dtype", "float32"])
                line = f"| {count:,} | {given} | {wanted} | {peak:.0f} | {seconds:.0f} |"
                print(line, flush=True)


if __name__ == "__main__":
    main()
