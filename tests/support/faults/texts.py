"""Texts from strangers, through every way that a text can be predicted and shown."""

from __future__ import annotations

import html
import json
import math
import random
import re
from typing import Any

from transformers import pipeline

from stacked_emotion.common.errors import UserError
from stacked_emotion.common.inert_text import printable
from stacked_emotion.hub_card.space.interface import DemoApp
from stacked_emotion.inference import StackedEmotionPredictor, explain
from stacked_emotion.inference.predictions import prediction_line
from stacked_emotion.inference.score_bars import bars
from stacked_emotion.inference.serving.handler import EndpointHandler

from .campaign import Verdicts, World, attack

BATCH = 20
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066\u2067\ud800-\udfff]"
)
_RANGES = (
    (0x20, 0x7E), (0x621, 0x64A), (0x610, 0x6FF), (0x5D0, 0x5EA), (0x4E00, 0x4FFF), (0, 0x1F),
    (0x7F, 0xA0), (0x200B, 0x206F), (0x1F300, 0x1FAFF), (0xD800, 0xDFFF), (0xFE00, 0xFE0F),
    (0xFB50, 0xFDFF), (0xE0000, 0xE007F), (0x300, 0x36F), (0xFFF0, 0xFFFF), (0, 0x10FFFF),
)  # fmt: skip
_PIECES = (
    "<script>alert(1)</script>", "![x](javascript:1)", "=HYPERLINK(1)", "\x1b[2J", "@user",
    "https://t.co/a", "www.", "#وسم", "'", "’", " ", "\n", "\t", "\u2028", "\0", "😍",
    "👨‍👩‍👧‍👦", "كلمة",
    "don't", "ـ" * 30, "ا" * 300, "!" * 40, "a b " * 100, "[UNK]", "[CLS]", "</s>", "<pad>", "##a",
    "{{7*7}}", "%s%n", "\\", '"', "\ud83d", "\udc00", "</bdi>", "---\n", "١٢٣", "é", "e\u0301",
)  # fmt: skip


def odd_text(chance: random.Random) -> str:
    """A text of pieces and characters of several scripts, some of them very long."""
    parts: list[str] = []
    for _ in range(chance.choice((0, 1, 1, 2, 3, 5, 8, 30))):
        if chance.random() < 0.5:
            parts.append(chance.choice(_PIECES))
        else:
            low, high = chance.choice(_RANGES)
            count = chance.choice((1, 2, 5, 20))
            parts += [chr(chance.randint(low, high)) for _ in range(count)]
    text = chance.choice(("", " ")).join(parts)
    return text * chance.choice((1, 1000)) if chance.random() < 0.02 else text


class Ways:
    """Every way from a text to an answer, with one model.

    Args:
        folder: of a published repository.
    """

    def __init__(self, folder: str) -> None:
        self.predictor = StackedEmotionPredictor.from_pretrained(folder, dtype="float32")
        self.handler = EndpointHandler(folder)
        self.classify = pipeline("emotion-classification", model=folder, trust_remote_code=True)
        self.app = DemoApp(self.predictor)

    def shown(self, text: str, answer: Any, thorough: bool) -> str | None:
        """What is wrong with an answer, or with how it is shown."""
        scores = answer.scores.values()
        if not all(math.isfinite(score) and 0 <= score <= 1 for score in scores):
            return f"scores {answer.scores}"
        if set(answer.labels) - set(answer.scores) or (answer.labels and not answer.has_words):
            return f"labels {answer.labels}"
        line = prediction_line(text, answer)
        if (
            _as_utf16(json.loads(line)["text"]) != _as_utf16(text)
            or _UNSAFE.search(line)
            or "\n" in line
        ):
            return f"the line {line!r}"
        decision = self.predictor.decision
        on_terminal = printable(text) + bars(answer.scores, answer.labels, decision)
        if _UNSAFE.search(on_terminal):
            return f"the bars {on_terminal!r}"
        return self._thoroughly(text, answer) if thorough else None

    def _thoroughly(self, text: str, answer: Any) -> str | None:
        alone = self.predictor.predict(text)[0]
        if not _same(alone.scores, answer.scores):
            return "other scores alone than among others"
        (piped,) = self.classify([text])
        if [entry["label"] for entry in piped] != alone.labels:
            return f"the pipeline gives {piped}, the predictor {alone.labels}"
        try:
            (handled,) = self.handler({"inputs": [text]})
        except ValueError as error:
            if len(text) <= self.handler.limits.characters:
                return f"the handler refuses: {error}"
        else:
            if not _same({one["label"]: one["score"] for one in handled}, answer.scores):
                return "the handler gives other scores"
        try:
            pages = [*self.app.analyze(text)[:3], explain(self.predictor, text).to_html()]
        except UserError as error:
            refused = not text.strip() or len(text) > self.app.limits.characters
            return None if refused else f"the app refuses: {error}"
        page = html.unescape("".join(re.sub(r"<[^<>]*>", "", page) for page in pages))
        if _UNSAFE.search(re.sub("[\r\u200e\u200f]", "", page)) or "<script" in "".join(pages):
            return f"the page {page!r:.300}"
        return None


