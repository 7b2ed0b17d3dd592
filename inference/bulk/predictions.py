"""A chunk's answers: labels and scores by the predictor, nothing where there is no text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow

from ..decisions import Decision
from .rows import text_problem

if TYPE_CHECKING:
    from ..predictor import StackedEmotionPredictor


@dataclass(frozen=True)
class Columns:
    """Names of the columns that answers make.

    Attributes:
        labels: the column of labels given.
        scores: a column of probabilities for each label of the model, in its order.
        encoders: the column of the encoders that were run; None where all are, always.
        abstained: the column of whether the model is not sure; None where it never abstains.
    """

    labels: str
    scores: list[str]
    encoders: str | None = None
    abstained: str | None = None

    @classmethod
    def of(cls, decision: Decision, prefix: str = "", adaptive: bool = False) -> Columns:
        """`<prefix>labels`, `<prefix>score_<label>`, and what `adaptive` and `abstain` add."""
        return cls(
            f"{prefix}labels",
            [f"{prefix}score_{name}" for name in decision.labels],
            f"{prefix}encoders" if adaptive else None,
            f"{prefix}abstained" if decision.may_abstain else None,
        )

    @property
    def all(self) -> list[str]:
        """Labels first, then scores, encoders and whether it abstained."""
        more = [name for name in (self.encoders, self.abstained) if name]
        return [self.labels, *self.scores, *more]

    @property
    def fields(self) -> list[pyarrow.Field]:
        """Their Arrow types: lists of strings, float32, and bool."""
        kinds = dict.fromkeys(self.scores, pyarrow.float32()) | {self.abstained: pyarrow.bool_()}
        names = pyarrow.list_(pyarrow.string())
        return [pyarrow.field(name, kinds.get(name, names)) for name in self.all]


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
        abstained: whether the model is not sure; None where there is no answer, and where it
            never abstains.
    """

    labels: list[list[str] | None]
    scores: np.ndarray
    problems: list[str | None]
    truncated: int = 0
    encoders: Sequence[list[str] | None] = ()
    abstained: Sequence[bool | None] = ()

    def arrays(self, columns: Columns) -> list[pyarrow.Array]:
        """Arrow columns in the order of `columns.fields`, null where there is no answer."""
        missing = np.array([labels is None for labels in self.labels], dtype=bool)
        kinds = [field.type for field in columns.fields]
        scores = [
            pyarrow.array(np.ascontiguousarray(column), kind, mask=missing)
            for column, kind in zip(self.scores.T, kinds[1:], strict=False)
        ]
        encoders = [pyarrow.array(self.encoders, kinds[0])] if columns.encoders else []
        abstained = [pyarrow.array(self.abstained, kinds[-1])] if columns.abstained else []
        return [pyarrow.array(self.labels, kinds[0]), *scores, *encoders, *abstained]


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
    abstained: list[bool | None] = [None] * len(values)
    truncated = 0
    if places:
        answers = predictor.score([values[place] for place in places], batch_tokens)
        scores[places] = answers.probabilities
        truncated = int(answers.truncated.sum())
        for place, given in zip(places, answers.labels, strict=True):
            labels[place] = given
        for place, names in zip(places, answers.encoders or [], strict=False):
            encoders[place] = names
        if (unsure := answers.abstained) is not None:
            for place, value in zip(places, unsure.tolist(), strict=True):
                abstained[place] = value
    return Answers(labels, scores, found, truncated, encoders, abstained)
