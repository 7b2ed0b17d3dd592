"""Peak memory of fine-tuning an encoder, and where it stands between the steps.

Stage `encoders` on labeled texts, in a process of its own, for some steps. `--malloc returned`
lets glibc give freed blocks of 128 KiB and more back to the system at once; `default` keeps its
own rule. Further options are those of a recipe. Seconds are CPU seconds.

    OMP_NUM_THREADS=1 python benchmarks/training_memory.py --encoder ID_OR_FOLDER --train_file FILE
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

MALLOC = {"default": {}, "returned": {"MALLOC_MMAP_THRESHOLD_": str(128 << 10)}}
"""Environment of the process by rule."""


def memory(name: str) -> float:
    """Megabytes of this process: `RssAnon` now, or `VmHWM`, the most so far."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))


def train(options: argparse.Namespace, more: list[str], output: str) -> None:
    """Fine-tune in this process, and print its memory."""
    from transformers import TrainerCallback

    from stacked_emotion.trainer import parse_recipe, run_training
    from stacked_emotion.trainer.running.processes import prepare_process
    from stacked_emotion.trainer.stages import encoders

    print(f"imports: {memory('VmHWM'):.0f} MB", flush=True)

    class Watch(TrainerCallback):
        def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
            self.begin = time.process_time()
            print(f"the model is loaded: {memory('VmHWM'):.0f} MB", flush=True)

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            seconds = time.process_time() - self.begin
            print(
                f"step {state.global_step}: peak {memory('VmHWM'):.0f} MB, anonymous between steps "
                f"{memory('RssAnon'):.0f} MB, {seconds:.1f} s",
                flush=True,
            )

    class Watched(encoders.StackedEmotionTrainer):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.add_callback(Watch())

    encoders.StackedEmotionTrainer = Watched  # type: ignore[misc]
    command = [
        "--train_file", options.train_file, "--encoders", f"encoder={options.encoder}",
        "--encoder_defaults.epochs", "1", "--encoder_defaults.max_steps", str(options.steps),
        "--cross_fit", "0", "--stage", "encoders", "--output_dir", output, *more,
    ]  # fmt: skip
    prepare_process()
    run_training(parse_recipe(command))


def main() -> None:
    """Measure both rules, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", required=True)
    parser.add_argument("--train_file", required=True)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--malloc", choices=list(MALLOC), nargs="+", default=list(MALLOC))
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options, more = parser.parse_known_args()
    if options.child:
        with tempfile.TemporaryDirectory() as folder:
            train(options, more, f"{folder}/run")
        return
    for rule in options.malloc:
        print(f"freed blocks: {rule}", flush=True)
        subprocess.run(
            [sys.executable, *sys.argv, "--child"], check=True, env=os.environ | MALLOC[rule]
        )


if __name__ == "__main__":
    main()
