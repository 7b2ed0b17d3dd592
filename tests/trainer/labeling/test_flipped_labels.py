"""`review` finds labels that were made wrong on purpose, with tiny encoders, in minutes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_models import ROOT

from stacked_emotion import train
from stacked_emotion.data.arguments import DataArguments
from stacked_emotion.data.labeled_texts import load_labeled_texts
from stacked_emotion.trainer.tiny_encoders import make_tiny_encoders

SAMPLE = ROOT / "recipes" / "sample" / "train.jsonl"
SHARE = 0.05


@pytest.mark.slow
def test_flipped_labels_are_listed_first(tmp_path: Path) -> None:
    """One label is flipped in 5 % of the texts of the bundled sample."""
    sample = load_labeled_texts(DataArguments(train_file=str(SAMPLE)), "train")
    assert sample is not None
    generator = np.random.default_rng(0)
    flipped = np.zeros(sample.labels.shape, bool)
    rows = generator.choice(len(sample), round(SHARE * len(sample)), replace=False)
    flipped[rows, generator.integers(len(sample.label_names), size=len(rows))] = True
    labels = sample.labels ^ flipped
    names = [[sample.label_names[place] for place in np.flatnonzero(row)] for row in labels]
    run = train(
        make_tiny_encoders(tmp_path / "encoders", sample.texts),
        train={"text": sample.texts, "labels": names},
        config="demo",
        output_dir=tmp_path / "run",
    )
    found = run.review()
    first = found.head(len(rows))
    hits = [flipped[line - 1].any() for line in first["line"]]
    named = [
        flipped[row.line - 1, sample.label_names.index(name)]
        for row in first.itertuples()
        for name in (*row.doubtful, *row.missing)
    ]
    print(
        f"\nOf {len(sample)} texts, {len(rows)} have a flipped label; {len(found)} are listed. "
        f"Of the first {len(first)}, {np.mean(hits):.1%} have one (chance {SHARE:.1%}). Of the "
        f"{len(named)} labels named there, {np.mean(named):.1%} are flipped (chance "
        f"{flipped.mean():.2%})."
    )
    assert np.mean(hits) >= 3 * SHARE
    assert np.mean(named) >= 3 * flipped.mean()
