"""Aligned encoding: what is cut from long texts, and that nothing else changes an encoding."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import NASTY_TEXTS, train_tokenizer

from stacked_emotion.alignment_stacked_emotion import AlignedBatch, AlignedBatchEncoder
from stacked_emotion.words_stacked_emotion import cut_words

GIANT = "ه" * 200
LINK = "https://example.org/" + "a1b2-" * 80
ENDING = " تعبت من كل شيء 💔"
LONG_TEXTS = [
    GIANT,
    GIANT + ENDING,
    LINK + ENDING,
    "تعبت " + GIANT + ENDING,
    f"{GIANT} {GIANT} {GIANT} {GIANT}",
    GIANT + " " + LINK + ENDING,
    "كلمة " * 70 + GIANT,
    "😂" * 300,
    "😂" * 300 + ENDING,
    "😂 " * 300,
    "!" * 500 + ENDING,
    " " * 400 + "حزين",
    "\n" * 400 + GIANT,
    "ًٌٍَُ" * 80 + ENDING,
    "a\u200d" * 300 + ENDING,
    "\ud83d" * 300,
    "@" + "user" * 60 + ENDING,
]  # fmt: skip
TEXT = st.text(
    st.sampled_from("abcهةتس  \t\n😍❤️!؟،👨‍👩 ًٌٍ'@#ـ\ud83d\u200d日本"), max_size=80
) | st.text(max_size=40)


@pytest.fixture(scope="module")
def backends(sample_texts: list[str]) -> dict[str, Any]:
    return {
        kind: train_tokenizer(kind, sample_texts, size).backend_tokenizer
        for kind, size in (("wordpiece", 400), ("unigram", 300), ("bytes", 400))
    }


@pytest.fixture(scope="module", params=["plain", "read differently"])
def encoder(request: pytest.FixtureRequest, backends: dict[str, Any]) -> AlignedBatchEncoder:
    return made(backends, differently=request.param != "plain")


def made(backends: dict[str, Any], differently: bool = False) -> AlignedBatchEncoder:
    own: dict[str, Any] = {
        "encoder_prefixes": {"unigram": "query: "},
        "placeholders": {"wordpiece": {"user": "مستخدم", "link": "رابط"}},
        "normalization": ["diacritics", "tatweel"],
    }
    return AlignedBatchEncoder.from_settings(
        {
            "encoder_names": list(backends),
            "encoder_pad_ids": {"wordpiece": 0, "unigram": 1, "bytes": 1},
            "model_max_length": 48,
            **(own if differently else {}),
        },
        backends,
    )


def one(batch: AlignedBatch, row: int = 0) -> list[Any]:
    """What one text became, without the padding of its batch."""
    parts = [values[row, : batch.lengths[row]].tolist() for values in batch.arrays.values()]
    return [*parts, bool(batch.truncated[row]), batch.words[row]]


def check(encoder: AlignedBatchEncoder, text: str, max_length: int) -> AlignedBatch:
    """What holds for every text."""
    batch = encoder.encode([text], max_length)
    words = len(batch.words[0])
    assert batch.words[0] == cut_words(text)[:words]
    assert words + 1 <= batch.lengths[0] == batch.input_ids.shape[1] <= max_length
    assert bool(text.strip()) == (words > 0)
    assert batch.word_index.max(initial=0) <= words
    free = encoder.encode([text], None)
    assert batch.has_words == free.has_words  # something is read wherever there is something
    whole = words == len(free.words[0])
    if not batch.truncated[0]:
        assert whole
    for index, closing in enumerate(encoder.closing):
        length = int(batch.attention_mask[0, :, index].sum())
        all_ids = free.input_ids[0][free.attention_mask[0, :, index] == 1, index].tolist()
        ids = batch.input_ids[0, :length, index].tolist()
        assert ids[length - closing :] == all_ids[len(all_ids) - closing :]
        if free.lengths[0] <= max_length:
            assert ids == all_ids
    return batch


@pytest.mark.parametrize("max_length", [5, 6, 17, 48, 128])
@pytest.mark.parametrize("text", LONG_TEXTS, ids=range(len(LONG_TEXTS)))
def test_something_of_every_text_is_read_by_every_encoder(
    encoder: AlignedBatchEncoder, text: str, max_length: int
) -> None:
    batch = check(encoder, text, max_length)
    reads = (batch.word_index[0] > 0).any(0)
    sees = (encoder.encode([text], None).word_index[0] > 0).any(0)
    if not text.startswith("ً") or max_length > 6:  # marks that two of the encoders drop
        assert (reads == sees).all()
    assert batch.truncated[0] or encoder.encode([text], None).lengths[0] <= max_length + 400


def test_what_follows_a_giant_word_is_still_read(backends: dict[str, Any]) -> None:
    encoder = made(backends)
    for giant in (GIANT, LINK, "!" * 300):
        batch = encoder.encode([giant + ENDING], 128)
        assert batch.words[0] == cut_words(giant + ENDING)
        assert batch.truncated[0]
        ending = len(batch.words[0])
        for index in range(3):
            assert (batch.word_index[0, :, index] == ending).any()
        assert (batch.lengths == 128).all()  # the giant word has all the room that is left
    crowded = encoder.encode([GIANT + " كلمة" * 300], 128)
    giant_size = (crowded.word_index[0] == 1).sum(0)
    assert giant_size.max() == 63  # half of what the special tokens leave
    assert len(crowded.words[0]) > 10


def test_a_giant_word_of_one_encoder_is_cut_for_that_one_only(backends: dict[str, Any]) -> None:
    encoder = made(backends)
    text = "ك" * 150 + ENDING  # one unknown token for WordPiece, many sub-words for the others
    free, batch = encoder.encode([text], None), encoder.encode([text], 48)
    assert (free.word_index[0] == 1).sum(0)[0] == 1
    assert (free.word_index[0] == 1).sum(0)[1:].min() > 48
    assert batch.truncated[0]
    whole = free.attention_mask[0, :, 0] == 1
    kept = batch.attention_mask[0, :, 0] == 1
    assert batch.input_ids[0, kept, 0].tolist() == free.input_ids[0, whole, 0].tolist()


def test_words_that_could_fit_are_never_cut(backends: dict[str, Any]) -> None:
    encoder = made(backends)
    text = "سعيدة جدا بالنجاح الكبير في الامتحان اليوم مع كل الأصدقاء " * 5
    free = encoder.encode([text], None)
    for max_length in range(12, 60):
        batch = encoder.encode([text], max_length)
        assert batch.truncated[0]
        for index in range(3):
            for word in range(1, len(batch.words[0]) + 1):
                size = (batch.word_index[0, :, index] == word).sum()
                assert size == (free.word_index[0, :, index] == word).sum()


def test_a_limit_without_room_for_text_is_refused(encoder: AlignedBatchEncoder) -> None:
    with pytest.raises(ValueError, match="max_length=2 leaves no room"):
        encoder.encode(["a"], 2)
    assert encoder.encode(["a b"], 3).word_counts.tolist() == [1]


@settings(max_examples=150, deadline=None)
@given(texts=st.lists(TEXT, min_size=1, max_size=6), max_length=st.sampled_from([5, 9, 24, 64]))
def test_any_text_alone_or_among_others(
    encoder: AlignedBatchEncoder, texts: list[str], max_length: int
) -> None:
    batch = encoder.encode(texts, max_length)
    turned = encoder.encode(texts[::-1], max_length)
    for row, text in enumerate(texts):
        alone = check(encoder, text, max_length)
        assert one(alone) == one(batch, row) == one(turned, len(texts) - 1 - row)
        free = encoder.encode([text], None)
        if free.lengths[0] <= max_length:
            assert one(alone) == one(free)
    part = batch.rows(np.array([0]))
    assert {name: values[0].tolist() for name, values in part.items()} == dict(
        zip(batch.arrays, one(batch)[:3], strict=True)
    )


@settings(max_examples=150, deadline=None)
@given(text=TEXT)
def test_every_sub_word_belongs_to_the_word_it_overlaps_most(
    backends: dict[str, Any], text: str
) -> None:
    batch = made(backends).encode([text], None)
    clean = "".join("\ufffd" if "\ud800" <= letter < "\ue000" else letter for letter in text)
    for index, backend in enumerate(backends.values()):
        expected = []
        for start, end in backend.encode(clean).offsets:
            overlaps = [min(end, b) - max(start, a) for a, b in batch.words[0]]
            best = max(overlaps, default=0)
            expected.append(overlaps.index(best) + 1 if best > 0 else 0)
        kept = batch.attention_mask[0, :, index] == 1
        assert batch.word_index[0, kept, index].tolist() == expected


def test_nasty_texts(encoder: AlignedBatchEncoder) -> None:
    for text in NASTY_TEXTS:
        for max_length in (5, 48):
            check(encoder, text, max_length)


@pytest.mark.parametrize(
    "text",
    [
        "ه" * 1_000_000,
        "ab" * 500_000 + ENDING,
        ("x" * 1_500 + " ") * 600,
        " " * 1_000_000 + "a",
        "a" + " " * 1_000_000 + "b",
        "!" * 1_000_000,
        "😂" * 1_000_000,
        "https://" + "a" * 1_000_000,
        "\ud83d" * 1_000_000,
    ],
    ids=range(9),
)
def test_work_is_bounded(backends: dict[str, Any], text: str) -> None:
    encoder = made(backends, differently=True)
    normal = "كلمة عادية في نص طويل، " * 200

    def seconds(text: str) -> float:
        times = []
        for _ in range(3):
            start = time.process_time()
            encoder.encode([text], 128)
            times.append(time.process_time() - start)
        return min(times)

    batch = encoder.encode([text], 128)
    assert batch.has_words[0] or text.startswith("  ")
    assert batch.truncated[0]
    assert seconds(text) < 15 * max(seconds(normal), 0.001)


def test_the_bound_changes_nothing_that_fits(backends: dict[str, Any]) -> None:
    encoder = made(backends)
    for length in (3_000, 20_000, 60_000):  # unknown to WordPiece, so one token however long
        only = AlignedBatchEncoder.from_settings(
            {
                "encoder_names": ["wordpiece"],
                "encoder_pad_ids": {"wordpiece": 0},
                "model_max_length": 128,
            },
            backends,
        )
        text = "حزين " + "ك" * length + "  جدا"
        bounded, free = only.encode([text], 128), only.encode([text], None)
        assert one(bounded)[:3] == one(free)[:3]
        assert bounded.words == free.words == [cut_words(text)]
        assert bounded.truncated[0]
    cut = encoder.encode(["ه" * 5_000 + ENDING], 128)
    assert cut.words[0] == cut_words("ه" * 5_000 + ENDING)


def test_scores_of_a_giant_first_word_are_not_those_of_no_text(tiny_stack: Any) -> None:
    model, tokenizer = tiny_stack
    texts = ["", "ه" * 200, "ه" * 200 + ENDING, "ه" * 200 + " أنا سعيد جدا 😍"]
    with torch.no_grad():
        logits = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits
    for first in range(4):
        for second in range(first):
            assert (logits[first] - logits[second]).abs().max() > 1e-5


def test_settings_are_those_of_the_tokenizer(tiny_stack: Any, tiny_stack_folder: Path) -> None:
    _, tokenizer = tiny_stack
    given_settings = json.loads((tiny_stack_folder / "tokenizer_config.json").read_text())
    encoder = AlignedBatchEncoder.from_settings(given_settings, tokenizer.backends)
    assert encoder.max_length == tokenizer.model_max_length
    batch = encoder.encode(NASTY_TEXTS, encoder.max_length)
    direct = tokenizer(NASTY_TEXTS, padding=True, return_tensors="np", return_length=True)
    for name, values in batch.arrays.items():
        assert (values == direct[name]).all()
    assert direct["length"].tolist() == batch.lengths.tolist()
