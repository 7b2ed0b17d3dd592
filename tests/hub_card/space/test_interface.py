"""The app's answers are the model's; and the interface, called over HTTP as a program would."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import LABELS, NASTY_TEXTS

from stacked_emotion.common.errors import UserError
from stacked_emotion.hub_card.space.interface import (
    DemoApp,
    build_interface,
    launch_options,
    load_predictor,
)
from stacked_emotion.inference import StackedEmotionPredictor
from stacked_emotion.inference.explanations.encoder_weights import encoder_weights

TEXT = "والله إني زعلان، ما توقعتها منك أبد 💔"


@pytest.fixture(scope="module")
def predictor(tiny_stack_folder: Path) -> StackedEmotionPredictor:
    return load_predictor(str(tiny_stack_folder))


@pytest.fixture(scope="module")
def app(predictor: StackedEmotionPredictor) -> DemoApp:
    return DemoApp(predictor)


def test_the_answer_is_the_predictors(app: DemoApp, predictor: StackedEmotionPredictor) -> None:
    bars, words, trust, ranked = app.analyze(TEXT)
    answer = predictor.predict([TEXT])[0]
    strengths = predictor.decision.strengths([answer.scores[label] for label in LABELS])
    assert ranked == [LABELS[place] for place in np.argsort(-strengths)]
    assert re.findall(r'data-label="(\w+)"', bars) == ranked
    for label, score in answer.scores.items():
        assert f'aria-label="{label}"' in bars
        assert f'aria-valuenow="{score:.3f}"' in bars
        given = str(label in answer.labels).lower()
        assert f'data-label="{label}" data-given="{given}"' in bars
    assert 'dir="rtl"' in words
    for name in predictor.model.config.encoder_names:
        assert f'data-encoder="{name}"' in trust
    other = ranked[-1]
    assert f"<bdi>{other}</bdi>" in app.explain_label(TEXT, other)[0]


def test_trust_makes_the_meta_logits(app: DemoApp, predictor: StackedEmotionPredictor) -> None:
    model, tokenizer = predictor.model, predictor.tokenizer
    texts = [TEXT, "", "a b c"]
    batch = dict(tokenizer(texts, padding=True, return_tensors="pt"))
    weights = torch.from_numpy(encoder_weights(model, [batch]))
    assert weights.shape == (3, 3, len(LABELS))
    torch.testing.assert_close(weights.sum(1), torch.ones(3, len(LABELS)))
    with torch.no_grad():
        output = model(**batch)
    torch.testing.assert_close((weights * output.encoder_logits).sum(1), output.meta_logits)
    shown = app.trust(TEXT, LABELS[1])
    assert list(shown) == model.config.encoder_names
    assert list(shown.values()) == pytest.approx(weights[0, :, 1].tolist(), abs=1e-5)


@pytest.mark.parametrize("text", ["", "  \n ", None, "ا" * 10_001, "ا" * 1_000_000])
def test_texts_it_does_not_take(app: DemoApp, text: Any) -> None:
    with pytest.raises(UserError, match="text"):
        app.analyze(text)


def test_odd_texts(app: DemoApp) -> None:
    for text in NASTY_TEXTS:
        if text.strip() and len(text) <= app.limits.characters:
            assert "se-row" in app.analyze(text)[0]


def test_long_texts_are_explained_too(app: DemoApp) -> None:
    assert "words were read" in app.analyze("كلمة " * 100)[1]


def test_a_file(app: DemoApp, predictor: StackedEmotionPredictor, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    texts = [TEXT, "", "hello", *(f"نص {number}" for number in range(90))]
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([["text"], *([text] for text in texts)])
    path.write_text(path.read_text(encoding="utf-8").replace("\r\n\r\n", '\r\n""\r\n'))
    steps: list[float] = []
    shown, name, answers = app.answer_file(path, lambda share, desc: steps.append(share))
    assert name == "mine_emotions.csv"
    assert steps[0] == 0
    assert len(steps) == 2
    assert f"Rows: {len(texts)}," in shown
    rows = list(csv.DictReader(answers.splitlines()))
    assert [row["text"] for row in rows] == texts
    expected = predictor.predict([TEXT, "hello"])
    for row, answer in zip((rows[0], rows[2]), expected, strict=True):
        assert row["labels"] == ",".join(answer.labels)
        for label, score in answer.scores.items():
            assert float(row[f"score_{label}"]) == pytest.approx(score, abs=1e-4)
    assert rows[1]["labels"] == rows[1]["score_joy"] == ""


def test_over_http(predictor: StackedEmotionPredictor, tmp_path: Path) -> None:
    pytest.importorskip("gradio", reason="the app needs gradio (extra `space`)")
    from gradio_client import Client, handle_file

    interface = build_interface(predictor, "A title & more", note="A note.")
    interface.launch(
        server_name="127.0.0.1", server_port=None, prevent_thread_lock=True, quiet=True,
        **launch_options(),
    )  # fmt: skip
    try:
        client = Client(interface.local_url, verbose=False, download_files=str(tmp_path))
        bars, words, trust, label = client.predict(TEXT, api_name="/analyze")
        assert 'data-label="joy"' in str(bars)
        assert 'dir="rtl"' in str(words)
        assert "zeta" in str(trust)
        assert "joy" in str(label)
        told, *_ = client.predict("", api_name="/analyze")
        assert "no text yet" in str(told)
        good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
        good.write_text("text\nفرحان\n", encoding="utf-8")
        bad.write_text("remark\nفرحان\n", encoding="utf-8")
        shown, file = client.predict(handle_file(str(good)), api_name="/file")
        assert "Rows: 1," in str(shown)
        value = file["value"] if isinstance(file, dict) else file
        text = Path(value["path"] if isinstance(value, dict) else value).read_text("utf-8-sig")
        assert text.startswith("text,labels,score_joy")
        told, _ = client.predict(handle_file(str(bad)), api_name="/file")
        assert "“text”" in str(told)
        assert 'role="alert"' in str(told)
    finally:
        interface.close()
