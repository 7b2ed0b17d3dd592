"""The app as people use it: typed into, read, fed with files, on a desk and on a phone."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import DESKTOP, MISSING, PHONE, chromium
from tiny_models import LABELS

from stacked_emotion.hub_card.space.interface import load_predictor
from stacked_emotion.inference.decisions import Decision

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=MISSING or "-"),
    pytest.mark.skipif(find_spec("gradio") is None, reason="needs gradio (extra `space`)"),
]
TEXT = "والله إني زعلان، ما توقعتها منك أبد 💔"
LEVANTINE = "شو هالخبر الحلو، اشتقتلكن كتير ❤️"
BOX = "#se-text textarea"


@pytest.fixture(scope="module")
def address(tiny_stack_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app as the command line starts it, for a model with a card."""
    model = shutil.copytree(tiny_stack_folder, tmp_path_factory.mktemp("app") / "emotions")
    widget = f"widget:\n- text: {LEVANTINE}\n  example_title: Levantine\n"
    (model / "README.md").write_text(f"---\nlanguage:\n- ar\n{widget}---\n", encoding="utf-8")
    command = [sys.executable, "-m", "stacked_emotion.cli", "demo-app", str(model)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8"
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                break
        else:
            raise AssertionError("the app ended before it began")
        for _ in range(60):
            with urllib.request.urlopen(found[0]) as answer:
                if answer.status == 200:
                    break
            time.sleep(0.5)
        yield found[0]
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def page(browser: Any, address: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    context = browser.new_context(**request.param)
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(address)
    page.wait_for_selector(BOX)
    yield page
    context.close()


def analyze(page: Any, text: str) -> None:
    page.fill(BOX, text)
    page.click("#se-go")
    page.wait_for_selector("#se-trust .se-parts")


def fits(page: Any) -> bool:
    """Whether nothing sticks out to the side."""
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_type_and_read(page: Any, tiny_stack_folder: Path) -> None:
    assert page.get_attribute(BOX, "dir") == "rtl"
    assert fits(page)
    analyze(page, TEXT)
    expected = load_predictor(str(tiny_stack_folder)).predict([TEXT])[0]
    rows = page.locator("#se-bars .se-row")
    assert rows.count() == len(LABELS)
    shown = {}
    for index in range(len(LABELS)):
        row = rows.nth(index)
        label = row.get_attribute("data-label")
        shown[label] = float(row.locator(".se-score").inner_text())
        track = row.locator(".se-track").bounding_box()
        fill = row.locator(".se-fill").bounding_box()
        limit = row.locator(".se-limit").bounding_box()
        assert fill["width"] / track["width"] == pytest.approx(expected.scores[label], abs=0.02)
        threshold = {"joy": 0.3, "anger": 0.5, "fear": 0.7}[label]
        place = (limit["x"] - track["x"]) / track["width"]
        assert place == pytest.approx(threshold, abs=0.03)
        given = row.get_attribute("data-given") == "true"
        assert given == (label in expected.labels)
    assert shown == pytest.approx(expected.scores, abs=0.006)
    scores = [expected.scores[label] for label in LABELS]
    strengths = Decision(LABELS, [0.3, 0.5, 0.7]).strengths(scores)
    assert list(shown) == [LABELS[place] for place in np.argsort(-strengths)]
    assert fits(page)


def test_words_read_from_right_to_left(page: Any) -> None:
    analyze(page, TEXT)
    shown = page.locator("#se-words .se-text")
    assert shown.get_attribute("dir") == "rtl"
    assert shown.inner_text() == TEXT
    words = page.locator("#se-words .se-word")
    first, second = words.nth(0).bounding_box(), words.nth(1).bounding_box()
    assert first["x"] > second["x"]
    colors = {words.nth(i).evaluate("e => e.style.background") for i in range(words.count())}
    assert len(colors) > 1
    analyze(page, "I am so happy today")
    page.wait_for_function("document.querySelector('#se-words .se-text').dir === 'ltr'")
    assert page.get_attribute(BOX, "dir") == "ltr"
    first, second = words.nth(0).bounding_box(), words.nth(1).bounding_box()
    assert first["x"] < second["x"]


def test_a_cleared_box_has_the_models_direction(page: Any) -> None:
    page.fill(BOX, "I am so happy today")
    page.wait_for_function("document.querySelector('#se-text textarea').dir === 'ltr'")
    page.fill(BOX, "")
    page.wait_for_function("document.querySelector('#se-text textarea').dir === 'rtl'")


def test_another_label_is_explained(page: Any) -> None:
    analyze(page, TEXT)
    before = page.locator("#se-words strong").inner_text()
    other = next(label for label in LABELS if label != before)
    page.click("#se-label input")
    page.get_by_role("option", name=other).click()
    page.wait_for_function(
        "name => document.querySelector('#se-words strong').innerText === name", arg=other
    )
    assert page.locator("#se-trust strong").first.inner_text() == other
    assert page.locator("#se-trust li").count() == 3


def test_an_example_in_a_dialect(page: Any) -> None:
    page.get_by_role("button", name="Levantine").click()
    page.wait_for_selector("#se-trust .se-parts")
    assert page.input_value(BOX) == LEVANTINE
    assert page.locator("#se-words .se-text").inner_text() == LEVANTINE


def test_enter_asks(page: Any) -> None:
    page.fill(BOX, TEXT)
    page.press(BOX, "Enter")
    page.wait_for_selector("#se-trust .se-parts")
    assert page.input_value(BOX) == TEXT


def test_an_empty_text_is_told(page: Any) -> None:
    page.click("#se-go")
    alert = page.wait_for_selector("#se-bars [role=alert]")
    assert "no text yet" in alert.inner_text()


def test_markup_is_text(page: Any) -> None:
    analyze(page, "<img src=x onerror=alert(1)> فرحان <b>جدا</b>")
    assert page.locator("#se-words img, #se-words .se-text b").count() == 0
    assert "<b>" in page.locator("#se-words .se-text").inner_text()


def send(page: Any, path: Path) -> None:
    page.get_by_role("tab", name="A CSV file").click()
    page.set_input_files("#se-file input[type=file]", str(path))
    page.wait_for_selector(f"#se-file >> text={path.stem}")
    page.click("#se-send")


def test_a_file_comes_back_with_labels(page: Any, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(f'id,text\n1,"{TEXT}"\n2,\n3,hello\n', encoding="utf-8")
    send(page, path)
    page.wait_for_selector("#se-preview table")
    cells = page.locator("#se-preview tbody td")
    assert cells.nth(0).inner_text() == TEXT
    assert cells.nth(0).get_attribute("dir") == "rtl"
    assert cells.nth(3).inner_text() == "(no text)"
    assert fits(page)
    with page.expect_download() as download:
        page.click("#se-download")
    target = tmp_path / download.value.suggested_filename
    assert target.name == "mine_emotions.csv"
    download.value.save_as(target)
    with target.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["id"] for row in rows] == ["1", "2", "3"]
    assert rows[0]["text"] == TEXT
    assert 0 <= float(rows[0]["score_joy"]) <= 1
    assert rows[1]["score_joy"] == ""


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("columns.csv", b"id,kind\n1,a\n", "“text”"),
        ("picture.png", b"\x89PNG\x00", "not a CSV file"),
        ("old.csv", "text\nفرحان\n".encode("cp1256"), "not UTF-8"),
    ],
)
def test_a_bad_file_is_told(
    page: Any, tmp_path: Path, name: str, content: bytes, part: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    send(page, path)
    alert = page.wait_for_selector("#se-preview [role=alert]")
    assert part in alert.inner_text()
    assert not page.is_visible("#se-download")
    assert fits(page)


def test_nothing_is_asked_of_other_hosts(browser: Any, address: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    page.wait_for_selector(BOX)
    analyze(page, TEXT)
    context.close()
    outside = [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    assert asked
    assert outside == []
