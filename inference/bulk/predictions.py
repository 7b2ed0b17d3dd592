"""A chunk's answers: labels and scores by the predictor, nothing where there is no text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow

from ..predictor import StackedEmotionPredictor
from .rows import text_problem


@dataclass(frozen=True)
class Columns:
    """Names of the columns that answers make.

    Attributes:
        labels: the column of labels given.
        scores: a column of probabilities for each label of the model, in its order.
    """

    labels: str
    scores: list[str]

    @classmethod
    def of(cls, label_names: Sequence[str], prefix: str = "") -> Columns:
        """`<prefix>labels` and `<prefix>score_<label>`."""
        return cls(f"{prefix}labels", [f"{prefix}score_{name}" for name in label_names])

    @property
    def all(self) -> list[str]:
        """Labels first."""
        return [self.labels, *self.scores]

    @property
    def fields(self) -> list[pyarrow.Field]:
        """Their Arrow types: a list of strings, and float32."""
        return [
            pyarrow.field(self.labels, pyarrow.list_(pyarrow.string())),
            *(pyarrow.field(name, pyarrow.float32()) for name in self.scores),
        ]


@dataclass(frozen=True)
class Answers:
    """What the model says of some values.

    Attributes:
        labels: the labels given, most likely first; None where there is no answer.
        scores: (values, labels) float32 probabilities, NaN where there is no answer.
        problems: why there is no answer; None where there is one.
        truncated: how many texts were not read to their end.
    """

    labels: list[list[str] | None]
    scores: np.ndarray
    problems: list[str | None]
    truncated: int = 0

    def arrays(self, columns: Columns) -> list[pyarrow.Array]:
        """Arrow columns in the order of `columns.fields`, null where there is no answer."""
        missing = np.array([labels is None for labels in self.labels], dtype=bool)
        kinds = [field.type for field in columns.fields]
        return [pyarrow.array(self.labels, kinds[0])] + [
            pyarrow.array(np.ascontiguousarray(self.scores[:, index]), kind, mask=missing)
            for index, kind in enumerate(kinds[1:])
        ]


def answer(
    predictor: StackedEmotionPredictor,
    values: Sequence[Any],
    batch_tokens: int | None,
    problems: Sequence[str | None] | None = None,
) -> Answers:
    """Labels and scores of what is in a column of texts, by the model's own decision rule.

    `problems` is what is known to be wrong with a value already.
    """
    known = problems or [None] * len(values)
    found = [problem or text_problem(value) for problem, value in zip(known, values, strict=True)]
    places = [place for place, problem in enumerate(found) if problem is None]
    names = list(predictor.labels)
    scores = np.full((len(values), len(names)), np.nan, np.float32)
    labels: list[list[str] | None] = [None] * len(values)
    truncated = 0
    if places:
        answers = predictor.score([values[place] for place in places], batch_tokens)
        scores[places] = answers.probabilities
        truncated = int(answers.truncated.sum())
        for place, given in zip(places, answers.labels, strict=True):
            labels[place] = given
    return Answers(labels, scores, found, truncated)
