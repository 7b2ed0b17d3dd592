"""Text without labels: a file of any size, streamed, and altered copies of the training texts."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from ...common.errors import UserError, did_you_mean, quoted
from ...data.columns import TEXT_COLUMNS

logger = logging.getLogger(__name__)

_CSV: dict[str, dict[str, Any]] = {
    ".csv": {"sep": ","},
    ".tsv": {"sep": "\t", "quoting": csv.QUOTE_NONE},
}
_READERS = {".jsonl": "json", ".parquet": "parquet", ".txt": "text"}
_FORMATS = (*_CSV, *_READERS)
_CHUNK = 4096


def stream_texts(
    path: str | Path,
    text_column: str | None = None,
    limit: int | None = None,
    leave_out: frozenset[str] | set[str] = frozenset(),
) -> Iterator[str]:
    """The texts of a file, one at a time; the file is never in memory as a whole.

    Rows without a text are left out and counted, and so are the texts in `leave_out`; both are
    told at the end.

    Args:
        path: .csv, .tsv (no quoting), .jsonl, .parquet, or .txt with one text a line.
        text_column: the column of texts.
        limit: at most so many texts.
        leave_out: texts that must not be used, white space aside: the labeled ones.

    Raises:
        UserError: a missing file or column, an unknown format, or a file that cannot be read.
    """
    file = Path(path)
    if file.suffix not in _FORMATS:
        raise UserError(f"{file}: the format must be one of {', '.join(_FORMATS)}.")
    if not file.is_file():
        raise UserError(f"There is no file {file} (--unlabeled_file).")
    return islice(_texts(file, text_column, {_plain(text) for text in leave_out}), limit)


def _texts(file: Path, text_column: str | None, leave_out: set[str]) -> Iterator[str]:
    empty = scored = 0
    try:
        rows = _rows(file)
        first = next(rows, None)
        if first is None:
            raise UserError(f"{file} has no rows.")
        column = _column(file, first, text_column)
        for row in chain([first], rows):
            text = row[column]
            if not isinstance(text, str) or not text.strip():
                empty += 1
            elif _plain(text) in leave_out:
                scored += 1
            else:
                yield text
    except UserError:
        raise
    except Exception as error:  # the library raises kinds of its own, of pyarrow and of pandas
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(f"{file} cannot be read: {reason[0]}") from error
    for count, why in ((empty, "have no text"), (scored, "are among the labeled texts")):
        if count:
            logger.warning("%s: %s rows %s and are left out.", file, f"{count:,}", why)


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file; those of CSV and TSV as text, whatever they look like."""
    if file.suffix in _CSV:
        import pandas

        parts = pandas.read_csv(
            file, dtype=str, keep_default_na=False, chunksize=_CHUNK, **_CSV[file.suffix]
        )
        for part in parts:
            yield from part.to_dict("records")
        return
    import datasets

    yield from datasets.load_dataset(
        _READERS[file.suffix], data_files=str(file), split="train", streaming=True
    )


def _column(file: Path, row: dict[str, Any], asked: str | None) -> str:
    if asked is not None:
        if asked not in row:
            raise UserError(
                f"{file} has no column {asked!r}{did_you_mean(asked, row)}; it has {quoted(row)}. "
                "Set --unlabeled_text_column."
            )
        return asked
    found = [name for name in row if name.lower() in TEXT_COLUMNS]
    if len(found) == 1:
        return found[0]
    strings = [name for name, value in row.items() if isinstance(value, str)]
    if len(strings) == 1:
        return strings[0]
    raise UserError(
        f"{file}: which column holds the texts? Set --unlabeled_text_column to one of "
        f"{quoted(row)}."
    )


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
