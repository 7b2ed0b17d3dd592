"""Text without labels: a file of any size, streamed, and altered copies of the training texts."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ...common.errors import UserError
from ...data.files.opening import FORMATS
from ...data.files.text import detect_encoding, open_text
from ...data.inventory import plain_text
from ...inference.bulk.rows import choose_text_column
from ...inference.bulk.sources import open_source

logger = logging.getLogger(__name__)

_CHUNK = 4096


def stream_texts(
    path: str | Path,
    text_column: str | None = None,
    limit: int | None = None,
    leave_out: frozenset[str] | set[str] = frozenset(),
) -> Iterator[str]:
    """The texts of a file, one at a time; the file is never in memory as a whole.

    Rows without a text and the texts in `leave_out`, white space aside, are left out. A warning at
    the end counts them. In a .txt file each line is a text.

    Raises:
        UserError: a missing file or column, an unknown format, or a file that cannot be read.
    """
    file = Path(path)
    if file.suffix not in FORMATS:
        raise UserError(f"{file}: the format must be one of {', '.join(FORMATS)}.")
    if not file.is_file():
        raise UserError(f"There is no file {file} (--unlabeled_file).")
    return islice(_texts(file, text_column, {plain_text(text) for text in leave_out}), limit)


def _texts(file: Path, text_column: str | None, leave_out: set[str]) -> Iterator[str]:
    empty = scored = count = 0
    for count, text in enumerate(_values(file, text_column), 1):  # noqa: B007
        if not isinstance(text, str) or not text.strip():
            empty += 1
        elif plain_text(text) in leave_out:
            scored += 1
        else:
            yield text
    if not count:
        raise UserError(f"{file} has no rows.")
    for number, why in ((empty, "have no text"), (scored, "are among the labeled texts")):
        if number:
            logger.warning("%s: %s rows %s and are left out.", file, f"{number:,}", why)


def _values(file: Path, text_column: str | None) -> Iterator[Any]:
    """What stands in the column of texts, row by row; None for a row that cannot be read."""
    if file.suffix == ".txt":
        with open_text(file, detect_encoding(file), None) as stream:
            yield from (line.rstrip("\n") for line in stream)
        return
    source = open_source(str(file), text_column=text_column)
    only = source.columns[0] if len(source.columns) == 1 else None
    column = choose_text_column(source, text_column or only, "--unlabeled_text_column")
    for chunk in source.chunks(_CHUNK):
        yield from [None] * len(chunk.unreadable)
        yield from chunk.rows.values(column)


def altered_copies(
    texts: Sequence[str],
    fold_of_row: np.ndarray,
    copies: int,
    word_dropout: float = 0.15,
    mixing: float = 0.5,
    seed: int = 0,
) -> tuple[list[str], np.ndarray]:
    """Texts near the training texts, for the teacher to score.

    A copy leaves words out at random; a share of the copies is put together from a part of the
    text and a part of another one of the same fold, about half of each. No label is carried over:
    what a copy says is for the teacher to tell.

    Args:
        texts: the training texts.
        fold_of_row: (rows,) fold of each; a mixed copy stays within a fold, so that a model which
            saw neither text can score it.
        copies: copies of each text.
        word_dropout: chance that a word is left out.
        mixing: share of the mixed copies.
        seed: equal seeds make equal copies.

    Returns:
        The different ones among them that are no training texts, and the fold of each.
    """
    generator = np.random.default_rng(seed)
    words = [text.split() for text in texts]
    members = {fold: np.flatnonzero(fold_of_row == fold) for fold in np.unique(fold_of_row)}
    known = {plain_text(text) for text in texts}
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
