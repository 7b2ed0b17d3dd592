"""Texts longer than the encoders: truncated and said so, or read in overlapping windows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import NASTY_TEXTS

from stacked_emotion.common.errors import UserError
from stacked_emotion.inference import StackedEmotionPredictor
from stacked_emotion.inference.long_texts import further_windows, pooled
from stacked_emotion.words_stacked_emotion import cut_words

LONG = " ".join(f"كلمة{number} جميلة 😍 word{number}!" for number in range(60))
LINK = "https://example.org/" + "a/b-" * 300


@pytest.fixture(scope="module")
def truncating(tiny_stack_folder: Path) -> StackedEmotionPredictor:
    return StackedEmotionPredictor.from_pretrained(str(tiny_stack_folder), dtype="float32")


@pytest.fixture(scope="module")
def windowing(tiny_stack_folder: Path) -> StackedEmotionPredictor:
    return StackedEmotionPredictor.from_pretrained(
        str(tiny_stack_folder), dtype="float32", long_texts="window"
    )


def test_texts_that_fit_are_bit_equal_in_both_modes(
    truncating: StackedEmotionPredictor, windowing: StackedEmotionPredictor
) -> None:
    texts = [*NASTY_TEXTS, LONG, "نص قصير", LONG[:300]]
    first, other = truncating.score(texts), windowing.score(texts)
    fits = ~first.truncated
    assert 0 < fits.sum() < len(texts)
    np.testing.assert_array_equal(first.logits[fits], other.logits[fits])
    assert (first.logits[~fits] != other.logits[~fits]).any(1).all()
    assert not other.truncated.any()
    np.testing.assert_array_equal(first.has_words, other.has_words)


@pytest.mark.parametrize("text", [LONG, f"قبل {LINK} بعد", LINK, "ا" * 5_000, f"{LONG} {LINK} end"])
def test_windows_overlap_fit_and_leave_nothing_out(
    windowing: StackedEmotionPredictor, text: str
) -> None:
    encoder = windowing.encoder
    first = encoder.encode([text], encoder.max_length)
    assert first.truncated[0]
    windows, owners = further_windows(encoder, [text, text], [len(first.words[0])] * 2)
    half = len(windows) // 2
    assert windows[:half] == windows[half:]
    assert owners.tolist() == [0] * half + [1] * half
    windows = windows[:half]
    assert not encoder.encode(windows, encoder.max_length).truncated.any()
    letters = "".join(text.split())
    giants = [start for start, end in first.words[0] if end - start > encoder.max_length]
    end = giants[0] + encoder.max_length // 2 if giants else first.words[0][-1][1]
    reached = len("".join(text[:end].split()))
    for window in windows:
        read = "".join(window.split())
        start = letters.rfind(read, 0, reached + len(read))
        assert 0 <= start <= reached  # it begins in, or right after, what was read before
        reached = max(reached, start + len(read))
    assert reached == len(letters)


def test_logits_are_the_mean_or_the_maximum_over_the_windows(
    tiny_stack: Any, tiny_stack_folder: Path, windowing: StackedEmotionPredictor
) -> None:
    model, tokenizer = tiny_stack
    words = windowing.encoder.encode([LONG], windowing.encoder.max_length).words[0]
    windows, _ = further_windows(windowing.encoder, [LONG], [len(words)])
    assert len(windows) > 3
    with torch.no_grad():
        logits = torch.cat(
            [model(**tokenizer([text], return_tensors="pt")).logits for text in [LONG, *windows]]
        ).numpy()
    np.testing.assert_allclose(windowing.score(LONG).logits[0], logits.max(0), atol=1e-5)
    averaging = StackedEmotionPredictor.from_pretrained(
        str(tiny_stack_folder), dtype="float32", long_texts="window", pooling="mean"
    )
    np.testing.assert_allclose(averaging.score(LONG).logits[0], logits.mean(0), atol=1e-5)
    overlap = set(windows[0].split()) & set(LONG[: words[-1][1]].split())
    assert overlap  # the second window repeats the end of the first


def test_pooling_keeps_a_text_of_one_window_as_it_is() -> None:
    first = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    for pooling in ("mean", "max"):
        alone = pooled(first, np.zeros((0, 4), np.float32), np.zeros(0, int), pooling)
        np.testing.assert_array_equal(alone, first)
    further = np.full((2, 4), 9.0, np.float32)
    found = pooled(first, further, np.array([1, 1]), "mean")
    np.testing.assert_allclose(found[1], (first[1] + 18) / 3, rtol=1e-6)
    np.testing.assert_array_equal(found[[0, 2]], first[[0, 2]])


def test_what_is_truncated_and_what_has_no_words(truncating: StackedEmotionPredictor) -> None:
    answers = truncating.predict(["", " \n", "كلمة", LONG, "كلمة " * 45])
    assert [answer.has_words for answer in answers] == [False, False, True, True, True]
    assert [answer.truncated for answer in answers][:4] == [False, False, False, True]
    assert answers[0].labels == answers[1].labels == []
    assert len(cut_words(LONG)) > truncating.encoder.max_length
    streamed = list(truncating.stream(iter([LONG, ""]), chunk=1))
    assert streamed[0].truncated
    assert not streamed[1].has_words


def test_unknown_ways_are_refused(tiny_stack_folder: Path) -> None:
    for option in ({"long_texts": "skip"}, {"pooling": "median"}):
        with pytest.raises(UserError, match=rf"{next(iter(option))}='\w+' is not known"):
            StackedEmotionPredictor.from_pretrained(str(tiny_stack_folder), **option)
