"""Explanations: exact values, spans into the raw text, and safe rendering in both directions."""

from __future__ import annotations

import copy
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import LABELS, NASTY_TEXTS, build_stack

from stacked_emotion.inference import StackedEmotionPredictor, explain, html_page, without_word
from stacked_emotion.inference.explanations.explanation import Explanation, WordExplanation
from stacked_emotion.inference.explanations.rendering import text_direction

TEXT = "أنا <b>فرحان</b> جدا 😍, really!"


@pytest.fixture(scope="module")
def predictor(tiny_stack_folder: Path) -> StackedEmotionPredictor:
    return StackedEmotionPredictor.from_pretrained(str(tiny_stack_folder), dtype="float32")


def score(stack: tuple[Any, Any], text: str, label: str) -> float:
    """The probability straight from model and tokenizer."""
    model, tokenizer = stack
    with torch.no_grad():
        logits = model(**tokenizer([text], return_tensors="pt")).logits
    return float(torch.sigmoid(logits)[0, LABELS.index(label)])


@pytest.mark.parametrize("text", [*NASTY_TEXTS, TEXT])
def test_spans_slice_the_text_and_values_are_the_models(
    predictor: StackedEmotionPredictor, tiny_stack: Any, text: str
) -> None:
    model, tokenizer = tiny_stack
    explanation = explain(predictor, text, method="gradient")
    encoded = tokenizer([text], return_tensors="pt", return_word_offsets=True)
    spans = encoded.pop("word_offsets")[0]
    assert [(word.start, word.end) for word in explanation.words] == spans
    assert all(word.word == text[word.start : word.end] for word in explanation.words)
    with torch.no_grad():
        output = model(**encoded, output_gates=True)
    scores = torch.sigmoid(output.logits[0])
    assert explanation.label == LABELS[int(scores.argmax())]
    assert explanation.score == pytest.approx(float(scores.max()), abs=1e-5)
    assert explanation.given == bool(model.decide(output.logits)[0, scores.argmax()])
    for index, word in enumerate(explanation.words):
        assert list(word.gates.values()) == pytest.approx(output.gates[0, index].tolist(), abs=1e-5)
        assert word.attention == pytest.approx(float(output.word_attention[0, index]), abs=1e-5)
    if spans:
        assert sum(word.attention for word in explanation.words) == pytest.approx(1, abs=1e-5)
    assert list(explanation.encoder_scores) == model.config.encoder_names
    heads = torch.sigmoid(output.encoder_logits[0, :, LABELS.index(explanation.label)])
    assert list(explanation.encoder_scores.values()) == pytest.approx(heads.tolist(), abs=1e-5)


@pytest.mark.parametrize(
    ("text", "start", "end", "expected"),
    [
        ("not so good", 4, 6, "not good"),
        ("not so good", 0, 3, "so good"),
        ("not so good", 7, 11, "not so"),
        ("good,but", 4, 5, "good but"),
        ("جدا😍 اليوم", 3, 4, "جدا اليوم"),
        ("one", 0, 3, ""),
        ("a\n b", 0, 1, " b"),
    ],
)
def test_without_word(text: str, start: int, end: int, expected: str) -> None:
    assert without_word(text, start, end) == expected


def test_occlusion_is_the_difference_of_recomputed_scores(
    predictor: StackedEmotionPredictor, tiny_stack: Any
) -> None:
    text = "أنا فرحان جدا 😍"
    without = ["فرحان جدا 😍", "أنا جدا 😍", "أنا فرحان 😍", "أنا فرحان جدا"]
    for label in LABELS:
        whole = score(tiny_stack, text, label)
        expected = [whole - score(tiny_stack, rest, label) for rest in without]
        found = [word.contribution for word in explain(predictor, text, label).words]
        assert found == pytest.approx(expected, abs=1e-6)
        assert max(map(abs, found)) > 1e-4


