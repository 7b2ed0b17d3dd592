"""From how many training rows on does each part of the stack pay?

Trains a recipe on random parts of its training file, with several seeds. A seed changes the rows,
the folds, the encoders and the layers on top. Reads the scores of the validation texts: the single
encoder that is best on them, the average of all, stage `meta` (the stack without Bi-LSTM and
classifier) and the whole stack. Runs that are there already are not repeated.

    python benchmarks/learning_curve.py RECIPE.yaml --sizes 250 1000 0 --output_dir runs/curve

Size 0 means all rows. The table is printed; `curve.svg` is written to the output folder.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import yaml

from stacked_emotion.common.tables import markdown_table

METRICS = {"jaccard": "Jaccard", "macro_f1": "macro-F1", "macro_ap": "macro AP"}
SYSTEMS = ("best single", "average", "meta", "stack")


def train(recipe: Path, size: int, seed: int, output: Path) -> dict[str, dict[str, float]]:
    """The validation scores, by system and metric, of a run on `size` rows chosen by `seed`."""
    run = output / f"rows_{size or 'all'}_seed_{seed}"
    if not (run / "results.json").is_file():
        rows = Path(yaml.safe_load(recipe.read_text())["train_file"]).read_text().splitlines()
        body = random.Random(seed).sample(rows[1:], size or len(rows) - 1)
        run.mkdir(parents=True, exist_ok=True)
        part = run / "train.txt"
        part.write_text("\n".join([rows[0], *body]) + "\n")
        subprocess.run(
            [sys.executable, "-m", "stacked_emotion.trainer.train", "--config", str(recipe),
             "--train_file", str(part), "--seed", str(seed), "--head_seeds", str(seed),
             "--output_dir", str(run)],
            check=True,
        )  # fmt: skip
    results: dict[str, Any] = json.loads((run / "results.json").read_text())
    scores = {
        system: {metric: parts["validation"][metric]["mean"] for metric in METRICS}
        for system, parts in results["systems"].items()
    }
    singles = [scores[name] for name in results["encoders"]]
    best = {metric: max(single[metric] for single in singles) for metric in METRICS}
    return {"best single": best} | {name: scores[name] for name in SYSTEMS[1:]}


def spread(values: list[float], sign: bool = False) -> str:
    """Mean ± standard deviation over seeds."""
    shown = f"{mean(values):+.3f}" if sign else f"{mean(values):.3f}"
    return f"{shown} ± {stdev(values):.3f}" if len(values) > 1 else shown


def plot(curves: dict[str, dict[str, list[list[float]]]], sizes: list[str], file: Path) -> None:
    """One panel per metric: the mean over seeds with its standard deviation, by training rows."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(METRICS), figsize=(11, 3.4), layout="constrained")
    for panel, (metric, title) in zip(panels, METRICS.items(), strict=True):
        for name in SYSTEMS:
            values = curves[name][metric]
            errors = [stdev(scores) if len(scores) > 1 else 0.0 for scores in values]
            panel.errorbar(
                sizes, list(map(mean, values)), errors, label=name, marker="o", capsize=3
            )
        panel.set(title=title, xlabel="training rows")
    panels[0].legend(frameon=False)
    figure.savefig(file)


def main() -> None:
    """Train what is missing, then print the table and draw the curves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[250, 1000, 0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--output_dir", type=Path, required=True)
    options = parser.parse_args()
    curves: dict[str, dict[str, list[list[float]]]] = {
        name: {metric: [] for metric in METRICS} for name in SYSTEMS
    }
    pairs = [("average", "best single"), ("meta", "average"), ("stack", "meta")]
    scores_table, gains_table = [], []
    sizes = [str(size) if size else "all" for size in options.sizes]
    for size, shown in zip(options.sizes, sizes, strict=True):
        runs = [train(options.recipe, size, seed, options.output_dir) for seed in options.seeds]
        for name in SYSTEMS:
            for metric in METRICS:
                curves[name][metric].append([run[name][metric] for run in runs])
            scores_table.append(
                [shown, name, *(spread([run[name][metric] for run in runs]) for metric in METRICS)]
            )
        for first, second in pairs:
            gains = (
                spread([run[first][metric] - run[second][metric] for run in runs], sign=True)
                for metric in METRICS
            )
            gains_table.append([shown, f"{first} − {second}", *gains])
    print(markdown_table(["rows", "system", *METRICS.values()], scores_table))
    print()
    print(markdown_table(["rows", "difference", *METRICS.values()], gains_table))
    plot(curves, sizes, options.output_dir / "curve.svg")


if __name__ == "__main__":
    main()