def _as_utf16(text: str) -> bytes:
    """The text as JSON holds it: two unpaired surrogates in a row may become one character."""
    return text.encode("utf-16-le", "surrogatepass")


def _same(one: dict[str, float], other: dict[str, float]) -> bool:
    return one.keys() == other.keys() and all(abs(one[k] - other[k]) < 1e-4 for k in one)


@attack("fuzzed texts", tries=10_000, small=200, minutes=5)
def fuzzed_texts(world: World, tries: int) -> Verdicts:
    """Each in a batch; one of each batch alone, by pipeline, handler and app."""
    ways = Ways(str(world.repository))
    for start in range(0, tries, BATCH):
        texts = [odd_text(world.chance) for _ in range(min(BATCH, tries - start))]
        answers = ways.predictor.predict(texts)
        for place, (text, answer) in enumerate(zip(texts, answers, strict=True)):
            try:
                problem = ways.shown(text, answer, thorough=place == 0)
            except Exception as error:
                problem = f"{type(error).__name__}: {error}"
            yield None if problem is None else f"{text!r:.200}: {problem:.400}"


LONG = {
    "letters": "ا" * 1_000_000, "latin letters": "a" * 1_000_000, "emoji": "😂" * 1_000_000,
    "signs": "!" * 1_000_000, "spaces": " " * 1_000_000 + "a",
    "a link": "https://" + "a" * 1_000_000,
    "marks": "ً" * 1_000_000, "words": "كلمة " * 200_000,
}  # fmt: skip


@attack("texts of a million characters", tries=8, small=0, minutes=0.5)
def long_texts(world: World, tries: int) -> Verdicts:
    """Each takes at most a few times as long as a long text; handler and app refuse it."""
    ways = Ways(str(world.repository))
    usual = _seconds(lambda: ways.predictor.predict("كلمة " * 400))
    piped = _seconds(lambda: ways.classify("كلمة " * 400))
    for name, text in list(LONG.items())[:tries]:
        taken = _seconds(lambda text=text: ways.predictor.predict(text))
        in_pipeline = _seconds(lambda text=text: ways.classify(text))
        problem = None
        if taken > 5 * usual + 0.05 or in_pipeline > 5 * piped + 0.05:
            problem = (
                f"{name}: {taken:.3f} s and {in_pipeline:.3f} s by pipeline, a usual long text "
                f"{usual:.3f} s and {piped:.3f} s"
            )
        for way in (lambda text=text: ways.handler({"inputs": text}),
                    lambda text=text: ways.app.analyze(text)):  # fmt: skip
            try:
                way()
                problem = f"{name}: not refused"
            except ValueError as error:
                if "at most 10,000" not in str(error):
                    problem = f"{name}: {error}"
        yield problem


def _seconds(call: Any) -> float:
    """The least processor time of three calls."""
    import time

    taken = []
    for _ in range(3):
        begin = time.process_time()
        call()
        taken.append(time.process_time() - begin)
    return min(taken)
