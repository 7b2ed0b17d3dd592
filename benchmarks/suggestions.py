"""Whether the texts that `suggest` chooses teach a stack more than texts drawn at random.

A stack is trained on some labeled tweets. Then as many again are added, chosen by `suggest` or
drawn at random, and a new stack is trained on all of them. Every stack is scored on the same
held-out tweets. The labels of all tweets are known here, and are used once a tweet is chosen.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from stacked_emotion import train
from stacked_emotion.common.tables import markdown_table
from stacked_emotion.data.arguments import DataArguments
from stacked_emotion.data.labeled_texts import LabeledTexts, load_splits
from stacked_emotion.runs import Run
from stacked_emotion.trainer.labeling.suggestions import suggest
from stacked_emotion.trainer.metrics.scores import emotion_scores

METRICS = ("jaccard", "micro_f1", "macro_f1", "macro_ap")


def main() -> None:
    """Train all stacks, and print each one's scores and the mean differences."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train_file", required=True)
    parser.add_argument("--validation_file", required=True)
    parser.add_argument("--encoders", nargs="+", required=True, help="folders or Hub IDs")
    parser.add_argument("--number", type=int, default=250)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--output_dir", type=Path, help="keep the stacks here, and go on from them")
    options = parser.parse_args()
    splits = load_splits(
        DataArguments(train_file=options.train_file, validation_file=options.validation_file)
    )
    pool, number = splits["train"], options.number
    found: list[dict[str, Any]] = []
    for seed in options.seeds:
        order = np.random.default_rng(seed).permutation(len(pool))
        labeled, unlabeled = order[:number], order[number:]
        with tempfile.TemporaryDirectory() as folder:
            kept = (options.output_dir or Path(folder)) / f"seed_{seed}"

            def scored(name: str, rows: np.ndarray, kept: Path = kept, seed: int = seed) -> Run:
                begin = time.process_time()
                run = trained(kept / name, pool.select(rows), options.encoders, seed)
                scores = scores_of(run, splits["validation"])
                found.append({"seed": seed, "texts": name} | scores)
                print(json.dumps(found[-1] | {"seconds": time.process_time() - begin}), flush=True)
                return run

            first = scored("labeled", labeled)
            chosen = suggest(
                first.predictor,
                ((int(row), pool.texts[row]) for row in unlabeled),
                [pool.texts[row] for row in labeled],
                number,
            )
            scored("chosen", np.concatenate([labeled, chosen["row"]]))
            scored("random", np.concatenate([labeled, unlabeled[:number]]))
    print(table(found))


def trained(folder: Path, texts: LabeledTexts, encoders: list[str], seed: int) -> Run:
    """A small stack trained on these texts."""
    columns = [texts.texts, *texts.labels.T.tolist()]
    names = ["text", *texts.label_names]
    rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    return train(
        {Path(source).name: source for source in encoders},
        train=rows, text="text", labels=texts.label_names, output_dir=folder, seed=seed,
        head_seeds=[seed], cross_fit=2, encoder_defaults={"epochs": 8, "batch_size": 16},
        meta={"batch_size": 16}, head={"batch_size": 16},
    )  # fmt: skip


def scores_of(run: Run, texts: LabeledTexts) -> dict[str, float]:
    """The finished stack on held-out texts."""
    probabilities = run.predictor.predict_proba(texts.texts)
    decisions = run.predictor.decide(probabilities).astype(int)
    scores = emotion_scores(texts.labels.astype(int), probabilities, decisions=decisions)
    return {metric: float(scores[metric]) for metric in METRICS}


def table(found: list[dict[str, Any]]) -> str:
    """All scores, and the mean of chosen minus random with its standard deviation."""
    rows = [
        [one["seed"], one["texts"], *(f"{one[metric]:.3f}" for metric in METRICS)] for one in found
    ]
    by_name = {
        name: np.array([[one[m] for m in METRICS] for one in found if one["texts"] == name])
        for name in ("labeled", "chosen", "random")
    }
    rows += [["mean", name, *(f"{x:.3f}" for x in v.mean(0))] for name, v in by_name.items()]
    gains = by_name["chosen"] - by_name["random"]
    spread = gains.std(0, ddof=1) if len(gains) > 1 else np.zeros(len(METRICS))
    rows.append(
        ["mean", "chosen - random",
         *(f"{mean:+.3f} ± {std:.3f}" for mean, std in zip(gains.mean(0), spread, strict=True))]
    )  # fmt: skip
    return markdown_table(["seed", "texts", *METRICS], rows)


if __name__ == "__main__":
    main()
