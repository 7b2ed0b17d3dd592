"""Words: where texts are cut, and which word a sub-word belongs to."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

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


TEXTS = st.text() | st.text(
    st.sampled_from("abcهةتس  \t\n\u00a0😍❤\ufe0f!؟،👨\u200d👩 ًٌٍ'’@#ـ\ud83d日本:/.w0"), max_size=60
)


@settings(max_examples=400, deadline=None)
@given(text=TEXTS, limit=st.integers(0, 6))
@example("http://a www. @ #x@y 's don''t", 3)
def test_words_are_in_order_and_cover_all_but_white_space(text: str, limit: int) -> None:
    spans = cut_words(text)
    covered = [place for start, end in spans for place in range(start, end)]
    assert covered == sorted(set(covered))  # in order, and none twice
    assert covered == [place for place, letter in enumerate(text) if not letter.isspace()]
    assert all(start < end for start, end in spans)
    assert cut_words(text, limit) == spans[:limit]
    for start, end in spans:
        assert cut_words(text[start:end])[0] == (0, end - start) or text[start] in "'’"


@st.composite
def cut_rows(draw: st.DrawFn) -> tuple[list[list[tuple[int, int]]], list[tuple[int, int, int]]]:
    """Words of some rows, and sub-words of them as (row, start, end), in any order."""
    rows = []
    for _ in range(draw(st.integers(1, 4))):
        edges = sorted(draw(st.sets(st.integers(0, 30), max_size=12)))
        rows.append(list(zip(edges[::2], edges[1::2], strict=False)))
        if draw(st.booleans()) and rows[-1]:  # words that touch
            rows[-1] = list(pairwise(edges))
    place = st.tuples(st.integers(0, len(rows) - 1), st.integers(0, 35), st.integers(-2, 20))
    parts = draw(st.lists(place, max_size=12))
    return rows, [(row, start, start + size) for row, start, size in parts]


@settings(max_examples=400, deadline=None)
@given(cut_rows())
def test_a_sub_word_belongs_to_the_word_it_overlaps_most(
    made: tuple[list[list[tuple[int, int]]], list[tuple[int, int, int]]],
) -> None:
    spans, parts = made
    rows, starts, ends = np.array(parts, np.int64).reshape(-1, 3).T
    expected = [brute_force(a, b, spans[row]) if b > a else 0 for row, a, b in parts]
    assert assign_words(starts, ends, rows, spans).tolist() == expected


@settings(max_examples=200, deadline=None)
@given(text=TEXTS)
def test_changed_texts_map_back_to_the_raw_text(text: str) -> None:
    reader = EncoderText("p: ", {"user": "[U]", "link": r"\1"}, ["diacritics", "elongation"])
    changed, mapping = reader.apply(text)
    if mapping is None:
        assert changed == "p: " + text
        return
    assert len(mapping) == len(changed)
    starts, ends = mapping[3:].T
    assert (starts < ends).all()
    assert (np.diff(starts) >= 0).all()
    assert (np.diff(ends) >= 0).all()
    assert ends.max(initial=0) <= len(text)
    for letter, start, end in zip(changed[3:], starts, ends, strict=True):
        assert letter in text[start:end] or letter in r"[U]\1"


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
