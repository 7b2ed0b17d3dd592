"""Streamed text without labels, and altered copies of the training texts."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from labeled_files import write_csv, write_json_lines, write_lines

from stacked_emotion.common.errors import UserError
from stacked_emotion.trainer.distillation.texts import altered_copies, stream_texts

TEXTS = ["NA", "null", "1.0", 'a "quoted" word', "نص طويل، 😍", "last"]


def write(path: Path) -> Path:
    if path.suffix == ".txt":
        return write_lines(path, *TEXTS)
    if path.suffix == ".jsonl":
        return write_json_lines(path, *({"id": n, "text": text} for n, text in enumerate(TEXTS)))
    if path.suffix == ".tsv":
        return write_lines(path, "id\ttext", *(f"{n}\t{text}" for n, text in enumerate(TEXTS)))
    if path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet as parquet

        parquet.write_table(pyarrow.table({"text": TEXTS, "n": list(range(len(TEXTS)))}), path)
        return path
    return write_csv(path, [["id", "text"], *([n, text] for n, text in enumerate(TEXTS))])


@pytest.mark.parametrize("ending", [".txt", ".jsonl", ".tsv", ".csv", ".parquet"])
def test_every_format_gives_the_texts_as_they_are(ending: str, tmp_path: Path) -> None:
    found = stream_texts(write(tmp_path / f"texts{ending}"))
    assert isinstance(found, Iterator)
    assert list(found) == TEXTS


def test_what_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_json_lines(
        tmp_path / "some.jsonl",
        *({"text": text} for text in ["one", "", "two  words", None, "three", "four"]),
    )
    with caplog.at_level(logging.WARNING):
        assert list(stream_texts(path, leave_out={"two words"})) == ["one", "three", "four"]
    assert "2 rows have no text" in caplog.text
    assert "1 rows are among the labeled texts" in caplog.text
    assert list(stream_texts(path, limit=2)) == ["one", "two  words"]


def test_mistakes(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "two.csv", [["left", "right"], ["a", "b"]])
    cases = [
        ((tmp_path / "nowhere.csv", None), "nowhere.csv"),
        ((tmp_path / "texts.docx", None), ".parquet"),
        ((path, None), "--unlabeled_text_column"),
        ((path, "rigth"), "right"),
        ((write_lines(tmp_path / "bad.jsonl", "{no json"), None), "bad.jsonl"),
    ]
    for (file, column), message in cases:
        with pytest.raises(UserError, match=message):
            list(stream_texts(file, column))
    assert list(stream_texts(path, "right")) == ["b"]


def test_copies_stay_within_their_fold() -> None:
    texts = [" ".join(f"{fold}w{row}x{word}" for word in range(6)) for row in range(12)
             for fold in [row % 3]]  # fmt: skip
    folds = np.arange(12) % 3
    made, fold_of_copy = altered_copies(texts, folds, copies=3, word_dropout=0.3, mixing=0.5)
    assert len(made) == len(fold_of_copy) > 20
    assert len(set(made)) == len(made)
    assert not set(made) & set(texts)
    mixed = 0
    for text, fold in zip(made, fold_of_copy, strict=True):
        words = text.split()
        assert {word[0] for word in words} == {str(fold)}
        mixed += len({word.partition("x")[0] for word in words}) > 1
    assert 0 < mixed < len(made)
    again, _ = altered_copies(texts, folds, copies=3, word_dropout=0.3, mixing=0.5)
    assert again == made
    other, _ = altered_copies(texts, folds, copies=3, word_dropout=0.3, mixing=0.5, seed=1)
    assert other != made
    assert altered_copies(["one"], np.zeros(1, int), copies=2)[0] == []
