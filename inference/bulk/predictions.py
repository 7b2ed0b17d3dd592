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
        encoders: the column of the encoders that were run; None where all are, always.
    """

    labels: str
    scores: list[str]
    encoders: str | None = None

    @classmethod
    def of(cls, label_names: Sequence[str], prefix: str = "", adaptive: bool = False) -> Columns:
        """`<prefix>labels`, `<prefix>score_<label>` and, if adaptive, `<prefix>encoders`."""
        return cls(
            f"{prefix}labels",
            [f"{prefix}score_{name}" for name in label_names],
            f"{prefix}encoders" if adaptive else None,
        )

    @property
    def all(self) -> list[str]:
        """Labels first, encoders last."""
        return [self.labels, *self.scores, *([self.encoders] if self.encoders else [])]

    @property
    def fields(self) -> list[pyarrow.Field]:
        """Their Arrow types: lists of strings, and float32."""
        names = pyarrow.list_(pyarrow.string())
        return [
            pyarrow.field(name, pyarrow.float32() if name in self.scores else names)
            for name in self.all
        ]


@dataclass(frozen=True)
class Answers:
    """What the model says of some values.

    Attributes:
        labels: the labels given, most likely first; None where there is no answer.
        scores: (values, labels) float32 probabilities, NaN where there is no answer.
        problems: why there is no answer; None where there is one.
        truncated: how many texts were not read to their end.
        encoders: the encoders that were run; None where there is no answer, empty where all are,
            always.
    """

    labels: list[list[str] | None]
    scores: np.ndarray
    problems: list[str | None]
    truncated: int = 0
    encoders: Sequence[list[str] | None] = ()

    def arrays(self, columns: Columns) -> list[pyarrow.Array]:
        """Arrow columns in the order of `columns.fields`, null where there is no answer."""
        missing = np.array([labels is None for labels in self.labels], dtype=bool)
        kinds = [field.type for field in columns.fields]
        scores = [
            pyarrow.array(np.ascontiguousarray(column), kind, mask=missing)
            for column, kind in zip(self.scores.T, kinds[1:], strict=False)
        ]
        encoders = [pyarrow.array(self.encoders, kinds[-1])] if columns.encoders else []
        return [pyarrow.array(self.labels, kinds[0]), *scores, *encoders]


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
    encoders: list[list[str] | None] = [None] * len(values)
    truncated = 0
    if places:
        answers = predictor.score([values[place] for place in places], batch_tokens)
        scores[places] = answers.probabilities
        truncated = int(answers.truncated.sum())
        for place, given in zip(places, answers.labels, strict=True):
            labels[place] = given
        for place, names in zip(places, answers.encoders or [], strict=False):
            encoders[place] = names
    return Answers(labels, scores, found, truncated, encoders)
