"""Near-duplicates: all of them are found, and pairs name rows whose labels differ."""

from __future__ import annotations

import itertools
import re
import unicodedata

import numpy as np
import pytest

from stacked_emotion.trainer.labeling.near_duplicates import conflicting_pairs, near_duplicates

ALPHABET = "اب تث"


def sequences(text: str) -> set[str]:
    """Four-letter sequences inside words with a space on either side, by the definition."""
    plain = unicodedata.normalize("NFKD", text.lower())
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    found = set()
    for word in re.split(r"\s+", plain.strip()):
        padded = f" {word} "
        found |= {padded[start : start + 4] for start in range(max(len(padded) - 3, 1))}
    return found


@pytest.mark.parametrize("similarity", [0.3, 0.6, 1.0])
def test_the_search_finds_what_comparing_all_pairs_finds(similarity: float) -> None:
    generator = np.random.default_rng(1)
    texts = []
    for _ in range(40):
        text = "".join(generator.choice(list(ALPHABET), 30))
        changed = list(text)
        for place in generator.integers(30, size=generator.integers(4)):
            changed[place] = generator.choice(list(ALPHABET))
        texts += [f"x{text}", f"x{''.join(changed)}"]
    expected = {}
    sets = [sequences(text) for text in texts]
    for one, other in itertools.combinations(range(len(texts)), 2):
        jaccard = len(sets[one] & sets[other]) / len(sets[one] | sets[other])
        if jaccard >= similarity:
            expected[one, other] = jaccard
    pairs, found = near_duplicates(texts, similarity)
    assert expected
    got = dict(zip(map(tuple, pairs.tolist()), found.tolist(), strict=True))
    assert got == pytest.approx(expected)


def test_case_and_vowel_signs_do_not_count() -> None:
    pairs, found = near_duplicates(["فرحان جدا اليوم", "فَرحان جدًّا اليوم", "HAPPY", "happy"])
    assert pairs.tolist() == [[0, 1], [2, 3]]
    assert found.tolist() == [1.0, 1.0]


def test_only_rows_with_other_labels_are_paired() -> None:
    texts = [
        "فرحان جدا اليوم",
        "يوم حزين",
        "فرحان جدا  اليوم",
        "فرحان جدا اليوم!",
        "يوم حزين",
        "يوم حزين",
    ]
    labels = np.array([[1, 0], [0, 1], [1, 0], [1, 1], [0, 1], [1, 0]], np.int8)
    pairs, found = conflicting_pairs(texts, labels)
    # rows 1 and 5 differ in both labels; row 2 repeats row 0, and row 4 repeats row 1
    assert pairs.tolist() == [[1, 5], [0, 3]]
    assert found[0] == 1
    assert 0.6 <= found[1] < 1
    none, _ = conflicting_pairs(texts[:2], labels[:2])
    assert none.shape == (0, 2)
