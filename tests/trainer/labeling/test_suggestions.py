"""Texts to label next: where the encoders disagree, none twice, none that has labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.special import expit
from tiny_runs import SAMPLE

from stacked_emotion import Run
from stacked_emotion.cli import main
from stacked_emotion.common.errors import UserError
from stacked_emotion.inference import StackedEmotionPredictor
from stacked_emotion.trainer.labeling import suggestions
from stacked_emotion.trainer.labeling.suggestions import committee, disagreement, spread, suggest

TEXTS = [
    json.loads(line)["text"] for line in (SAMPLE / "train.jsonl").read_text("utf-8").splitlines()
]
LABELED, UNLABELED = TEXTS[:90], TEXTS[90:190]


@pytest.fixture(scope="module")
def run(finished_run: Path) -> Run:
    return Run(finished_run)


def test_disagreement_is_the_jensen_shannon_divergence() -> None:
    logits = np.random.default_rng(0).normal(size=(5, 2, 3)) * 3
    first, second = expit(logits).transpose(1, 0, 2)
    expected = [
        np.mean([jensenshannon([p, 1 - p], [q, 1 - q], 2) ** 2 for p, q in zip(a, b, strict=True)])
        for a, b in zip(first, second, strict=True)
    ]
    assert disagreement(logits) == pytest.approx(expected)
    assert disagreement(np.full((1, 3, 2), 50.0)) == pytest.approx([0])


def test_the_chosen_texts_are_spread() -> None:
    generator = np.random.default_rng(0)
    centers = np.repeat(np.eye(4) * 10, 5, axis=0)
    vectors = centers + generator.normal(size=centers.shape) * 0.1
    scores = np.linspace(1, 0.5, 20)  # the first cluster has the highest scores
    chosen = spread(scores, vectors, 4)
    assert chosen.tolist() == [0, 5, 10, 15]
    assert spread(scores, vectors, 30).tolist() == list(range(20))
    same = spread(scores, np.ones((20, 4)), 4)  # one place only: still four texts
    assert len(set(same.tolist())) == 4


def test_suggest(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    found = run.suggest([*UNLABELED, f" {UNLABELED[0]} ", LABELED[3], " "], number=10)
    assert (
        "1 have no readable text, 1 are among the training texts, 1 repeat an earlier text"
        in caplog.text
    )
    assert found["rank"].tolist() == list(range(1, 11))
    assert found["score"].is_monotonic_decreasing
    assert found["text"].tolist() == [UNLABELED[row] for row in found["row"]]
    logits, _ = committee(run.predictor, found["text"].tolist())
    assert found["score"].tolist() == pytest.approx(disagreement(logits), abs=2e-3)
    every = disagreement(committee(run.predictor, UNLABELED)[0])
    assert found["score"].mean() > every.mean()


def test_a_frame_keeps_its_index(run: Run) -> None:
    frame = pandas.DataFrame({"tweet": UNLABELED[:8]}, index=list("abcdefgh"))
    found = run.suggest(frame, number=3)
    assert found["text"].tolist() == frame.loc[found["row"], "tweet"].tolist()


def test_many_texts_are_read_chunk_by_chunk(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = StackedEmotionPredictor.from_pretrained(run.folder, dtype="float32")
    whole = suggest(predictor, enumerate(UNLABELED), number=4)
    monkeypatch.setattr(suggestions, "_CHUNK", 30)
    parts = suggest(predictor, enumerate(UNLABELED), number=4)
    assert parts["row"].tolist() == whole["row"].tolist()


def test_what_cannot_be_suggested(run: Run) -> None:
    with pytest.raises(UserError, match="No text is left"):
        run.suggest(LABELED)
    with pytest.raises(UserError, match="at least 1 text"):
        run.suggest(UNLABELED, number=0)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_command(
    finished_run: Path, tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = ["=1+1 فرحان", *[text for text in UNLABELED if text[0] not in "@+-="][:20]]
    file, output = tmp_path / "unlabeled.csv", tmp_path / f"next{suffix}"
    pandas.DataFrame({"text": texts}).to_csv(file, index=False)
    words = ["suggest", str(finished_run), str(file), "--number", "30", "--output", str(output)]
    assert main([*words, *(["--spreadsheet_safe"] if suffix == ".csv" else [])]) == 0
    assert "21 texts to label" in capsys.readouterr().out
    read = {".csv": pandas.read_csv, ".parquet": pandas.read_parquet}
    found = read[suffix](output) if suffix in read else pandas.read_json(output, lines=True)
    assert list(found.columns) == ["rank", "score", "row", "text"]
    expected = dict(enumerate(texts, 2))  # line 1 is the header
    if suffix == ".csv":
        expected[2] = "'" + texts[0]
    assert dict(zip(found["row"], found["text"], strict=True)) == expected


def test_rows_that_cannot_be_read_are_counted(
    finished_run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, output = tmp_path / "unlabeled.jsonl", tmp_path / "next.jsonl"
    lines = [json.dumps({"text": text}) for text in UNLABELED[:2]]
    file.write_text("\n".join([lines[0], "{broken", lines[1]]), encoding="utf-8")
    assert main(["suggest", str(finished_run), str(file), "--output", str(output)]) == 0
    assert "1 have no readable text" in caplog.text
    assert sorted(pandas.read_json(output, lines=True)["row"]) == [1, 3]
