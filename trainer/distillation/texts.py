"""Texts without labels: a file of any size, streamed, and altered copies of the training texts."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ...common.errors import UserError, did_you_mean, quoted
from ...data.columns import TEXT_COLUMNS
from ...inference.bulk.rows import Chunk
from ...inference.bulk.sources import open_source

logger = logging.getLogger(__name__)

_FORMATS = (".csv", ".tsv", ".jsonl", ".parquet", ".txt")
_CHUNK = 4096


def stream_texts(
    path: str | Path,
    text_column: str | None = None,
    limit: int | None = None,
    leave_out: frozenset[str] | set[str] = frozenset(),
) -> Iterator[str]:
    """The texts of a file, one at a time; the file is never in memory as a whole.

    Rows without a text, rows that cannot be read and the texts in `leave_out` are skipped. A
    warning at the end says how many.

    Args:
        path: .csv, .tsv (no quoting), .jsonl, .parquet, or .txt with one text per line.
        text_column: the column of texts.
        limit: at most this many texts.
        leave_out: texts that must not be used, white space aside: the labeled ones.

    Raises:
        UserError: a missing file or column, an unknown format, or a file that cannot be read.
    """
    file = Path(path)
    if file.suffix not in _FORMATS:
        raise UserError(f"{file}: the format must be one of {', '.join(_FORMATS)}.")
    if not file.is_file():
        raise UserError(f"There is no file {file} (--unlabeled_file).")
    values = _lines(file) if file.suffix == ".txt" else _column_values(file, text_column)
    return islice(_usable(file, values, {_plain(text) for text in leave_out}), limit)


def _usable(file: Path, values: Iterator[Any], leave_out: set[str]) -> Iterator[str]:
    empty = labeled = 0
    for text in values:
        if not isinstance(text, str) or not text.strip():
            empty += 1
        elif _plain(text) in leave_out:
            labeled += 1
        else:
            yield text
    _warn(file, empty, "have no text")
    _warn(file, labeled, "are among the labeled texts")


def _lines(file: Path) -> Iterator[str]:
    try:
        with file.open(encoding="utf-8-sig") as stream:
            yield from (line.rstrip("\n") for line in stream)
    except UnicodeDecodeError as error:
        raise UserError(f"{file} cannot be read: it is not UTF-8 ({error.reason}).") from error


def _column_values(file: Path, asked: str | None) -> Iterator[Any]:
    source = open_source(str(file))
    column, unreadable = None, 0
    for chunk in source.chunks(_CHUNK):
        unreadable += len(chunk.unreadable)
        if len(chunk.rows):
            column = column or _text_column(file, source.columns, chunk, asked)
            yield from chunk.rows.values(column)
    if column is None:
        raise UserError(f"{file} has no rows.")
    _warn(file, unreadable, "cannot be read")


def _text_column(file: Path, columns: list[str], chunk: Chunk, asked: str | None) -> str:
    """The column that was asked for, the one with a known name, or the only one with texts."""
    option = "Set --unlabeled_text_column"
    if asked is not None and asked not in columns:
        near = did_you_mean(asked, columns)
        raise UserError(
            f"{file} has no column {asked!r}{near}; it has {quoted(columns)}. {option}."
        )
    named = [name for name in columns if name.lower() in TEXT_COLUMNS]
    found = named or [c for c in columns if any(isinstance(v, str) for v in chunk.rows.values(c))]
    if asked is None and len(found) != 1:
        raise UserError(
            f"{file}: which column holds the texts? {option} to one of {quoted(columns)}."
        )
    return asked or found[0]


def _warn(file: Path, count: int, why: str) -> None:
    if count:
        logger.warning("%s: %s rows %s and are left out.", file, f"{count:,}", why)


def _plain(text: str) -> str:
    return " ".join(text.split())


def altered_copies(
    texts: Sequence[str],
    fold_of_row: np.ndarray,
    copies: int,
    word_dropout: float = 0.15,
    mixing: float = 0.5,
    seed: int = 0,
) -> tuple[list[str], np.ndarray]:
    """Texts near the training texts, for the teacher to score.

    A copy leaves words out at random. A share of the copies joins about half of the text with
    about half of another text of the same fold. Copies have no labels: the teacher scores them.

    Args:
        texts: the training texts.
        fold_of_row: (rows,) fold of each; a mixed copy stays within a fold, so that a model which
            saw neither text can score it.
        copies: copies of each text.
        word_dropout: probability that a word is left out.
        mixing: share of the mixed copies.
        seed: equal seeds make equal copies.

    Returns:
        The copies, without repeated ones and without training texts, and the fold of each.
    """
    generator = np.random.default_rng(seed)
    words = [text.split() for text in texts]
    members = {fold: np.flatnonzero(fold_of_row == fold) for fold in np.unique(fold_of_row)}
    known = {_plain(text) for text in texts}
    made: list[str] = []
    folds: list[int] = []
    for _ in range(copies):
        for row, own in enumerate(words):
            fold = int(fold_of_row[row])
            chosen = own
            if generator.random() < mixing:
                other = words[int(generator.choice(members[fold]))]
                chosen = _part(own, generator) + _part(other, generator)
            kept = [word for word in chosen if generator.random() >= word_dropout]
            text = " ".join(kept)
            if text and text not in known:
                known.add(text)
                made.append(text)
                folds.append(fold)
    return made, np.asarray(folds, np.int64)


def _part(words: list[str], generator: np.random.Generator) -> list[str]:
    """A stretch of about half of the words."""
    size = (len(words) + 1) // 2
    begin = int(generator.integers(len(words) - size + 1))
    return words[begin : begin + size]
