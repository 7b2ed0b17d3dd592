from __future__ import annotations

import difflib
import itertools
import json
import re
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from semeval import LABELS, needs_semeval, tweets

import stacked_emotion

FOLDER = Path(stacked_emotion.__file__).parent / "recipes" / "sample"

DIALECTS = ["egyptian", "gulf", "levantine", "maghrebi", "msa"]

SHARE_BANDS = {
    "anger": (0.25, 0.40),
    "joy": (0.25, 0.40),
    "love": (0.25, 0.40),
    "sadness": (0.25, 0.40),
    "optimism": (0.22, 0.40),
    "disgust": (0.15, 0.21),
    "fear": (0.15, 0.21),
    "pessimism": (0.15, 0.21),
    "anticipation": (0.05, 0.10),
    "surprise": (0.05, 0.10),
    "trust": (0.05, 0.10),
}

Row = dict[str, Any]


def read(split: str) -> list[Row]:
    lines = (FOLDER / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


TRAIN, VALIDATION = read("train"), read("validation")
ROWS = TRAIN + VALIDATION


def normalized(text: str) -> str:
    """Fold what a reader would not count as a difference: vowel signs, alef forms, elongation."""
    text = unicodedata.normalize("NFKC", text).lower()
    text = re.sub("[\u064b-\u065f\u0670\u0640\ufe0f]", "", text)
    text = re.sub("[أإآ]", "ا", text).replace("ى", "ي").replace("ة", "ه")
    text = re.sub(r"(\w)\1{2,}", r"\1", text)
    kept = (c for c in text if c.isalnum() or c.isspace() or unicodedata.category(c) == "So")
    return " ".join("".join(kept).split())


def label_matrix(rows: list[Row]) -> np.ndarray:
    return np.array([[label in row["labels"] for label in LABELS] for row in rows], dtype=int)


def phi(first: str, second: str) -> float:
    matrix = label_matrix(ROWS)
    pair = matrix[:, [LABELS.index(first), LABELS.index(second)]]
    return float(np.corrcoef(pair.T)[0, 1])


def card_table(title: str) -> dict[str, list[str]]:
    lines = (FOLDER / "README.md").read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {title} |"))
    body = itertools.takewhile(lambda line: line.startswith("|"), lines[start + 2 :])
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in body]
    return {row[0]: row[1:] for row in cells}


def expected_counts(has: Any) -> list[str]:
    train, validation = sum(map(has, TRAIN)), sum(map(has, VALIDATION))
    share = 100 * (train + validation) / len(ROWS)
    return [str(train), str(validation), str(train + validation), f"{share:.1f} %"]


def test_every_row_has_the_schema() -> None:
    for row in ROWS:
        assert list(row) == ["text", "labels", "dialect"]
        assert row["text"] == " ".join(row["text"].split())
        assert 1 <= len(row["text"].split()) <= 35
        assert row["labels"] == sorted(set(row["labels"]))
        assert set(row["labels"]) <= set(LABELS)
        assert row["dialect"] in DIALECTS
        assert re.search("https?:", row["text"]) is None


def test_sizes() -> None:
    assert len(TRAIN) >= 500
    assert len(VALIDATION) >= 120
    assert len(ROWS) >= 620


def test_no_text_twice_within_or_across_the_splits() -> None:
    counts = Counter(normalized(row["text"]) for row in ROWS)
    assert "" not in counts
    assert [text for text, n in counts.items() if n > 1] == []


def test_no_two_texts_are_nearly_the_same() -> None:
    words = [(row["text"], set(normalized(row["text"]).split())) for row in ROWS]
    near = [
        (first, second)
        for (first, a), (second, b) in itertools.combinations(words, 2)
        if len(a & b) > 0.5 * len(a | b)
        or (
            len(a & b) > 0.3 * len(a | b)
            and difflib.SequenceMatcher(a=first, b=second).ratio() > 0.8
        )
    ]
    assert near == []


@pytest.mark.parametrize("rows", [ROWS, TRAIN], ids=["all", "train"])
def test_prevalence_is_imbalanced_as_intended(rows: list[Row]) -> None:
    shares = dict(zip(LABELS, label_matrix(rows).mean(axis=0), strict=True))
    outside = {k: v for k, v in shares.items() if not SHARE_BANDS[k][0] <= v <= SHARE_BANDS[k][1]}
    assert outside == {}


def test_labels_a_text() -> None:
    per_text = label_matrix(ROWS).sum(axis=1)
    assert 2.0 <= per_text.mean() <= 2.4
    assert 0.03 <= (per_text == 0).mean() <= 0.05


