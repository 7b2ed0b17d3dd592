"""The review of a run: rows as the user sees them, doubts as published, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas
import pytest
from tiny_runs import SAMPLE

from stacked_emotion import Run
from stacked_emotion.cli import main
from stacked_emotion.common.errors import UserError
from stacked_emotion.data.labeled_texts import LabeledTexts
from stacked_emotion.trainer.labeling.review import (
    confused_labels,
    label_issues,
    review_labels,
    review_run,
)

LINES = [json.loads(line) for line in (SAMPLE / "train.jsonl").read_text("utf-8").splitlines()]


def test_rows_are_those_of_the_file(finished_run: Path) -> None:
    rows = Run(finished_run).review()
    assert len(rows)
    assert rows["quality"].is_monotonic_increasing
    assert rows["rank"].tolist() == list(range(1, len(rows) + 1))
    for row in rows.itertuples():
        line = LINES[row.line - 1]
        assert (row.text, sorted(row.given)) == (line["text"], sorted(line["labels"]))
        assert set(row.doubtful) <= set(row.given)
        assert not set(row.missing) & set(row.given)
        assert row.doubtful or row.missing or row.similar
        assert row.file.endswith("train.jsonl")


def test_quality_is_the_published_formula() -> None:
    generator = np.random.default_rng(0)
    labels = (generator.random((60, 4)) < 0.4).astype(np.int8)
    labels[:, 3] = 0  # a label that no text has
    probabilities = generator.random((60, 4))
    doubted, quality = label_issues(labels, probabilities)
    for row in range(60):
        confidence = np.where(labels[row], probabilities[row], 1 - probabilities[row])
        average, *others = sorted(confidence, reverse=True)
        for value in others:
            average = 0.8 * value + 0.2 * average
        assert quality[row] == pytest.approx(average)
    assert doubted.shape == labels.shape
    wrong = np.where(labels, probabilities, 1 - probabilities)
    assert wrong[doubted].mean() < wrong[~doubted].mean()


def test_one_label_and_rows_without_any() -> None:
    labels = np.array([[1], [0], [1], [0], [0], [1]], np.int8)
    doubted, quality = label_issues(labels, np.array([[0.9], [0.1], [0.01], [0.2], [0.97], [0.8]]))
    assert set(np.argsort(quality)[:2].tolist()) == {2, 4}
    assert not doubted[[0, 1, 3, 5]].any()


def test_confused_labels_are_correlated_mistakes() -> None:
    generator = np.random.default_rng(0)
    labels = (generator.random((200, 3)) < 0.3).astype(np.int64)
    decided = labels.copy()
    swapped = np.flatnonzero((labels[:, 0] == 1) & (labels[:, 1] == 0))[:20]
    decided[swapped, 0], decided[swapped, 1] = 0, 1
    found = confused_labels(labels, decided, ["joy", "love", "fear"])
    assert found[["given", "predicted", "texts"]].to_numpy().tolist() == [["joy", "love", 20]]
    missed, added = labels[:, 0] > decided[:, 0], labels[:, 1] < decided[:, 1]
    assert found["phi"][0] == pytest.approx(np.corrcoef(missed, added)[0, 1])
    assert found["share"][0] == 1
    assert not len(confused_labels(labels, labels, ["joy", "love", "fear"]))


def test_near_duplicates_with_other_labels_are_listed() -> None:
    labels = np.array([[1, 0], [0, 1], [1, 0], [0, 1]], np.int8)
    texts = LabeledTexts(
        ["فرحان جدا اليوم", "فرحان جدا اليوم", "سعيد", "حزين"], labels, ["joy", "sadness"],
        row_numbers=[2, 3, 5, 9], unit="line",
    )  # fmt: skip
    found = review_labels(texts, labels * 0.8 + 0.1, labels.astype(int))
    assert found.rows["similar"].tolist() == [[3], [2]]
    assert found.rows["line"].tolist() == [2, 3]


def test_command(finished_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "found.csv"
    assert main(["review", str(finished_run), "--output", str(output), "--spreadsheet_safe"]) == 0
    assert "Of 90 training texts" in capsys.readouterr().out
    table, rows = pandas.read_csv(output, keep_default_na=False), Run(finished_run).review()
    assert table["line"].tolist() == rows["line"].tolist()
    assert table["missing"].tolist() == [",".join(names) for names in rows["missing"]]
    assert "Labels to check" in output.with_suffix(".html").read_text("utf-8")
    assert main(["review", str(finished_run), "--output", str(tmp_path / "found.xml")]) == 2
    assert ".csv, .tsv, .jsonl, .parquet" in capsys.readouterr().err


def test_other_data_are_refused(run_copy: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved.jsonl"
    shutil.copy(SAMPLE / "train.jsonl", moved)
    assert len(review_run(run_copy, moved).rows)
    (run_copy / "recipe.yaml").unlink()  # it alone holds the paths
    with pytest.raises(UserError, match=r"is not here.*--train_file"):
        review_run(run_copy)
    first = json.dumps(LINES[0] | {"labels": ["joy"]}, ensure_ascii=False)
    rest = moved.read_text("utf-8").split("\n", 1)[1]
    moved.write_text(f"{first}\n{rest}", encoding="utf-8")
    with pytest.raises(UserError, match=r"trained on other texts.*have changed since: train again"):
        review_run(run_copy, moved)


def test_damaged_predictions_are_refused(run_copy: Path) -> None:
    file = run_copy / "head" / "out_of_fold.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))
    with pytest.raises(UserError, match="damaged"):
        review_run(run_copy)
    with pytest.raises(UserError, match="holds no finished run"):
        review_run(run_copy / "head")
