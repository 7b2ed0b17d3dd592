"""The predictor, and prediction of whole files."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import LABELS, NASTY_TEXTS

from stacked_emotion.inference import StackedEmotionPredictor, predict_file
from stacked_emotion.trainer.errors import UserError


@pytest.fixture(scope="module")
def predictor(tiny_stack_folder: Path) -> StackedEmotionPredictor:
    return StackedEmotionPredictor.from_pretrained(str(tiny_stack_folder), dtype="float32")


def test_scores_are_the_models(predictor: StackedEmotionPredictor, tiny_stack: Any) -> None:
    model, tokenizer = tiny_stack
    texts = [*NASTY_TEXTS, "فرحان", "فرحان", *NASTY_TEXTS[:3]]
    with torch.no_grad():
        expected = torch.cat(
            [torch.sigmoid(model(**tokenizer([t], return_tensors="pt")).logits) for t in texts]
        )
    for batch_tokens in (1, 64, 4096):
        scores = predictor.predict_proba(texts, batch_tokens)
        np.testing.assert_allclose(scores, expected.numpy(), atol=1e-5)
    answers = predictor.predict(texts)
    decisions = model.decide(torch.logit(expected))
    for answer, row in zip(answers, decisions, strict=True):
        assert set(answer.labels) == {LABELS[i] for i in row.nonzero().flatten().tolist()}
        assert answer.labels == sorted(answer.labels, key=lambda label: -answer.scores[label])
    streamed = list(predictor.stream(iter(texts), window=4))
    for one, other in zip(streamed, answers, strict=True):
        assert one.labels == other.labels
        assert one.scores == pytest.approx(other.scores, abs=1e-5)


def test_what_is_not_a_text_is_refused(predictor: StackedEmotionPredictor) -> None:
    with pytest.raises(ValueError, match=r"texts\[1\]"):
        predictor.predict(["a", None])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="list"):
        predictor.predict("a")
    assert predictor.predict([]) == []


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet as parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(
                stream, list(rows[0]), delimiter="," if path.suffix == ".csv" else "\t"
            )
            writer.writeheader()
            writer.writerows(rows)


def read_rows(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if path.suffix == ".parquet":
        import pyarrow.parquet as parquet

        return parquet.read_table(path).to_pylist()
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="," if path.suffix == ".csv" else "\t"))


@pytest.mark.parametrize("source", [".csv", ".tsv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("target", [".csv", ".parquet"])
def test_files(
    source: str, target: str, tmp_path: Path, tiny_stack_folder: Path,
    predictor: StackedEmotionPredictor, sample_texts: list[str],
) -> None:  # fmt: skip
    texts = [text.replace('"', "").replace("\t", " ") for text in sample_texts[:25]]
    rows = [{"id": str(number), "text": text} for number, text in enumerate(texts)]
    rows[7]["text"] = "  "
    write_rows(tmp_path / f"in{source}", rows)
    output = tmp_path / f"out{target}"
    predict_file(
        str(tiny_stack_folder), tmp_path / f"in{source}", output, part_rows=10, dtype="float32"
    )
    found = read_rows(output)
    assert [row["id"] for row in found] == [row["id"] for row in rows]
    expected = predictor.predict([row["text"] for row in rows])
    for number, (row, answer) in enumerate(zip(found, expected, strict=True)):
        if number == 7:
            assert not row["labels"]
            assert row["score_joy"] in (None, "")
            continue
        labels = row["labels"].split(",") if isinstance(row["labels"], str) else row["labels"]
        assert [label for label in labels if label] == answer.labels
        assert float(row["score_joy"]) == pytest.approx(answer.scores["joy"], abs=2e-6)
    problems = [
        json.loads(line)
        for line in (tmp_path / f"out{target}.problems.jsonl").read_text().splitlines()
    ]
    assert [problem["row"] for problem in problems] == [8]
    assert not (tmp_path / f"out{target}.parts").exists()


def test_a_killed_run_goes_on(
    tmp_path: Path, tiny_stack_folder: Path, sample_texts: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    rows = [{"text": text} for text in sample_texts[:30]]
    write_rows(tmp_path / "in.jsonl", rows)
    arguments = (str(tiny_stack_folder), tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    predict_file(*arguments, part_rows=10)
    whole = (tmp_path / "out.jsonl").read_bytes()
    (tmp_path / "out.jsonl").unlink()

    calls = 0
    original = StackedEmotionPredictor.predict

    def failing(self: Any, texts: Any, *more: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return original(self, texts, *more, **options)

    monkeypatch.setattr(StackedEmotionPredictor, "predict", failing)
    with pytest.raises(KeyboardInterrupt):
        predict_file(*arguments, part_rows=10)
    assert not (tmp_path / "out.jsonl").exists()
    predict_file(*arguments, part_rows=10)
    assert calls == 4  # one part was kept
    assert (tmp_path / "out.jsonl").read_bytes() == whole


@pytest.mark.parametrize(
    ("name", "content", "column", "message"),
    [
        ("in.txt", "text\na\n", None, "format"),
        ("missing.csv", None, None, "There is no file"),
        ("in.csv", "text\n", None, "no rows"),
        ("in.csv", "body\na\n", None, "--text_column"),
        ("in.csv", "text\na\n", "tetx", "text"),
        ("in.csv", "text,b\na\n", None, "fields"),
        ("in.jsonl", '{"text": "a"}\n[1\n', None, "line 2"),
    ],
)
def test_mistakes_are_told(
    name: str, content: str | None, column: str | None, message: str, tmp_path: Path,
    tiny_stack_folder: Path,
) -> None:  # fmt: skip
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message):
        predict_file(str(tiny_stack_folder), tmp_path / name, tmp_path / "out.csv", column)