def test_validation_is_stratified() -> None:
    ratio = len(VALIDATION) / len(ROWS)
    expected = label_matrix(ROWS).sum(axis=0) * ratio
    assert np.abs(label_matrix(VALIDATION).sum(axis=0) - expected).max() <= 1.5
    assert label_matrix(VALIDATION).sum(axis=0).min() >= 10
    dialects = Counter(row["dialect"] for row in VALIDATION)
    assert max(dialects.values()) - min(dialects.values()) <= 3


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("joy", "love"),
        ("joy", "optimism"),
        ("anger", "disgust"),
        ("sadness", "pessimism"),
        ("fear", "pessimism"),
        ("anticipation", "optimism"),
    ],
)
def test_labels_that_come_together(first: str, second: str) -> None:
    assert phi(first, second) > 0.2


@pytest.mark.parametrize(
    ("first", "second"), [("anger", "joy"), ("joy", "sadness"), ("optimism", "pessimism")]
)
def test_labels_that_exclude_each_other(first: str, second: str) -> None:
    assert phi(first, second) < -0.15


def test_mixed_feelings_are_there() -> None:
    sets = [set(row["labels"]) for row in ROWS]
    for pair in ({"joy", "sadness"}, {"anger", "love"}, {"optimism", "sadness"}):
        assert sum(pair <= labels for labels in sets) >= 5


def test_every_dialect_has_its_share() -> None:
    for rows in (TRAIN, VALIDATION):
        shares = Counter(row["dialect"] for row in rows)
        assert min(shares[dialect] for dialect in DIALECTS) >= 0.1 * len(rows)
    for dialect in DIALECTS:
        present = {label for row in TRAIN if row["dialect"] == dialect for label in row["labels"]}
        assert present == set(LABELS)


def test_habits_of_social_media_are_there() -> None:
    texts = [row["text"] for row in ROWS]
    emoji = [t for t in texts if any(unicodedata.category(c) == "So" for c in t)]
    assert 0.845 <= len(emoji) / len(texts) < 0.855, "the card says about 85 %"
    assert sum("#" in text for text in texts) >= 30
    assert sum("@" in text for text in texts) >= 30
    assert sum(bool(re.search("([\u0621-\u064a])\\1{2,}", text)) for text in texts) >= 20
    assert sum(not any(c.isalnum() for c in text) for text in texts) >= 3


def test_card_states_the_counts_of_the_files() -> None:
    assert card_table("split") == {"train": [str(len(TRAIN))], "validation": [str(len(VALIDATION))]}
    labels = {k: expected_counts(lambda row, k=k: k in row["labels"]) for k in LABELS}
    labels["none of them"] = expected_counts(lambda row: not row["labels"])
    assert card_table("label") == labels
    assert card_table("dialect") == {
        k: expected_counts(lambda row, k=k: row["dialect"] == k) for k in DIALECTS
    }
    assert card_table("labels per text") == {
        str(k): expected_counts(lambda row, k=k: len(row["labels"]) == k) for k in range(5)
    }


def test_card_states_the_averages_and_correlations_of_the_files() -> None:
    card = " ".join((FOLDER / "README.md").read_text(encoding="utf-8").split())
    words = [len(row["text"].split()) for row in ROWS]
    assert f"{len(ROWS)} short Arabic texts" in card
    assert f"Labels per text: {label_matrix(ROWS).sum(axis=1).mean():.2f} on average" in card
    assert f"{min(words)} to {max(words)}, {np.mean(words):.1f} on average" in card
    stated = re.findall(r"(\w+) and (\w+) ([+−]\d\.\d\d)", card)
    assert len(stated) == 8
    for first, second, value in stated:
        assert f"{phi(first, second):+.2f}".replace("-", "−") == value


def test_card_says_synthetic_and_names_its_example() -> None:
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert "**Synthetic data.**" in card
    assert "license: apache-2.0" in card
    example = json.loads(card.split("```json\n")[1].split("\n```")[0])
    assert example in ROWS


@pytest.mark.real_data
@needs_semeval
def test_no_text_in_common_with_semeval() -> None:
    real = [row[1] for split in ("train", "dev") for row in tweets("ar", split)]
    assert len(real) > 2000
    theirs = {normalized(tweet) for tweet in real}
    assert [row["text"] for row in ROWS if normalized(row["text"]) in theirs] == []
    their_words = [set(tweet.split()) for tweet in theirs if len(tweet.split()) >= 4]
    for row in ROWS:
        words = set(normalized(row["text"]).split())
        if len(words) >= 4:
            assert max(len(words & w) / len(words | w) for w in their_words) < 0.5, row["text"]
