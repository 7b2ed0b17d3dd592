"""Words: where texts are cut, and which word a sub-word belongs to."""

from __future__ import annotations

import numpy as np
import pytest

from stacked_emotion.words_stacked_emotion import EncoderText, assign_words, cut_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("كل سنه 😍 ❤️🎈🎈!!!", ["كل", "سنه", "😍", "❤️🎈🎈", "!!!"]),
        ("", []),
        (" \t\n", []),
        ("ًٌٍ", ["ًٌٍ"]),
        ("جِدًّا", ["جِدًّا"]),
        ("see https://a.b/c?d=1, @user #وسم_1", ["see", "https://a.b/c?d=1,", "@user", "#وسم_1"]),
        ("don't 3.5", ["don't", "3", ".", "5"]),
        ("👨‍👩‍👧‍👦x", ["👨‍👩‍👧‍👦", "x"]),
        ("نص‌نص،نعم؟", ["نص‌نص", "،", "نعم", "؟"]),
        ("日本語。", ["日本語", "。"]),
    ],
)
def test_cut_words(text: str, words: list[str]) -> None:
    spans = cut_words(text)
    assert [text[start:end] for start, end in spans] == words
    assert cut_words(text, limit=1) == spans[:1]


def brute_force(start: int, end: int, spans: list[tuple[int, int]]) -> int:
    overlaps = [max(0, min(end, b) - max(start, a)) for a, b in spans]
    if not overlaps or max(overlaps) == 0:
        return 0
    return overlaps.index(max(overlaps)) + 1


def test_assign_words_equals_brute_force() -> None:
    generator = np.random.default_rng(0)
    spans, starts, ends, rows, expected = [], [], [], [], []
    for row in range(300):
        edges = np.sort(generator.choice(40, size=2 * generator.integers(0, 8), replace=False))
        spans.append([(int(a), int(b)) for a, b in edges.reshape(-1, 2)])
        for _ in range(12):
            start = int(generator.integers(0, 42))
            end = start + int(generator.integers(0, 9))
            starts.append(start)
            ends.append(end)
            rows.append(row)
            expected.append(brute_force(start, end, spans[-1]) if end > start else 0)
    found = assign_words(np.array(starts), np.array(ends), np.array(rows), spans)
    assert found.tolist() == expected


def test_normalization_knows_where_it_came_from() -> None:
    reader = EncoderText("p: ", {"user": "[U]"}, ["diacritics", "tatweel", "elongation"])
    text = "@abc جِدًّااااا جـــا"
    changed, mapping = reader.apply(text)
    assert changed == "p: [U] جداا جا"
    assert mapping is not None
    assert mapping[:3].tolist() == [[0, 0]] * 3
    assert mapping[3:6].tolist() == [[0, 4]] * 3
    for position, character in enumerate(changed[6:], start=6):
        start, end = mapping[position]
        assert character in text[start:end]
    assert EncoderText("", None, ["diacritics"]).apply("abc") == ("abc", None)
