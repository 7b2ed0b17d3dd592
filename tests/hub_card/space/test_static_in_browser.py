"""The student in a real browser, by transformers.js without any network: the figures and the page.

The reference is ONNX Runtime on the same files, with the student's tokenizer of transformers.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np
import pytest
from browser import DESKTOP, MISSING, PHONE, chromium
from students import MAX_LENGTH, exported_student
from tiny_models import FAMILIES, LABELS
from transformers import AutoTokenizer

from stacked_emotion.common.errors import UserError
from stacked_emotion.common.numerics import sigmoid
from stacked_emotion.hub_card.space.browser_library import browser_library
from stacked_emotion.hub_card.space.publishing import ModelFacts
from stacked_emotion.hub_card.space.static_space import StaticApp
from stacked_emotion.inference.decisions import Decision, decide
from stacked_emotion.inference.model_files import ModelFiles

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(MISSING), reason=MISSING or "-")]

THRESHOLDS = (0.3, 0.5, 0.7)
LEVANTINE = "شو هالخبر الحلو، اشتقتلكن كتير ❤️"
FACTS = ModelFacts("Feelings", "ar", {"Levantine": LEVANTINE, "<b>bold</b>": "<i>x</i>"}, "Tweet")
TEXTS = [
    LEVANTINE,
    "والله إني زعلانٌ جِدًّا، ما توقعتها منك أبد 💔",
    "I am so happy today — 100 % 😍😍",
    "!",
    "سـعـيـد   جدا\nوخائف\t",
    "كلمة طويلة " * 60,
    "𝓯𝓪𝓷𝓬𝔂 é é ﷺ 你好 <b>&amp;</b>",
]
GRAPHS = {"fp32": ("model.onnx", 1e-5), "q8": ("model_quantized.onnx", 1e-2)}


@pytest.fixture(scope="module")
def library() -> Path:
    """transformers.js, from npm the first time."""
    try:
        return browser_library()
    except UserError as error:
        if "npm gave" in str(error):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def browser(library: Path) -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def student(family_folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("student") / "model"
    return exported_student(family_folders["bert"], folder, THRESHOLDS)


@contextmanager
def served(folder: Path, facts: ModelFacts = FACTS) -> Iterator[str]:
    app = StaticApp(ModelFiles(folder), facts)
    app.launch("127.0.0.1", None)
    try:
        yield app.local_url
    finally:
        app.close()


def says(page: Any, words: str) -> None:
    """Wait for words in the status. The page forbids `eval`, which `wait_for_function` needs."""
    page.locator("#status", has_text=words).wait_for()


@contextmanager
def opened(browser: Any, address: str, **settings: Any) -> Iterator[Any]:
    """A page with every other host blocked; asking one fails the test."""
    context = browser.new_context(**settings)
    asked: list[str] = []

    def block(route: Any) -> None:
        asked.append(route.request.url)
        route.abort()

    context.route(lambda url: urlparse(url).netloc != urlparse(address).netloc, block)
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.on("pageerror", lambda error: asked.append(str(error)))
    page.goto(address)
    says(page, "Ready")
    try:
        yield page
        assert asked == []
    finally:
        context.close()


@pytest.fixture(scope="module")
def address(student: Path, library: Path) -> Iterator[str]:
    with served(student) as found:
        yield found


@pytest.fixture(params=[DESKTOP, PHONE], ids=["desktop", "phone"])
def page(browser: Any, address: str, request: pytest.FixtureRequest) -> Iterator[Any]:
    with opened(browser, address, **request.param) as found:
        yield found


def reference(folder: Path, graph: str, texts: list[str]) -> np.ndarray:
    """(texts, labels) logits by ONNX Runtime, one text at a time as in the browser."""
    session = onnxruntime.InferenceSession(
        folder / "onnx" / graph, providers=["CPUExecutionProvider"]
    )
    tokenizer, found = AutoTokenizer.from_pretrained(folder), []
    for text in texts:
        batch = tokenizer([text], truncation=True, return_tensors="np")
        inputs = {name: batch[name].astype(np.int64) for name in ("input_ids", "attention_mask")}
        found.append(session.run(["logits"], inputs)[0][0])
    return np.array(found, np.float64)


def in_browser(page: Any, texts: list[str], dtype: str) -> list[dict[str, Any]]:
    code = """async ([texts, dtype]) => {
      const { score } = await import("./model.js");
      const found = [];
      for (const text of texts) found.push(await score(text, dtype));
      return found;
    }"""
    return page.evaluate(code, [texts, dtype])


@pytest.mark.parametrize("family", FAMILIES)
def test_the_browser_computes_what_onnx_runtime_does(
    family: str, family_folders: dict[str, Path], browser: Any, tmp_path: Path
) -> None:
    folder = exported_student(family_folders[family], tmp_path / "model", THRESHOLDS)
    rule = Decision.from_config(ModelFiles(folder).read_json("config.json"))
    assert tuple(rule.thresholds) == THRESHOLDS
    with served(folder) as address, opened(browser, address) as page:
        for dtype, (graph, tolerance) in GRAPHS.items():
            expected = reference(folder, graph, TEXTS)
            answers = in_browser(page, TEXTS, dtype)
            found = np.array([answer["logits"] for answer in answers])
            assert expected.std(0).max() > 0.05, "the texts differ"
            gaps = np.abs(sigmoid(found) - sigmoid(expected))
            assert gaps.max() <= tolerance, (family, dtype)
            assert dtype == "q8" or np.abs(found - expected).max() <= tolerance
            lengths = [len(ids) for ids in AutoTokenizer.from_pretrained(folder)(TEXTS).input_ids]
            assert [answer["cut"] for answer in answers] == [n > MAX_LENGTH for n in lengths]
            assert [answer["read"] for answer in answers] == [min(n, MAX_LENGTH) for n in lengths]
            given = page.evaluate(
                """async (rows) => {
                  const { decide } = await import("./decisions.js");
                  const { decision } = await (await fetch("./space.json")).json();
                  return rows.map((row) => decide(row, decision));
                }""",
                found.tolist(),
            )
            off_ties = np.abs(sigmoid(expected) - THRESHOLDS) > tolerance
            assert (np.array(given) == rule(expected))[off_ties].all()


@pytest.mark.parametrize("rule", ["threshold", "expected_jaccard"])
def test_decisions_are_those_of_python(rule: str, browser: Any, address: str) -> None:
    generator = np.random.default_rng(5)
    code = """async ([rows, options]) => {
      const { decide } = await import("./decisions.js");
      return rows.map((row) => decide(row, options));
    }"""
    with opened(browser, address) as page:
        for labels, scale in ((1, 1.0), (3, 0.4), (11, 1.7)):
            logits = generator.normal(0, 3, size=(500, labels))
            logits[:50] = np.round(logits[:50])  # equal ones among them
            logits[0] = 0.0
            thresholds = generator.uniform(0, 1, labels)
            thresholds[0] = 0.5  # the score of a logit of 0
            options = {"thresholds": thresholds.tolist(), "rule": rule, "scale": scale}
            found = page.evaluate(code, [logits.tolist(), options])
            assert np.array_equal(found, decide(logits, thresholds, rule, scale))
            assert found[0][0] is True


def ask(page: Any, text: str) -> None:
    page.fill("#text", text)
    page.click("#go")
    says(page, "Done")


def shown(page: Any) -> list[tuple[str, float, bool]]:
    code = "rows => rows.map(row => [row.dataset.label, +row.dataset.score, row.dataset.given])"
    rows = page.eval_on_selector_all("#bars .se-row", code)
    return [(label, score, given == "true") for label, score, given in rows]


def fits(page: Any) -> bool:
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_type_and_read(page: Any, student: Path) -> None:
    assert page.get_attribute("#text", "dir") == "rtl"
    assert not page.is_visible("#result")
    ask(page, LEVANTINE)
    logits = reference(student, "model_quantized.onnx", [LEVANTINE])[0]
    expected = dict(zip(LABELS, sigmoid(logits), strict=True))
    rows = shown(page)
    order = np.argsort(-Decision(LABELS, list(THRESHOLDS)).strengths(sigmoid(logits)))
    assert [label for label, *_ in rows] == [LABELS[place] for place in order]
    assert {label: score for label, score, _ in rows} == pytest.approx(expected, abs=1e-2)
    limits = dict(zip(LABELS, THRESHOLDS, strict=True))
    assert all(given == (score >= limits[label]) for label, score, given in rows)
    named = [label for label, _, given in rows if given]
    assert page.inner_text("#given strong") == (", ".join(named) or "none")
    for place, (label, score, given) in enumerate(rows):
        row = page.locator("#bars .se-row").nth(place)
        assert row.locator(".se-tick").inner_text() == ("✓" if given else "")
        track, fill, limit = (
            row.locator(part).bounding_box() for part in (".se-track", ".se-fill", ".se-limit")
        )
        assert fill["width"] / track["width"] == pytest.approx(score, abs=0.02)
        assert (limit["x"] - track["x"]) / track["width"] == pytest.approx(limits[label], abs=0.03)
        name = row.locator(".se-name bdi")
        assert name.evaluate("e => e.getClientRects().length") == 1, "names stay on one line"
    assert fits(page)


def test_readers_of_the_screen_hear_it(page: Any) -> None:
    assert page.get_by_label("Text", exact=True).get_attribute("id") == "text"
    assert page.get_by_role("group", name="Model").get_by_role("radio").count() == 2
    ask(page, TEXTS[2])
    label, score, given = shown(page)[0]
    meter = page.get_by_role("meter", name=label)
    assert float(meter.get_attribute("aria-valuenow")) == pytest.approx(score, abs=6e-4)
    said = meter.get_attribute("aria-valuetext")
    assert said == f"{score:.2f}, {'given' if given else 'not given'}"
    assert page.get_by_role("status").inner_text().startswith("Done")
    assert page.get_by_role("region", name=page.inner_text("#given")).count() == 1
    page.focus("#text")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "go"


def test_the_box_follows_its_text_and_the_model(page: Any) -> None:
    for text, direction in ((TEXTS[2], "ltr"), ("", "rtl"), (LEVANTINE, "rtl"), ("123 a", "ltr")):
        page.fill("#text", text)
        assert page.get_attribute("#text", "dir") == direction


def test_examples_are_those_of_the_model(page: Any) -> None:
    buttons = page.locator("#examples button")
    assert buttons.count() == 2
    assert buttons.nth(1).inner_text().split() == ["<b>bold</b>", "<i>x</i>"]
    assert page.locator("#examples b, #examples i").count() == 0
    page.get_by_role("button", name="Levantine").click()
    page.wait_for_selector("#result:not([hidden])")
    assert page.input_value("#text") == LEVANTINE


def test_full_precision_is_a_choice(page: Any, student: Path) -> None:
    ask(page, LEVANTINE)
    page.get_by_role("radio", name="Full precision").check()
    says(page, "fp32")
    expected = sigmoid(reference(student, "model.onnx", [LEVANTINE])[0])
    found = {label: score for label, score, _ in shown(page)}
    assert [found[label] for label in LABELS] == pytest.approx(expected, abs=1e-5)


def test_enter_asks_and_markup_is_text(page: Any) -> None:
    page.fill("#text", "<img src=x onerror=alert(1)> فرحان")
    page.press("#text", "Enter")
    page.wait_for_selector("#result:not([hidden])")
    assert page.locator("img").count() == 0


def test_an_empty_or_long_text_is_told(page: Any) -> None:
    page.click("#go")
    page.wait_for_selector("#status.se-error")
    assert "no text yet" in page.inner_text("#status")
    ask(page, TEXTS[5])
    assert f"first {MAX_LENGTH} sub-words" in page.inner_text("#cut")
    ask(page, TEXTS[0])
    assert not page.is_visible("#cut")


def test_the_page_may_talk_to_no_other_host(page: Any) -> None:
    code = "url => fetch(url).then(() => 'sent', error => error.name)"
    assert page.evaluate(code, "https://example.org/") == "TypeError"


def test_a_published_space_runs(
    hub_server: Any, library: Path, student: Path, browser: Any, tmp_path: Path
) -> None:
    kept = tmp_path / "hf_home/stacked_emotion/transformers.js"
    shutil.copytree(library, kept)
    found = hub_server.run(
        tmp_path,
        """
        from huggingface_hub import HfApi, snapshot_download
        from stacked_emotion.hub_card import publish_space
        api = HfApi()
        api.create_repo("user/mini")
        commit = api.upload_folder(repo_id="user/mini", folder_path=given["folder"]).oid
        url = publish_space("user/show", "user/mini", language="ar", title="Mini", static=True)
        again = publish_space("user/show", "user/mini", static=True)
        folder = snapshot_download("user/show", repo_type="space")
        give({"commit": commit, "url": url, "again": again, "folder": folder})
        """,
        folder=str(student),
    )
    assert found["url"] == found["again"]
    space = Path(shutil.copytree(found["folder"], tmp_path / "space"))
    front = (space / "README.md").read_text(encoding="utf-8").split("---\n")[1]
    assert "sdk: static\n" in front
    assert "- user/mini\n" in front
    app = StaticApp(ModelFiles(student), FACTS)
    shutil.rmtree(app._folder.name)
    shutil.copytree(space, app._folder.name)
    app.launch("127.0.0.1", None)
    try:
        with opened(browser, app.local_url, **PHONE) as page:
            ask(page, LEVANTINE)
            logits = reference(student, "model_quantized.onnx", [LEVANTINE])[0]
            assert {label: score for label, score, _ in shown(page)} == pytest.approx(
                dict(zip(LABELS, sigmoid(logits), strict=True)), abs=1e-2
            )
            assert page.get_attribute("#model a", "href").endswith(
                f"/user/mini/tree/{found['commit']}"
            )
    finally:
        app.close()
