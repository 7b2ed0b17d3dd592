"""The real tweets of SemEval-2018 E-c, which lie beside the repository, if at all."""

from __future__ import annotations

import pytest
from tiny_models import ROOT

SEMEVAL = ROOT.parent / "shared" / "data" / "semeval2018_ec"
LABELS = [
    "anger", "anticipation", "disgust", "fear", "joy", "love", "optimism", "pessimism", "sadness",
    "surprise", "trust",
]  # fmt: skip
needs_semeval = pytest.mark.skipif(
    not SEMEVAL.is_dir(), reason=f"the SemEval-2018 E-c files are not at {SEMEVAL}"
)


def tweets(language: str, split: str) -> list[list[str]]:
    """The cells of each row: ID, tweet, and a 0 or 1 per label. Not read by the package."""
    content = (SEMEVAL / language / f"{split}.txt").read_bytes().decode()
    return [line.split("\t") for line in content.rstrip("\n").split("\n")[1:]]
