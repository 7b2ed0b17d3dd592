"""Partitions of a cluster: batches of every kind, and the real Ray Data and Spark in local mode."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow
import pytest
from tiny_models import LABELS

from stacked_emotion.common.errors import UserError
from stacked_emotion.inference import PartitionPredictor, StackedEmotionPredictor
from stacked_emotion.inference.partitions import _loaded

BAD = {3: "no text (null)", 5: "an empty text"}
NEW = ["labels", *(f"score_{label}" for label in LABELS), "problem"]


@pytest.fixture(scope="module")
def rows(sample_texts: list[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [
        {"id": number, "text": text} for number, text in enumerate(sample_texts[:24])
    ]
    rows[3]["text"], rows[5]["text"] = None, " "
    return rows


@pytest.fixture(scope="module")
def partition(tiny_stack_folder: Path) -> PartitionPredictor:
    return PartitionPredictor(str(tiny_stack_folder), dtype="float32")


@pytest.fixture(scope="module")
def expected(tiny_stack_folder: Path, rows: list[dict[str, Any]]) -> list[Any]:
    predictor = StackedEmotionPredictor.from_pretrained(str(tiny_stack_folder), dtype="float32")
    answers = predictor.predict([row["text"] or "" for row in rows])
    return [None if number in BAD else answer for number, answer in enumerate(answers)]


def check(found: list[dict[str, Any]], rows: list[dict[str, Any]], expected: list[Any]) -> None:
    """All columns, answers as the predictor gives them, nothing where there is no text."""
    assert [row["id"] for row in found] == [row["id"] for row in rows]
    for number, (row, answer) in enumerate(zip(found, expected, strict=True)):
        assert list(row) == ["id", "text", *NEW]
        assert row["text"] == rows[number]["text"] or pandas.isna(row["text"])
        if answer is None:
            assert row["labels"] is None
            assert row["problem"] == BAD[number]
            assert all(row[f"score_{label}"] is None or np.isnan(row[f"score_{label}"])
                       for label in LABELS)  # fmt: skip
            continue
        assert pandas.isna(row["problem"])
        assert list(row["labels"]) == answer.labels
        scores = {label: row[f"score_{label}"] for label in LABELS}
        assert scores == pytest.approx(answer.scores, abs=1e-5)


@pytest.mark.parametrize("kind", ["table", "record batch", "frame", "objects", "columns"])
def test_every_kind_of_batch(
    kind: str, partition: PartitionPredictor, rows: list[dict[str, Any]], expected: list[Any]
) -> None:
    batch: Any = pyarrow.Table.from_pylist(rows)
    if kind == "record batch":
        batch = batch.combine_chunks().to_batches()[0]
    elif kind == "frame":
        batch = pandas.DataFrame(rows)
    elif kind == "objects":
        batch = pandas.DataFrame(rows).astype(object)
    elif kind == "columns":
        batch = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    found: Any = partition(batch)
    if kind == "columns":
        found = [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]
    else:
        assert type(found) is type(batch)
        found = found.to_dict("records") if hasattr(found, "to_dict") else found.to_pylist()
    check(found, rows, expected)
    none = {name: values[:0] for name, values in batch.items()} if kind == "columns" else batch[:0]
    answered = partition(none)
    arrow = kind in ("table", "record batch")
    assert list(answered.schema.names if arrow else answered) == [*rows[0], *NEW]


def test_pickled_without_the_model(partition: PartitionPredictor, tiny_stack_folder: Path) -> None:
    partition(pyarrow.table({"text": ["فرحان"]}))
    assert len(pickle.dumps(partition)) < 1000
    copy = pickle.loads(pickle.dumps(partition))
    assert copy.predictor is partition.predictor  # one model a process
    assert _loaded.cache_info().currsize == 1


def test_mistakes(partition: PartitionPredictor) -> None:
    with pytest.raises(UserError, match="did you mean 'Text'"):
        partition(pyarrow.table({"Text": ["a"]}))
    with pytest.raises(UserError, match="set prefix"):
        partition(pyarrow.table({"text": ["a"], "labels": [1]}))


@pytest.mark.slow
def test_ray_data(
    tiny_stack_folder: Path, rows: list[dict[str, Any]], expected: list[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    ray = pytest.importorskip("ray", reason="needs pip install 'stacked_emotion[ray]'")
    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    # two for the actors; without more, nothing is left for the tasks that feed them
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
    try:
        for batch_format in ("pyarrow", "pandas"):
            data = ray.data.from_arrow(pyarrow.Table.from_pylist(rows)).repartition(4)
            answered = data.map_batches(
                PartitionPredictor,
                fn_constructor_kwargs={"model": str(tiny_stack_folder), "dtype": "float32"},
                batch_format=batch_format,
                batch_size=8,
                concurrency=2,
            )
            found = sorted(answered.take_all(), key=lambda row: row["id"])
            check(found, rows, expected)
    finally:
        ray.shutdown()


@pytest.fixture
def spark(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    sql = pytest.importorskip("pyspark.sql", reason="needs pip install 'stacked_emotion[spark]'")
    import sys

    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    monkeypatch.setenv("PYSPARK_DRIVER_PYTHON", sys.executable)
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))
    builder = sql.SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    try:
        session = builder.config("spark.driver.host", "127.0.0.1").getOrCreate()
    except Exception as error:  # no Java: py4j says so in an error of its own
        pytest.skip(f"Spark does not start here, it needs Java 17: {error}")
    yield session
    session.stop()


@pytest.mark.slow
def test_spark(
    spark: Any, partition: PartitionPredictor, rows: list[dict[str, Any]], expected: list[Any]
) -> None:
    table = [(row["id"], row["text"]) for row in rows]
    frame = spark.createDataFrame(table, "id long, text string").repartition(4, "id")
    schema = partition.spark_schema(frame.schema)
    for over in (frame.mapInPandas, frame.mapInArrow):
        answered = over(partition.over, schema)
        assert answered.columns == ["id", "text", *NEW]
        check([row.asDict() for row in answered.orderBy("id").collect()], rows, expected)
