"""A stack at a glance, on a terminal and in a notebook."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stacked_emotion.inference import StackedEmotionPredictor, Summary


def test_the_same_from_config_model_and_file(tiny_stack: Any, tiny_stack_folder: Path) -> None:
    model, _ = tiny_stack
    file = json.loads((tiny_stack_folder / "config.json").read_text("utf-8"))
    predictor = StackedEmotionPredictor.from_pretrained(str(tiny_stack_folder), dtype="float32")
    shown = repr(predictor.summary)
    assert {shown, repr(Summary(model)), repr(Summary(model.config)), repr(Summary(file))} == {
        shown
    }
    title, encoders, labels = shown.split("\n\n")
    assert title == "a stack of 3 encoders, word by word: meta-learner, Bi-LSTM, classifier"
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in encoders.splitlines()[2:]]
    assert [row[:4] for row in rows] == [
        ["zeta", "xlm-roberta", "2", "32"], ["alpha", "bert", "2", "32"],
        ["mid", "modernbert", "2", "32"],
    ]  # fmt: skip
    assert int(rows[1][4]) == model.config.encoders["alpha"].vocab_size
    assert "| joy   | 0.300" in labels
    assert "threshold (threshold)" in labels


def test_names_are_escaped_and_isolated(tiny_stack: Any) -> None:
    config = tiny_stack[0].config.to_dict()
    config["id2label"] = {0: "<b>فرح</b>", 1: "a\x1b[31m", 2: "fear"}
    page = Summary(config)._repr_html_()
    assert "<bdi>&lt;b&gt;فرح&lt;/b&gt;</bdi>" in page
    assert "\x1b" not in repr(Summary(config))
    with pytest.raises(ValueError, match="thresholds"):
        Summary(config | {"thresholds": [2.0] * 3})
