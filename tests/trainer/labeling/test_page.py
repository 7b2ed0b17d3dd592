"""The page of a review: foreign text does nothing, Arabic runs right to left, a phone shows it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from browser import MISSING, PHONE, chromium

from stacked_emotion.data.labeled_texts import LabeledTexts
from stacked_emotion.trainer.labeling.page import review_page
from stacked_emotion.trainer.labeling.review import review_labels

HOSTILE = '<img src=x onerror="alert(1)"></p><script>alert(2)</script> \u202eabc \x1b[31m'


@pytest.fixture(scope="module")
def page() -> str:
    generator = np.random.default_rng(0)
    names = ["joy", HOSTILE, "ح" * 60]
    labels = (generator.random((60, 3)) < 0.5).astype(np.int8)
    right = labels * 0.8 + 0.1
    right[:12] = 1 - right[:12]
    texts = [f"فرحان جدا اليوم رقم {row}" for row in range(50)] + ["w" * 300, *[HOSTILE] * 9]
    given = LabeledTexts(
        texts, labels, names, ids=[HOSTILE] * 60, source="tweets <b>.csv", unit="line"
    )
    return review_page(review_labels(given, right, (right > 0.5).astype(int)), most=10)


def test_foreign_text_is_inert_and_directed(page: str) -> None:
    assert "<script" not in page
    assert "<img" not in page
    assert "<b>" not in page
    assert not set("\u202e\x1b") & set(page)
    assert '<p class="text" dir="rtl">فرحان' in page
    assert '<p class="text" dir="ltr">&lt;img' in page
    assert "The first 10 are shown" in page
    assert 'class="doubtful"' in page
    assert 'class="missing"' in page


@pytest.mark.skipif(bool(MISSING), reason=MISSING or "-")
def test_nothing_runs_and_nothing_is_wider_than_a_phone(page: str, tmp_path: Path) -> None:
    file = tmp_path / "review.html"
    file.write_text(page, encoding="utf-8")
    with chromium() as browser:
        tab = browser.new_context(**PHONE).new_page()
        said: list[str] = []
        tab.on("dialog", lambda dialog: said.append(dialog.message))
        tab.goto(file.as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390
        assert (
            tab.evaluate("getComputedStyle(document.querySelector('p.text[dir=rtl]')).direction")
            == "rtl"
        )
    assert not said
