"""What a predictor answers: scores of many texts, and the labels of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from ..common.errors import UserError, counted, quoted
from ..common.inert_text import in_html, json_line, printable
from ..common.numerics import sigmoid
from .decisions import Decision

_SHOWN = 20


@dataclass(frozen=True)
class Prediction:
    """The answer for one text.

    Attributes:
        labels: the labels given (see `decision` in the config), most likely first. A text without
            any word gets none.
        scores: probability of every label, in the model's order.
        truncated: whether the end of the text was not read.
        has_words: whether the text has a word; without one its scores mean nothing.
        encoders: the encoders that were run, in their order; None where all are, always.
        abstained: whether it gets no label because the model is not sure; None where it never
            abstains.
    """

    labels: list[str]
    scores: dict[str, float]
    truncated: bool = False
    has_words: bool = True
    encoders: list[str] | None = None
    abstained: bool | None = None

    def __repr__(self) -> str:
        scores = {name: round(score, 4) for name, score in self.scores.items()}
        shown = [f"labels={self.labels!r}", f"scores={scores!r}"]
        shown += [
            f"{one.name}={getattr(self, one.name)!r}"
            for one in fields(self)[2:]
            if getattr(self, one.name) != one.default
        ]
        return f"Prediction({', '.join(shown)})"

    @property
    def note(self) -> str:
        """Labels given and their scores, as `joy 0.93, love 0.51`; or why there are none."""
        given = ", ".join(f"{name} {self.scores[name]:.2f}" for name in self.labels)
        none = "not sure" if self.abstained else "none" if self.has_words else "no words"
        return given or none


@dataclass(frozen=True, eq=False)
class TextScores:
    """What a model says of texts.

    Attributes:
        logits: (texts, labels) float32.
        truncated: (texts,) bool, whether the end of the text was not read.
        has_words: (texts,) bool, whether the text has a word.
        decision: how logits become labels.
        encoders_run: (texts,) how many encoders were run; None where all are, always.
        order: the encoders in the order in which they run, if they are skipped for some texts.
    """

    logits: np.ndarray
    truncated: np.ndarray
    has_words: np.ndarray
    decision: Decision
    encoders_run: np.ndarray | None = None
    order: tuple[str, ...] = ()

    @classmethod
    def joined(cls, parts: Sequence[TextScores], decision: Decision) -> TextScores:
        """Parts one after another; none at all make an empty one."""
        if not parts:
            none = np.zeros(0, bool)
            return cls(np.zeros((0, len(decision.labels)), np.float32), none, none, decision)
        runs = [part.encoders_run for part in parts if part.encoders_run is not None]
        return cls(
            np.concatenate([part.logits for part in parts]),
            np.concatenate([part.truncated for part in parts]),
            np.concatenate([part.has_words for part in parts]),
            decision,
            np.concatenate(runs) if runs else None,
            parts[0].order,
        )

    @property
    def probabilities(self) -> np.ndarray:
        """(texts, labels) float32."""
        return sigmoid(self.logits).astype(np.float32)

    @property
    def given(self) -> np.ndarray:
        """(texts, labels) bool: the labels given."""
        return self.decision(self.logits, self.has_words)

    @property
    def abstained(self) -> np.ndarray | None:
        """(texts,) bool: no label because the model is not sure; None where it never abstains."""
        if not self.decision.may_abstain:
            return None
        return self.decision.abstains(self.logits) & self.has_words

    @property
    def encoders(self) -> list[list[str]] | None:
        """The encoders that were run on each text; None where all are, always."""
        if self.encoders_run is None:
            return None
        return [list(self.order[:count]) for count in self.encoders_run.tolist()]

    @property
    def labels(self) -> list[list[str]]:
        """The labels given to each text, most likely first."""
        names, order = self.decision.labels, np.argsort(-self.logits, axis=1, kind="stable")
        return [
            [names[index] for index in row if chosen[index]]
            for row, chosen in zip(order.tolist(), self.given, strict=True)
        ]

    def __iter__(self) -> Iterator[Prediction]:
        none, unsure = [None] * len(self.logits), self.abstained
        encoders: Sequence[list[str] | None] = self.encoders or none
        abstained: Sequence[bool | None] = none if unsure is None else unsure.tolist()
        for labels, scores, *more in zip(
            self.labels, self.probabilities.tolist(), self.truncated.tolist(),
            self.has_words.tolist(), encoders, abstained, strict=True,
        ):  # fmt: skip
            yield Prediction(labels, dict(zip(self.decision.labels, scores, strict=True)), *more)


class Predictions(list[Prediction]):
    """A list with one `Prediction` per text, shown as a table.

    Args:
        answers: one per text.
        texts: the texts.
        label_names: the model's labels.
        index: of the Series or DataFrame the texts came from.
        frame: the DataFrame they came from.
    """

    def __init__(
        self,
        answers: Iterable[Prediction],
        texts: Sequence[str],
        label_names: Sequence[str],
        index: Any = None,
        frame: Any = None,
    ) -> None:
        super().__init__(answers)
        self.texts, self.label_names, self._row_index = texts, list(label_names), index
        self._frame = frame

    def to_pandas(self, prefix: str = "") -> Any:
        """A DataFrame of the texts and the answers.

        Args:
            prefix: put before the names of the new columns.

        Returns:
            `text`, or the columns of the DataFrame the texts came from; then `labels` (lists),
            `score_<label>`, `truncated` and `has_words`.

        Raises:
            UserError: the DataFrame has such a column already.
        """
        import pandas

        columns: dict[str, Any] = {"labels": [answer.labels for answer in self]}
        for name in self.label_names:
            columns[f"score_{name}"] = np.array([answer.scores[name] for answer in self], float)
        columns["truncated"] = np.array([answer.truncated for answer in self], bool)
        columns["has_words"] = np.array([answer.has_words for answer in self], bool)
        if any(answer.encoders is not None for answer in self):
            columns["encoders"] = [answer.encoders for answer in self]
        if any(answer.abstained is not None for answer in self):
            columns["abstained"] = np.array([answer.abstained for answer in self], bool)
        new = pandas.DataFrame(columns, index=self._row_index).add_prefix(prefix)
        if self._frame is None:
            new.insert(0, "text", list(self.texts))
            return new
        if clash := [name for name in new.columns if name in self._frame.columns]:
            raise UserError(
                f"The DataFrame already has the columns {quoted(clash)}: give another prefix, such "
                "as to_pandas(prefix='predicted_')."
            )
        return pandas.concat([self._frame.reset_index(drop=True), new.reset_index(drop=True)],
                             axis=1).set_axis(self._frame.index)  # fmt: skip

    def __repr__(self) -> str:
        lines = [f"Predictions of {counted(len(self), 'text')}:"]
        notes = [printable(answer.note) for answer in self[:_SHOWN]]
        width = max(map(len, notes), default=0)
        for text, note in zip(self.texts, notes, strict=False):
            lines.append(f"  {note:<{width}}  {printable(text[:60])}")
        if (left := len(self) - _SHOWN) > 0:
            lines.append(f"  and {left:,} more")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = []
        for text, answer in zip(self.texts[:_SHOWN], self[:_SHOWN], strict=False):
            rows.append(
                f'<tr><td dir="auto">{in_html(text[:200])}</td>'
                f"<td><bdi>{in_html(answer.note)}</bdi></td></tr>"
            )
        if (left := len(self) - _SHOWN) > 0:
            rows.append(f'<tr><td colspan="2">and {left:,} more</td></tr>')
        return "<table><tr><th>text</th><th>labels</th></tr>" + "".join(rows) + "</table>"


def prediction_line(text: str, answer: Prediction) -> str:
    """One line of JSON for a text and its answer; further fields where they matter.

    Scores have as many digits as float32 needs to come back the same.
    """
    scores = {name: float(str(np.float32(score))) for name, score in answer.scores.items()}
    row: dict[str, Any] = {"text": text, "labels": answer.labels, "scores": scores}
    if answer.truncated:
        row["truncated"] = True
    if not answer.has_words:
        row["has_words"] = False
    if answer.encoders is not None:
        row["encoders"] = answer.encoders
    if answer.abstained:
        row["abstained"] = True
    return json_line(row)