def test_occlusion_of_a_truncated_text_lets_nothing_move_in(
    predictor: StackedEmotionPredictor, tiny_stack: Any, sample_texts: list[str]
) -> None:
    text = " ".join(sample_texts[:20])
    explanation = explain(predictor, text, "joy")
    end = explanation.words[-1].end
    assert end < len(text)
    assert explanation.truncated
    assert "the end of the text was not read" in explanation.to_text()
    assert not explain(predictor, TEXT, "joy").truncated
    seen = text[:end]
    assert score(tiny_stack, seen, "joy") == pytest.approx(explanation.score, abs=1e-6)
    for word in explanation.words[:: len(explanation.words) - 1]:
        rest = without_word(seen, word.start, word.end)
        expected = explanation.score - score(tiny_stack, rest, "joy")
        assert word.contribution == pytest.approx(expected, abs=1e-6)


def test_gradient_is_the_slope_as_the_word_fades(
    predictor: StackedEmotionPredictor, tiny_stack: Any
) -> None:
    """Central differences in float64: every encoder's embeddings of one word, scaled."""
    model, tokenizer = tiny_stack
    exact = copy.deepcopy(model).double()
    before = [len(module._forward_hooks) for module in exact.modules()]
    text, label = "أنا فرحان جدا 😍 today", "anger"
    encoded = tokenizer([text], return_tensors="pt")

    def logit(word: int, scale: float) -> float:
        hooks = []
        for index, name in enumerate(model.config.encoder_names):
            factors = torch.where(encoded["word_index"][0, :, index] == word, scale, 1.0).double()

            def scaled(_m: Any, _i: Any, output: Any, factors: Any = factors) -> Any:
                return output * factors[: output.shape[1], None]

            embeddings = exact.get_encoder(name).get_input_embeddings()
            hooks.append(embeddings.register_forward_hook(scaled))
        with torch.no_grad():
            value = float(exact(**encoded).logits[0, LABELS.index(label)])
        for hook in hooks:
            hook.remove()
        return value

    step = 1e-3
    in_double = StackedEmotionPredictor(exact, tokenizer)
    words = explain(in_double, text, label, "gradient").words
    slopes = [(logit(w, 1 + step) - logit(w, 1 - step)) / (2 * step) for w in range(1, 6)]
    assert [word.contribution for word in words] == pytest.approx(slopes, rel=1e-4, abs=1e-7)
    assert max(map(abs, slopes)) > 1e-3
    single = explain(predictor, text, label, "gradient").words
    assert [word.contribution for word in single] == pytest.approx(slopes, abs=1e-4)
    assert [len(module._forward_hooks) for module in exact.modules()] == before


@pytest.mark.parametrize("method", ["occlusion", "gradient"])
@pytest.mark.parametrize(
    "options",
    [
        {"stacking_level": "sentence"},
        {"use_meta_learner": False, "use_lstm": False},
        {"use_classifier": False},
    ],
    ids=["sentence", "no_meta_no_lstm", "meta_only"],
)
def test_other_stacks(
    tiny_encoder_folders: dict[str, Path], options: dict[str, Any], method: Any
) -> None:
    model, tokenizer = build_stack(tiny_encoder_folders, **options)
    explanation = explain(StackedEmotionPredictor(model, tokenizer), TEXT, "joy", method)
    assert any(abs(word.contribution) > 1e-6 for word in explanation.words)
    for word in explanation.words:
        assert sum(word.gates.values()) == pytest.approx(1, abs=1e-5)
    assert sum(word.attention for word in explanation.words) == pytest.approx(1, abs=1e-5)


def test_what_cannot_be_explained_is_told(predictor: StackedEmotionPredictor) -> None:
    with pytest.raises(ValueError, match=r"no label 'jöy'.*'joy'"):
        explain(predictor, TEXT, "jöy")
    with pytest.raises(ValueError, match="occlusion, gradient"):
        explain(predictor, TEXT, method="magic")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one text"):
        explain(predictor, [TEXT])  # type: ignore[arg-type]


