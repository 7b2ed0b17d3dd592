"""Prediction on a cluster: one callable for Ray Data, Spark and anything else with batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import pyarrow

from ..common.errors import UserError, did_you_mean, quoted
from ..data.files.arrow_rows import python_values
from .bulk.predictions import Answers, Columns, answer
from .decisions import Decision
from .model_files import ModelFiles
from .predictor import StackedEmotionPredictor

Batch = TypeVar("Batch")


class PartitionPredictor:
    """Adds labels and scores to batches of rows; loads the model once per process, on first use.

    A batch is a pandas DataFrame, an Arrow table or record batch, or a mapping of columns to numpy
    arrays; the answer is of the same kind. It has all columns and rows of the batch, and

    * `labels`: the labels given, most likely first;
    * `score_<label>`: float32 probabilities;
    * `encoders`, with `adaptive=True`: the encoders that were run;
    * `abstained`, with `abstain=0.9` or the like: whether the model is not sure;
    * `problem`: why a row has no answer (its labels and scores are null), null where it has one.

    It is pickled without the model, so Spark can send it to its executors; there this package has
    to be installed, and a folder as `model` has to be at the same path.

    Args:
        model: folder or Hub ID.
        text_column: the column of texts.
        revision: commit, tag or branch of a Hub ID; give a commit, so that every process loads the
            same model.
        prefix: put before the names of the new columns.
        batch_tokens: positions per batch of the model; None for the backend's choice.
        **predictor_options: of `StackedEmotionPredictor.from_pretrained`, such as `dtype`.

    Example:
        >>> import pandas
        >>> predictor = PartitionPredictor("user/name", text_column="tweet")
        >>> parts = predictor.over([pandas.DataFrame({"tweet": ["فرحان جدا"]})])
        >>> list(next(parts).columns[:3])
        ['tweet', 'labels', 'score_anger']

    Example, not run: it needs Spark and Java.
        >>> schema = predictor.spark_schema(frame.schema)  # doctest: +SKIP
        >>> frame.mapInPandas(predictor.over, schema)  # doctest: +SKIP
    """

    def __init__(
        self,
        model: str,
        text_column: str = "text",
        revision: str | None = None,
        prefix: str = "",
        batch_tokens: int | None = None,
        **predictor_options: Any,
    ) -> None:
        self.model, self.revision = str(model), revision
        self.text_column, self.prefix = text_column, prefix
        self.batch_tokens = batch_tokens
        self.predictor_options = predictor_options

    @property
    def predictor(self) -> StackedEmotionPredictor:
        """This process's predictor."""
        return _loaded(self.model, self.revision, tuple(sorted(self.predictor_options.items())))

    def __call__(self, batch: Batch) -> Batch:
        """Predict one batch: what `map_batches` calls.

        Raises:
            UserError: the batch lacks the column of texts, or has one of the new columns itself.
        """
        result: Any
        if isinstance(batch, pyarrow.RecordBatch):
            table = self._table(pyarrow.Table.from_batches([batch]))
            batches = table.combine_chunks().to_batches()
            result = batches[0] if batches else pyarrow.RecordBatch.from_pylist([], table.schema)
        elif isinstance(batch, pyarrow.Table):
            result = self._table(batch)
        elif isinstance(batch, Mapping):
            values = np.asarray(batch[self._checked(list(batch))]).tolist()
            result = {**batch, **self._arrays(values)}
        else:
            frame: Any = batch
            texts = frame[self._checked(list(frame.columns))]
            values = texts.astype(object).where(texts.notna(), None).tolist()
            result = frame.assign(**self._arrays(values))
        return result

    def over(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Predict the batches of a partition: what `mapInPandas` and `mapInArrow` call."""
        for batch in batches:
            yield self(batch)

    def spark_schema(self, schema: Any) -> Any:
        """The `StructType` of a frame with the new columns; only the model's config is read."""
        from pyspark.sql import types

        decision = ModelFiles(self.model, self.revision).decision()
        columns = self._columns(decision.abstaining(self.predictor_options.get("abstain")))
        kinds = dict.fromkeys(columns.scores, types.FloatType())
        kinds |= {columns.abstained: types.BooleanType(), self._problem: types.StringType()}
        names = types.ArrayType(types.StringType())
        new = [
            types.StructField(name, kinds.get(name, names))
            for name in [*columns.all, self._problem]
        ]
        return types.StructType([*schema.fields, *new])

    @property
    def _problem(self) -> str:
        return f"{self.prefix}problem"

    def _columns(self, decision: Decision | None = None) -> Columns:
        adaptive = bool(self.predictor_options.get("adaptive"))
        return Columns.of(decision or self.predictor.decision, self.prefix, adaptive)

    def _checked(self, names: list[str]) -> str:
        if self.text_column not in names:
            raise UserError(
                f"The batch has no column {self.text_column!r}"
                f"{did_you_mean(self.text_column, names)}; it has {quoted(names)}. Set text_column."
            )
        if clash := [name for name in [*self._columns().all, self._problem] if name in names]:
            raise UserError(f"The batch already has the columns {quoted(clash)}: set prefix.")
        return self.text_column

    def _answers(self, values: list[Any]) -> Answers:
        return answer(self.predictor, values, self.batch_tokens)

    def _table(self, table: pyarrow.Table) -> pyarrow.Table:
        answers = self._answers(python_values(table.column(self._checked(table.column_names))))
        columns = self._columns()
        for field, values in zip(columns.fields, answers.arrays(columns), strict=True):
            table = table.append_column(field, values)
        return table.append_column(self._problem, pyarrow.array(answers.problems, pyarrow.string()))

    def _arrays(self, values: list[Any]) -> dict[str, np.ndarray]:
        answers, columns = self._answers(values), self._columns()
        labels = np.fromiter(answers.labels, object, len(values))
        problems = np.fromiter(answers.problems, object, len(values))
        scores = {name: answers.scores[:, index] for index, name in enumerate(columns.scores)}
        found = {columns.labels: labels, **scores, self._problem: problems}
        if columns.encoders:
            found[columns.encoders] = np.fromiter(answers.encoders, object, len(values))
        if columns.abstained:
            found[columns.abstained] = np.fromiter(answers.abstained, object, len(values))
        return found


@lru_cache(maxsize=1)
def _loaded(
    model: str, revision: str | None, options: tuple[tuple[str, Any], ...]
) -> StackedEmotionPredictor:
    return StackedEmotionPredictor.from_pretrained(model, revision=revision, **dict(options))
