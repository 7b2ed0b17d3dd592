"""Labeled texts from a Hub data set or from files, checked row by row."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..common.errors import DataError, did_you_mean, quoted, shorten
from .arguments import DataArguments, check_names, check_same_set
from .checks import check_texts, read_label_columns, read_label_lists
from .columns import ID_COLUMNS, find_column, find_columns, find_text_column
from .files import Table, read_table, table_from_arrow

__all__ = [
    "DataArguments",
    "LabeledTexts",
    "Split",
    "load_labeled_texts",
    "load_texts",
    "warn_about_overlap",
]

logger = logging.getLogger(__name__)
_COMMIT = re.compile(r"[0-9a-f]{40}")

Split = Literal["train", "validation", "test"]


@dataclass
class LabeledTexts:
    """Texts with a set of labels each.

    Attributes:
        texts: The texts, exactly as in their source.
        labels: 0 and 1, shape (rows, labels), int8.
        label_names: Names of the columns of `labels`.
        ids: One identifier a text, if the source has them.
        source: Where the texts come from.
        notes: What was noticed while they were read, such as rows left out.
    """

    texts: list[str]
    labels: np.ndarray
    label_names: list[str]
    ids: list[str] | None = None
    source: str = ""
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.labels = np.asarray(self.labels, dtype=np.int8)
        shape = (len(self.texts), len(self.label_names))
        if self.labels.shape != shape:
            raise ValueError(f"labels have shape {self.labels.shape}, texts and names need {shape}")
        if self.ids is not None and len(self.ids) != len(self.texts):
            raise ValueError(f"there are {len(self.ids)} ids for {len(self.texts)} texts")

    def __len__(self) -> int:
        return len(self.texts)

    def select(self, indices: Sequence[int] | np.ndarray) -> LabeledTexts:
        """Return the rows at `indices` (or where a boolean mask is true), in that order."""
        chosen = np.asarray(indices)
        chosen = np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(np.int64)
        return LabeledTexts(
            texts=[self.texts[index] for index in chosen],
            labels=self.labels[chosen],
            label_names=list(self.label_names),
            ids=None if self.ids is None else [self.ids[index] for index in chosen],
            source=self.source,
            notes=list(self.notes),
        )

    def fingerprint(self) -> str:
        """Return a SHA-256 of texts, label names and labels, the same on every machine."""
        digest = hashlib.sha256()
        for strings in (self.label_names, self.texts):
            digest.update(len(strings).to_bytes(8, "little"))
            for string in strings:
                content = string.encode("utf-8", "surrogatepass")
                digest.update(len(content).to_bytes(8, "little"))
                digest.update(content)
        digest.update(np.ascontiguousarray(self.labels).tobytes())
        return digest.hexdigest()


def load_labeled_texts(
    arguments: DataArguments, split: Split, label_names: Sequence[str] | None = None
) -> LabeledTexts | None:
    """Return the checked texts and labels of a split, or None if there is none.

    Args:
        arguments: Where the texts are and which columns are read.
        split: `train`, `validation` or `test`.
        label_names: The label set that the texts must have, that of the training texts or of a
            finished model, and its order.

    Returns:
        The texts, or None for `validation` and `test` if neither a file nor a split is there.

    Raises:
        DataError: Something is wrong with a file, a column, a row or a value; the message says
            what, where and how to mend it.
    """
    if arguments.label_names and label_names is not None:
        check_same_set("--label_names", arguments.label_names, "the label set", label_names)
    if label_names is None:
        label_names = arguments.label_names
    else:
        check_names("label_names", label_names)
    table = _read_split(arguments, split)
    holds_out = (
        arguments.validation_fraction is not None
        and split != "test"
        and (table is None if split == "validation" else not _has_validation(arguments))
    )
    if split == "validation" and holds_out:
        table = _read_split(arguments, "train")
    if table is None:
        if split == "train":
            raise DataError("There are no training texts. Set --train_file or --dataset_name.")
        return None
    texts = _checked(table, arguments, label_names, split)
    if holds_out:
        held_out = _held_out(texts, arguments.validation_fraction or 0.0)
        texts = texts.select(held_out if split == "validation" else ~held_out)
        texts.source += f" ({'held out' if split == 'validation' else 'without the held-out'} rows)"
    limit = {"train": arguments.max_train_samples, "validation": arguments.max_validation_samples}
    if limit.get(split) is not None:
        texts = texts.select(range(min(len(texts), limit[split] or 0)))
    if split == "train":
        _note_constant_labels(texts)
    for note in texts.notes:
        logger.warning("%s", note)
    return texts


def load_texts(
    path: str | Path,
    text_column: str | None = None,
    id_column: str | None = None,
    on_bad_rows: Literal["error", "skip"] = "error",
    delimiter: str | None = None,
    quoting: Literal["auto", "csv", "none"] = "auto",
) -> LabeledTexts:
    """Return the texts of a file without any label, for prediction.

    Labels have shape (rows, 0). The arguments are those of `DataArguments`.

    Raises:
        DataError: Something is wrong with the file or a text.
    """
    table = read_table(path, delimiter, quoting)
    _stop_if_all_bad(table)
    column = find_text_column(table, text_column)
    values, _ = check_texts(table, column)
    no_labels = np.zeros((len(values), 0), dtype=np.int8)
    ids = _read_ids(table, id_column, column)
    texts = _usable_rows(table, LabeledTexts(values, no_labels, [], ids), on_bad_rows)
    for note in texts.notes:
        logger.warning("%s", note)
    return texts


def warn_about_overlap(train: LabeledTexts, other: LabeledTexts) -> int:
    """Warn if texts of `other` are training texts too (white space aside), and count them.

    Returns:
        The number of rows of `other` whose text occurs in `train`.
    """
    known = {" ".join(text.split()) for text in train.texts}
    rows = [i for i, text in enumerate(other.texts) if " ".join(text.split()) in known]
    if rows:
        logger.warning(
            "%s: %s of %s texts are training texts of %s too, such as %s. Scores on them are too "
            "good: remove them from one of the two.",
            other.source,
            f"{len(rows):,}",
            f"{len(other):,}",
            train.source,
            shorten(other.texts[rows[0]]),
        )
    return len(rows)


def _has_validation(arguments: DataArguments) -> bool:
    if arguments.train_file or arguments.validation_file:
        return bool(arguments.validation_file)
    return _read_hub_split(arguments, "validation") is not None


def _read_split(arguments: DataArguments, split: Split) -> Table | None:
    path = getattr(arguments, f"{split}_file")
    if path:
        return read_table(path, arguments.delimiter, arguments.quoting)
    return None if arguments.train_file else _read_hub_split(arguments, split)


def _read_hub_split(arguments: DataArguments, split: Split) -> Table | None:
    if not arguments.dataset_name:
        return None
    import datasets

    name, config = arguments.dataset_name, arguments.dataset_config_name
    described = f"{name} ({config})" if config else name
    try:
        splits = datasets.load_dataset(name, config, revision=arguments.dataset_revision)
    except Exception as error:  # the library raises a dozen kinds, from requests' to pyarrow's
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise DataError(
            f"The data set {described} cannot be loaded: {reason[0]} Check --dataset_name, "
            "--dataset_config_name, --dataset_revision and the network, or give files by "
            "--train_file, --validation_file and --test_file."
        ) from error
    option = f"{split}_split"
    wanted = getattr(arguments, option)
    if wanted not in splits:
        default = next(known.default for known in fields(arguments) if known.name == option)
        if split != "train" and wanted in (default, "", None):
            return None
        raise DataError(
            f"The data set {described} has no split {wanted!r}{did_you_mean(wanted, splits)}. "
            f"Its splits are {quoted(splits)}. Set --{option} to one of them."
        )
    _check_commit(splits[wanted], described, arguments.dataset_revision)
    arrow_table = splits[wanted].with_format("arrow")[:]
    features = splits[wanted].features.arrow_schema.metadata
    return table_from_arrow(
        arrow_table.replace_schema_metadata(features), f"{described}, split {wanted}"
    )


def _check_commit(rows: Any, described: str, revision: str | None) -> None:
    """Refuse rows of another commit than the one that is pinned.

    Without the Hub, `datasets` takes the newest rows of its cache, whatever revision is asked for;
    the folder they are in is named after their commit.
    """
    files = [Path(entry["filename"]) for entry in rows.cache_files]
    if not (files and revision and _COMMIT.fullmatch(revision)):
        return
    found = files[0].parent.name
    if _COMMIT.fullmatch(found) and found != revision:
        raise DataError(
            f"The data set {described} is in the cache at the commit {found}, not at {revision}, "
            "and the Hub cannot be reached. Set --dataset_revision to that commit, or load the "
            "other one once with a network."
        )


def _checked(
    table: Table, arguments: DataArguments, label_names: Sequence[str] | None, split: Split
) -> LabeledTexts:
    _stop_if_all_bad(table)
    inferred = not (arguments.label_names or arguments.label_columns or arguments.labels_column)
    columns = find_columns(
        table,
        text_column=arguments.text_column,
        label_columns=arguments.label_columns,
        labels_column=arguments.labels_column,
        label_names=label_names,
        closed_set=inferred and split != "train",
    )
    values, _ = check_texts(table, columns.text)
    if columns.names is None:
        labels = read_label_columns(table, columns)
        names = list(columns.labels)
    else:
        labels, names = read_label_lists(
            table, columns.names, arguments.label_separator, label_names
        )
    ids = _read_ids(table, arguments.id_column, columns.text)
    return _usable_rows(table, LabeledTexts(values, labels, names, ids), arguments.on_bad_rows)


def _read_ids(table: Table, id_column: str | None, text: str) -> list[str] | None:
    if id_column is None:
        found = [name for name in table.columns if name.lower() in ID_COLUMNS and name != text]
        if len(found) != 1:
            return None
        id_column = found[0]
    column = find_column(table, id_column, "id_column")
    return ["" if value is None else str(value) for value in table.columns[column]]


def _stop_if_all_bad(table: Table) -> None:
    if not len(table):
        raise DataError(f"{table.problems.describe('cannot be used')}\nNo row is left.")


def _usable_rows(table: Table, texts: LabeledTexts, on_bad_rows: str) -> LabeledTexts:
    """Return the rows without a problem, with the notes of the table.

    Raises:
        DataError: There are problems, and they may not be skipped or are too many.
    """
    problems = table.problems
    texts.source = table.source
    texts.notes = list(problems.notes)
    if not problems:
        return texts
    if on_bad_rows != "skip":
        raise DataError(
            f"{problems.describe('cannot be used')}\n"
            "Mend them, or leave them out by --on_bad_rows skip."
        )
    good = [i for i, row in enumerate(table.row_numbers) if row not in problems.rows]
    if len(good) < len(problems.rows):
        raise DataError(
            f"{problems.describe('cannot be used')}\n"
            f"That is more than half ({len(good):,} are good), too many to leave out. Check the "
            "columns (--text_column, --label_columns, --labels_column) and the file."
        )
    texts = texts.select(good)
    texts.notes.append(problems.describe("were left out"))
    return texts


def _held_out(texts: LabeledTexts, fraction: float) -> np.ndarray:
    """Return a mask (rows,) of the texts with the smallest hashes; equal texts stay together."""
    hashes = [
        hashlib.sha256(" ".join(text.split()).encode("utf-8")).digest() for text in texts.texts
    ]
    distinct = sorted(set(hashes))
    if len(distinct) < 2:
        raise DataError(
            f"{texts.source}: {len(distinct)} different text is too few for "
            "--validation_fraction. Give --validation_file, or more texts."
        )
    count = min(max(1, round(fraction * len(distinct))), len(distinct) - 1)
    last = distinct[count - 1]
    return np.array([digest <= last for digest in hashes], dtype=bool)


def _note_constant_labels(texts: LabeledTexts) -> None:
    positives = texts.labels.sum(axis=0, dtype=np.int64)
    for count, described in ((0, "no positive row"), (len(texts), "positive rows only")):
        constant = [
            name for name, n in zip(texts.label_names, positives, strict=True) if n == count
        ]
        if constant:
            texts.notes.append(
                f"{texts.source}: {described} for {quoted(constant)}: nothing can be learned for "
                "it. Add examples, or leave the label out by --label_names."
            )
