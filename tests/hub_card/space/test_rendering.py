"""What the app shows: well-formed HTML in which nothing of the user's is markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from stacked_emotion.common.numerics import logit
from stacked_emotion.hub_card.space import rendering
from stacked_emotion.inference.decisions import Decision
from stacked_emotion.inference.explanations.explanation import Explanation, WordExplanation

NASTY = "<script>alert(1)</script> & \"quotes\" 'x' \x00 \ud83d \u202e \x1b[31m"
VOID = {"br", "hr", "img", "input"}


class Outline(HTMLParser):
    """Collects tags, checks that they close, and keeps the text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, Any]]] = []
        self.text = ""
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def explanation(text: str, contributions: list[float], label: str = "joy") -> Explanation:
    words = []
    for found, contribution in zip(re.finditer(r"\S+", text), contributions, strict=False):
        gates = {"marbert": 0.7, NASTY: 0.3}
        words.append(
            WordExplanation(found[0], found.start(), found.end(), gates, 0.1, contribution)
        )
    return Explanation(
        text=text, label=label, score=0.8, given=True, method="occlusion",
        encoder_scores={"marbert": 0.8, NASTY: 0.7}, words=words,
    )  # fmt: skip


def test_bars_are_sorted_and_carry_their_thresholds() -> None:
    scores = {"joy": 0.25, "anger": 0.5, "غضب": 0.125}
    page = Outline(
        rendering.bars(scores, ["anger"], Decision(["joy", "anger", "غضب"], [0.3, 0.4, 0.9]))
    )
    rows = [attributes for tag, attributes in page.tags if "data-label" in attributes]
    assert [row["data-label"] for row in rows] == ["anger", "joy", "غضب"]
    assert [row["data-given"] for row in rows] == ["true", "false", "false"]
    styles = [a["style"] for _, a in page.tags if a.get("class") in ("se-fill", "se-limit")]
    assert styles == [
        "width:50.0%", "left:40.0%", "width:25.0%", "left:30.0%", "width:12.5%", "left:90.0%",
    ]  # fmt: skip
    meters = [a for _, a in page.tags if a.get("role") == "meter"]
    assert [meter["aria-valuenow"] for meter in meters] == ["0.500", "0.250", "0.125"]
    assert "at or above its threshold" in page.text


def test_one_cut_line_parts_what_is_given_from_the_rest() -> None:
    """A rare label is given below a frequent one that is not: its bar is longer nevertheless."""
    decision = Decision(["حزن", "rare", "joy", "trust"], [0.76, 0.3, 0.5, 0.5], "expected_jaccard")
    scores = {"حزن": 0.5, "rare": 0.25, "joy": 0.9, "trust": 0.01}
    logits = logit([scores[label] for label in decision.labels], 1e-9)
    given = [label for label, one in zip(decision.labels, decision(logits), strict=True) if one]
    assert sorted(given) == ["joy", "rare"]
    page = Outline(rendering.bars(scores, given, decision))
    rows = [attributes for tag, attributes in page.tags if "data-label" in attributes]
    assert [row["data-label"] for row in rows] == ["joy", "rare", "حزن", "trust"]
    assert [row["data-given"] for row in rows] == ["true", "true", "false", "false"]

    def percents(kind: str) -> list[float]:
        styles = [a["style"] for _, a in page.tags if a.get("class") == kind]
        return [float(re.split("[:%]", style)[1]) for style in styles]

    lengths, (line,) = percents("se-fill"), set(percents("se-limit"))
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[1] > line > lengths[2]
    assert "threshold" not in page.text
    assert page.text.count("given because") == 2
    assert "given because rarer labels need less" in page.text
    assert "not given because" in page.text


def test_the_rule_is_told() -> None:
    page = Outline(rendering.bars({"joy": 0.2}, [], Decision(["joy"], [0.3], "expected_jaccard")))
    assert "expected Jaccard" in page.text
    assert "Labels given: none" in page.text
    assert "se-limit-key" in {a.get("class") for _, a in page.tags}
    assert "se-limit" not in {a.get("class") for _, a in page.tags}


def test_words_are_colored_by_what_they_do() -> None:
    text = "أنا فرحان جدا!  😍"
    page = Outline(rendering.words(explanation(text, [0.1, 0.4, -0.2, 0.0])))
    (shown,) = [a for tag, a in page.tags if a.get("class") == "se-text"]
    assert shown["dir"] == "rtl"
    assert text in page.text
    styles = [a["style"] for _, a in page.tags if a.get("class") == "se-word"]
    assert styles == [
        f"background:rgba({rendering.FOR},0.19)",
        f"background:rgba({rendering.FOR},0.75)",
        f"background:rgba({rendering.AGAINST},0.38)",
        f"background:rgba({rendering.FOR},0.00)",
    ]
    assert "the text is long" not in page.text.lower()


def test_a_cut_text_is_told() -> None:
    page = Outline(rendering.words(explanation("one two three", [0.1, 0.2])))
    assert "only its first 2 words were read" in page.text


def test_a_text_without_words() -> None:
    page = Outline(rendering.words(explanation("   ", [])))
    assert "for and against joy" in page.text


@pytest.mark.parametrize(
    "source",
    [
        rendering.bars({NASTY: 0.5}, [NASTY], Decision([NASTY], [0.5])),
        rendering.words(explanation(NASTY, [0.1] * 9, label=NASTY)),
        rendering.trust({NASTY: 0.5, "b": 0.5}, NASTY),
        rendering.preview([(NASTY, NASTY)], 1),
        rendering.problem(NASTY),
    ],
)
def test_nothing_from_outside_is_markup(source: str) -> None:
    page = Outline(source)
    assert "script" not in {tag for tag, _ in page.tags}
    assert "alert(1)" in page.text
    source.encode()  # no lone surrogate is left
    assert not set("\x00\x1b\u202e") & set(source)


def test_trust_adds_up() -> None:
    page = Outline(rendering.trust({"a": 0.2, "b": 0.5, "c": 0.3}, "joy"))
    encoders = [attributes["data-encoder"] for tag, attributes in page.tags if tag == "li"]
    assert encoders == ["b", "c", "a"]
    widths = [
        float(re.search(r"width:([\d.]+)%", a["style"])[1])  # type: ignore[index]
        for _, a in page.tags
        if a.get("style", "").startswith("width")
    ]
    assert sum(widths) == pytest.approx(100)
