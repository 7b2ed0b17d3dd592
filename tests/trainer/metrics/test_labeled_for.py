"""The texts that a finished model is scored on, read without the model."""

from __future__ import annotations

import pytest

from stacked_emotion.common.errors import DataError
from stacked_emotion.trainer.metrics.evaluation import labeled_for

LABELS = ["anger", "fear", "joy"]
NUMBERS = [{"text": "a", "labels": [2]}, {"text": "b", "labels": [0, 2]}]
VECTORS = [{"text": "a", "labels": [0, 0, 1]}, {"text": "b", "labels": [1, 0, 1]}]


@pytest.mark.parametrize("rows", [NUMBERS, VECTORS])
def test_places_are_read_in_the_order_of_the_model_and_it_says_so(rows, caplog):
    assert labeled_for(LABELS, rows, {}).labels.tolist() == [[0, 0, 1], [1, 0, 1]]
    assert "in the order of the model's labels, 'anger', 'fear', 'joy'" in caplog.text
    caplog.clear()
    named = labeled_for(LABELS, rows, {"label_names": ["joy", "fear", "anger"]})
    assert named.labels.tolist() == [[1, 0, 0], [1, 0, 1]]
    assert not caplog.text


def test_classes_of_a_data_set_are_read_by_their_names(caplog):
    import datasets

    kinds = {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=LABELS[::-1])}
    table = datasets.Dataset.from_dict(
        {"text": ["a", "b"], "label": [0, 2]}, datasets.Features(kinds)
    )
    assert labeled_for(LABELS, table, {}).labels.tolist() == [[0, 0, 1], [1, 0, 0]]
    assert not caplog.text


@pytest.mark.parametrize(
    ("test", "reading", "message"),
    [
        (None, {}, "There are no texts to score"),
        ([{"text": "a", "joy": 1}], {"label_columns": ["joy"]}, "and the labels of the model"),
        ([{"text": "a", "joy": 1, "fear": 0, "anger": 0}], {"text_column": "joy"},
         "would hold both the texts and labels"),
    ],
)  # fmt: skip
def test_what_cannot_be_scored(test, reading, message):
    with pytest.raises(DataError, match=message):
        labeled_for(LABELS, test, reading)
