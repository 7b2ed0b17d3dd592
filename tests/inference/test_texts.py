"""What a notebook holds is read as texts; a bad item is named with its position."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas
import pyarrow
import pytest

from stacked_emotion.common.errors import UserError
from stacked_emotion.inference import Limits, StackedEmotionPredictor
from stacked_emotion.inference.predictions import prediction_line
from stacked_emotion.inference.texts import texts_of

TEXTS = ["فرحان", "", "حزين <b>"]
FRAME = pandas.DataFrame({"id": [1, 2, 3], "Text": TEXTS}, index=["a", "b", "c"])


@pytest.mark.parametrize(
    ("given", "column"),
    [
        (TEXTS, None), (tuple(TEXTS), None), (np.array(TEXTS), None), (iter(TEXTS), None),
        (pandas.Series(TEXTS), None), (FRAME, None), (FRAME, "Text"), (FRAME[["Text"]], None),
        (FRAME.rename(columns={"Text": "what"})[["what"]], None),
        (FRAME.rename(columns={"Text": "Tweet_text"}), None),
        (FRAME.rename(columns={"Text": "#Text", "id": 0}), None),
        (pyarrow.array(TEXTS), None), (pyarrow.table({"Text": TEXTS}), None),
        (datasets.Dataset.from_pandas(FRAME).to_iterable_dataset(), "Text"),
        (datasets.IterableDataset.from_generator(
            lambda: ({"Text": text} for text in TEXTS)), "Text"),
        (datasets.Dataset.from_pandas(FRAME), "Text"), (datasets.Dataset.from_pandas(FRAME), None),
    ],
)  # fmt: skip
def test_the_same_texts_in_any_form(given: Any, column: str | None) -> None:
    assert texts_of(given, column)[0] == TEXTS


def test_one_text_and_nothing() -> None:
    assert texts_of("فرحان") == (["فرحان"], None)
    assert texts_of([]) == ([], None)
    assert texts_of(FRAME)[1].tolist() == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("given", "column", "message"),
    [
        (["a", None], None, r"texts\[1\] is NoneType"),
        (["a", "b", float("nan")], None, r"texts\[2\] is float \(nan\)"),
        (["a", 7], None, r"texts\[1\] is int \(7\)"),
        (["a", ["b"]], None, r"texts\[1\] is list \(\['b'\]\)"),
        (
            pandas.Series(["a", pandas.NA], index=[4, 9], dtype="string"),
            None,
            r"texts\[1\] \(index 9\) is NAType",
        ),
        (pandas.concat([FRAME, FRAME], axis=1), "Text", "2 columns 'Text'"),
        (pandas.concat([FRAME, FRAME], axis=1), None, "2 columns 'Text'"),
        (["a", b"b"], None, r"texts\[1\] is bytes"),
        (pandas.Series(["a", 3.5], index=["x", "y"]), None, r"texts\[1\] \(index 'y'\) is float"),
        (FRAME.assign(Text=["a", None, "c"]), "Text", r"texts\[1\] \(index 'b'\)"),
        (FRAME, "txet", r"no column 'txet' \(did you mean 'Text'\?\)"),
        (FRAME[["id"]].assign(other="x"), None, r"Set text= to one of 'id', 'other'"),
        (TEXTS, "Text", "text= is for a DataFrame"),
        ({"text": TEXTS}, None, "not dict"),
        (datasets.DatasetDict(train=datasets.Dataset.from_pandas(FRAME)), None, "one split"),
        (7, None, "not int"),
        (b"text", None, "not bytes"),
        (np.array("text"), None, "not ndarray"),
    ],
)
def test_what_is_refused(given: Any, column: str | None, message: str) -> None:
    with pytest.raises(UserError, match=message):
        texts_of(given, column)


def test_predictions_are_a_frame_and_a_table(tiny_stack_folder: Path) -> None:
    predictor = StackedEmotionPredictor.from_pretrained(str(tiny_stack_folder), dtype="float32")
    answers = predictor.predict(FRAME, text="Text")
    frame = answers.to_pandas()
    assert frame.index.tolist() == ["a", "b", "c"]
    assert frame[list(FRAME)].equals(FRAME)
    assert frame["labels"].tolist() == [answer.labels for answer in answers]
    scores = frame[[f"score_{name}" for name in predictor.labels]].to_numpy()
    np.testing.assert_allclose(scores, predictor.predict_proba(TEXTS), atol=1e-7)
    assert frame["has_words"].tolist() == [True, False, True]
    assert not frame["truncated"].any()
    assert list(predictor.predict([]).to_pandas())[1:] == list(frame)[len(FRAME.columns) :]
    page = answers._repr_html_()
    assert "حزين &lt;b&gt;" in page
    assert "no words" in page
    assert "and 480 more" in predictor.predict(["نص"] * 500)._repr_html_()
    lines = repr(answers).splitlines()
    assert (lines[0], len(lines)) == ("Predictions of 3 texts:", 4)
    assert lines[2].startswith("  no words ")
    assert all(f"{name} {answers[0].scores[name]:.2f}" in lines[1] for name in answers[0].labels)
    assert repr(predictor.predict(["نص"] * 500)).splitlines()[-1] == "  and 480 more"
    one = repr(answers[0])
    assert "encoders" not in one
    assert "has_words=False" in repr(answers[1])
    assert not re.search(r"\d\.\d{5}", one)
    row = json.loads(prediction_line("x", answers[0]))
    assert not re.search(r"\d\.\d{12}", json.dumps(row))
    exact = np.float32([answers[0].scores[name] for name in predictor.labels])
    assert np.float32(list(row["scores"].values())).tolist() == exact.tolist()
    shown = repr(predictor)
    assert "torch float32 on cpu" in shown
    assert "3 labels" in shown
    assert str(tiny_stack_folder) in shown


def test_requests_have_limits() -> None:
    limits = Limits(characters=10, texts=3, size=40, explained_words=2)
    limits.check(["a" * 10] * 3)
    limits.check_explained(2)
    for texts, told in [
        (["a"] * 4, r"The request has 4 texts; send at most 3\."),
        (["a", "a" * 11], r"Text 2 of the request has 11 characters; send at most 10\."),
        (["a" * 11], r"The text has 11 characters; send at most 10\."),
        (["ا" * 10] * 3, r"The texts of the request have 60 bytes; send at most 40\."),
    ]:
        with pytest.raises(ValueError, match=f"^{told}$"):
            limits.check(texts)
    with pytest.raises(ValueError, match=r"have 3 words; send at most 2 in all\.$"):
        limits.check_explained(3)


def test_a_predictor_of_a_service_has_limits(tiny_stack_folder: Path) -> None:
    predictor = StackedEmotionPredictor.from_pretrained(str(tiny_stack_folder), dtype="float32")
    texts = ["نص"] * 100
    assert len(predictor.predict(texts)) == 100, "no limit by default"
    predictor.limits = Limits()
    for ask in (predictor.predict, predictor.predict_proba, predictor.score):
        with pytest.raises(UserError, match=r"100 texts; send at most 8\."):
            ask(texts)
    with pytest.raises(UserError, match=r"10,001 characters; send at most 10,000\."):
        predictor.predict("a" * 10_001)
    assert len(list(predictor.stream(texts))) == 100, "a stream is no request"