class Page(HTMLParser):
    """What a browser would see: the text of each element, the attributes, the tags."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.texts: dict[str, list[str]] = {}
        self.attributes: dict[str, list[dict[str, str | None]]] = {}
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.attributes.setdefault(tag, []).append(dict(attrs))
        if tag != "meta":
            self.open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in set(self.open):
            self.texts[tag][-1] += data


HOSTILE = 'قال </p><script>alert("x")</script> \' onload=x <!-- & &amp; \x1b[31m \u202eabc \ud83d'
ESCAPES = str.maketrans({c: ascii(c)[1:-1] for c in "\x1b\u202e\ud83d"})


@pytest.mark.parametrize("text", [TEXT, HOSTILE, "", "plain words, left to right"])
def test_html_is_whole_safe_and_marked(predictor: StackedEmotionPredictor, text: str) -> None:
    explanation = explain(predictor, text, "joy", "gradient")
    page = Page(html_page([explanation.to_html(), explanation.to_html()]))
    assert len(page.texts["figure"]) == 2
    assert explanation._repr_html_() == explanation.to_html()
    shown = text.translate(ESCAPES)
    assert page.texts["p"] == [shown, shown]
    assert "script" not in page.texts
    assert {entry["dir"] for entry in page.attributes["p"]} == {text_direction(text)}
    assert text_direction(text) == ("rtl" if text in (TEXT, HOSTILE) else "ltr")
    assert text_direction(f"@name https://a.b/c {text}") == text_direction(text)
    isolates = page.texts["bdi"]
    for word in explanation.words:
        assert word.word.translate(ESCAPES) in isolates
    assert isolates.count("zeta") == 4  # by encoder and gate, in both figures
    for label in predictor.labels:  # on one side of the cut, and the explained one in the caption
        assert isolates.count(label) == (4 if label == "joy" else 2)
    assert len(page.texts["tr"]) == 2 * (len(explanation.words) + 1)
    assert all(set(entry) <= {"style", "title"} for entry in page.attributes.get("span", []))


def test_terminal_text_is_isolated_and_safe(predictor: StackedEmotionPredictor) -> None:
    text = explain(predictor, TEXT, "joy").to_text()
    assert "\u2068فرحان\u2069" in text
    given, rest = text.splitlines()[2].split("┃ cut ┃")
    labels = predictor.predict(TEXT)[0].labels
    assert all(f"{label} 0." in (given if label in labels else rest) for label in predictor.labels)
    assert "😍" in text
    hostile = explain(predictor, "a\x1b[31m \u202eb \ud83d", "joy", "gradient").to_text()
    assert not set(hostile) & set("\x1b\u202e\ud83d")
    assert "\\x1b" in hostile
    assert "\\u202e" in hostile
    hostile.encode("utf-8")
    assert "(no words)" in explain(predictor, "").to_text()


def test_terminal_columns_have_titles_and_signs() -> None:
    words = [
        WordExplanation("good", 0, 4, {"a": 0.25, "long": 0.75}, 0.6, 0.1),
        WordExplanation("bad", 5, 8, {"a": 0.9, "long": 0.1}, 0.4, -0.05),
    ]
    shown = Explanation("good bad", "joy", 0.7, True, "occlusion", {"a": 0.5, "long": 0.6}, words)
    lines = shown.to_text(width=4).splitlines()
    assert lines[0] == "\u2068good bad\u2069"
    title, good, bad = lines[2:5]
    assert good.split()[:2] == ["+0.100", "████"]
    assert bad.split()[:2] == ["-0.050", "░░"]
    for column, values in (
        ("change of the score", ("+", "-")), ("attention", ("0.60", "0.40")),
        ("trusts most", ("long 0.75", "a 0.90")), ("word", ("\u2068good", "\u2068bad")),
    ):  # fmt: skip
        place = title.index(column)
        assert (good[place:].startswith(values[0]), bad[place:].startswith(values[1])) == (
            True,
        ) * 2
