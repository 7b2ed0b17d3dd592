"""Labeled texts from a data set or from files, checked row by row, and the splits of a run."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from ..common.errors import DataError, UserError, counted, quoted, shorten, spelled
from .arguments import DataArguments, check_names, check_same_set
from .columns import find_columns, read_label_columns
from .inventory import Inventory, metadata_message, plain_text
from .label_kinds import read_label_cells
from .label_statistics import LabelStatistics
from .names import clean_name, is_blank, near_equal_names
from .tables import Table, read_table, table_from_arrow

logger = logging.getLogger(__name__)

Split = Literal["train", "validation", "test"]

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass
class LabeledTexts:
    """Texts with a set of labels each.

    Attributes:
        texts: The texts, exactly as in their source.
        labels: 0 and 1, shape (rows, labels), int8.
        label_names: Names of the columns of `labels`.
        ids: One identifier per text, if the source has them.
        source: Where the texts come from.
        notes: What was noticed while they were read, such as rows left out.
        inventory: What the source was read as.
        row_numbers: For each text the number of its row as a user sees it in the source.
        unit: What these numbers count, `line` or `row`.
    """

    texts: list[str]
    labels: np.ndarray
    label_names: list[str]
    ids: list[str] | None = None
    source: str = ""
    notes: list[str] = field(default_factory=list)
    inventory: Inventory | None = None
    row_numbers: Sequence[int] = ()
    unit: str = "row"

    def __post_init__(self) -> None:
        self.labels = np.asarray(self.labels, dtype=np.int8)
        self.row_numbers = self.row_numbers or range(1, len(self.texts) + 1)
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
        part = LabeledTexts(
            texts=[self.texts[index] for index in chosen],
            labels=self.labels[chosen],
            label_names=list(self.label_names),
            ids=None if self.ids is None else [self.ids[index] for index in chosen],
            source=self.source,
            notes=list(self.notes),
            row_numbers=[self.row_numbers[index] for index in chosen.tolist()],
            unit=self.unit,
        )
        if self.inventory is not None:
            part.inventory = replace(self.inventory)
            part.inventory.count(part.texts, part.labels, part.label_names)
        return part

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
        arguments: Where the texts are and how they are read.
        split: `train`, `validation` or `test`.
        label_names: The label set that the texts must have, that of the training texts or of a
            finished model, and its order.

    Raises:
        DataError: Something is wrong with a file, a column, a row or a value, or there are no
            training texts; the message says what, where and how to fix it.

    Example:
        >>> rows = [{"text": "فرحان", "labels": ["joy"]}, {"text": "خايف", "labels": ["fear"]}]
        >>> texts = load_labeled_texts(DataArguments(train_file=rows), "train")
        >>> texts.label_names, texts.labels.tolist()
        (['fear', 'joy'], [[0, 1], [1, 0]])
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
    texts = labeled_table(table, arguments, label_names, closed_set=split != "train")
    if texts.inventory and texts.inventory.metadata_columns:
        doubt = metadata_message(texts.source, texts.inventory.metadata_columns)
        raise DataError(f"{doubt}\nIt was read as:\n{texts.inventory.to_text()}")
    if holds_out:
        held_out = _held_out(texts, arguments.validation_fraction or 0.0)
        texts = texts.select(held_out if split == "validation" else ~held_out)
        texts.source += f" ({'held out' if split == 'validation' else 'without the held-out'} rows)"
    if (limit := getattr(arguments, f"max_{split}_samples", None)) is not None:
        texts = texts.select(range(min(len(texts), limit)))
    if split == "train" and texts.inventory:
        texts.notes += texts.inventory.warnings()
    for note in texts.notes:
        logger.warning("%s", spelled(note))
    return texts


def labeled_table(
    table: Table,
    arguments: DataArguments,
    label_names: Sequence[str] | None = None,
    closed_set: bool = False,
) -> LabeledTexts:
    """Return the texts and labels of a table, with the inventory of what was read.

    Columns that look like metadata are read as labels here, and named in the inventory. With
    `closed_set` a further 0/1 column is an error, where the columns are inferred.

    Raises:
        DataError: See `load_labeled_texts`.
    """
    if not len(table):
        of_file = table.facts.get("format") != "memory"
        advice = " Check the extension, and that the header names every column." * of_file
        raise DataError(f"{table.problems.describe('cannot be used')}\nNo row is left.{advice}")
    if label_names is not None:
        label_names = [clean_name(name) for name in label_names]
    order = label_names
    if arguments.label_names and label_names and set(arguments.label_names) == set(label_names):
        label_names = arguments.label_names  # class numbers and vectors count these
    inferred = not (arguments.label_names or arguments.label_columns or arguments.labels_column)
    for name in arguments.ignore_columns or ():
        if name not in table.columns and label_names is None:
            raise table.error(
                f"there is no column {name!r}. The columns are {quoted(table.columns)}. Fix "
                "--ignore_columns."
            )
    columns = find_columns(table, arguments, label_names, closed_set and inferred)
    values, empty = _check_texts(table, columns.text)
    if columns.names is None:
        labels = read_label_columns(table, columns, arguments.positive_from)
        names, kind = list(columns.labels), "columns"
    else:
        labels, names, kind = read_label_cells(table, columns.names, arguments, label_names)
    if order is not None and names != order and set(names) == set(order):
        labels = labels[:, [names.index(name) for name in order]]
        names = list(order)
    ids = None
    if columns.id is not None:
        ids = ["" if value is None else str(value) for value in table.columns[columns.id]]
    inventory = Inventory(
        source=table.source, facts=dict(table.facts), rows=len(table),
        empty_texts=empty, text_column=columns.text, id_column=columns.id, label_format=kind,
        ignored_columns=columns.ignored(table), metadata_columns=list(columns.metadata),
        near_equal_labels=near_equal_names(names), bad_rows=dict(table.problems.kinds),
    )  # fmt: skip
    inventory.rows += table.problems.kinds["unreadable row"]
    inventory.count(values, labels.clip(0), names)
    texts = LabeledTexts(
        values, labels, names, ids, inventory=inventory, row_numbers=table.row_numbers,
        unit=table.problems.unit,
    )  # fmt: skip
    return _usable_rows(table, texts, arguments.on_bad_rows)


def warn_about_overlap(train: LabeledTexts, other: LabeledTexts, name: str = "train") -> np.ndarray:
    """Warn if texts of `other` are texts of an earlier split too, white space aside.

    The number is noted in the inventory of `other`, by the `name` of the earlier split.

    Returns:
        A mask (rows of `other`,) of the texts that occur in `train`.
    """
    known = {plain_text(text) for text in train.texts}
    mask = np.array([plain_text(text) in known for text in other.texts], dtype=bool)
    if mask.any():
        if other.inventory is not None:
            other.inventory.leaked = other.inventory.leaked | {name: int(mask.sum())}
        logger.warning(
            "%s: %s of %s texts are training texts of %s too, such as %s. Scores on them are too "
            f"good: remove them from one of the two, or set {spelled('--drop_leaked')}.",
            other.source,
            f"{mask.sum():,}",
            f"{len(other):,}",
            train.source,
            shorten(other.texts[int(mask.argmax())]),
        )
    return mask


def _has_validation(arguments: DataArguments) -> bool:
    if arguments.train_file is not None or arguments.validation_file is not None:
        return arguments.validation_file is not None
    return _read_hub_split(arguments, "validation") is not None


def _read_split(arguments: DataArguments, split: Split) -> Table | None:
    given = getattr(arguments, f"{split}_file")
    if given is not None and not (isinstance(given, str) and not given):
        return read_table(given, arguments)
    return None if arguments.train_file is not None else _read_hub_split(arguments, split)


def _read_hub_split(arguments: DataArguments, split: Split) -> Table | None:
    if not arguments.dataset_name:
        return None
    from .files.arrow_rows import load_hub_split

    option = f"{split}_split"
    wanted = getattr(arguments, option)
    default = next(known.default for known in fields(arguments) if known.name == option)
    found = load_hub_split(
        arguments.dataset_name, arguments.dataset_config_name, wanted,
        arguments.dataset_revision, split != "train" and wanted in (default, "", None),
    )  # fmt: skip
    return None if found is None else table_from_arrow(*found)


def _check_texts(table: Table, column: str) -> tuple[list[str], int]:
    """Return the texts as they stand, and the number of empty ones.

    An unpaired surrogate (JSON's `"\\ud83d"` alone), which no UTF-8 can hold, is replaced by U+FFFD
    and noted. Texts that are not strings, without a visible character or with a NUL character are
    added to `table.problems`.
    """
    texts = []
    empty = 0
    replaced: list[int] = []
    for index, value in enumerate(table.columns[column]):
        reason, kind = _why_no_text(value)
        if reason is not None:
            table.problems.add(table.row_numbers[index], reason, column, kind)
            empty += kind == "empty text"
            value = ""
        elif not value.isascii() and _SURROGATE.search(value):
            replaced.append(index)
            value = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        texts.append(value)
    if replaced:
        shown = ", ".join(str(table.row_numbers[index]) for index in replaced[:5])
        table.note(
            f"unpaired surrogates (half an emoji) were replaced by U+FFFD in {len(replaced):,} "
            f"texts, column {column!r}, {table.problems.unit}s {shown}"
            f"{' …' if len(replaced) > 5 else ''}."
        )
    return texts, empty


def _why_no_text(value: Any) -> tuple[str | None, str]:
    if value is None:
        return "the text is missing (null)", "empty text"
    if not isinstance(value, str):
        kind = type(value).__name__
        return (
            f"the text is {shorten(value)}, of type {kind}, not a string",
            "text that is not a string",
        )
    if is_blank(value):
        return f"the text {shorten(value)} is empty", "empty text"
    if "\0" in value:
        return f"the text {shorten(value)} holds a NUL character", "text with a NUL character"
    return None, ""


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
            "Fix them, or leave them out by --on_bad_rows skip."
        )
    good = [i for i, row in enumerate(table.row_numbers) if row not in problems.rows]
    if len(good) < len(problems.rows):
        raise DataError(
            f"{problems.describe('cannot be used')}\n"
            f"That is more than half ({len(good):,} are good), too many to leave out. Check the "
            "columns (--text_column, --label_columns, --labels_column) and the file."
        )
    texts = texts.select(good)
    verb = "was" if len(problems.rows) == 1 else "were"
    texts.notes.append(problems.describe(f"{verb} left out"))
    return texts


def _held_out(texts: LabeledTexts, fraction: float) -> np.ndarray:
    """Return a mask (rows,) of the texts with the smallest hashes; equal texts stay together."""
    hashes = [hashlib.sha256(plain_text(text).encode("utf-8")).digest() for text in texts.texts]
    distinct = sorted(set(hashes))
    if len(distinct) < 2:
        raise DataError(
            f"{texts.source}: {len(distinct)} different text is too few for "
            "--validation_fraction. Give --validation_file, or more texts."
        )
    count = min(max(1, round(fraction * len(distinct))), len(distinct) - 1)
    last = distinct[count - 1]
    return np.array([digest <= last for digest in hashes], dtype=bool)


@dataclass
class DataSplits:
    """What is known of the splits themselves.

    Attributes:
        splits: labeled texts by split: train, and validation and test where they are given.
    """

    splits: dict[str, LabeledTexts]

    @property
    def label_names(self) -> list[str]:
        """The labels, in the order of the logits."""
        return self.splits["train"].label_names

    @property
    def held_out_splits(self) -> list[str]:
        """The splits that are only scored."""
        return [split for split in ("validation", "test") if split in self.splits]

    @property
    def report(self) -> str:
        """What each split was read as, for people."""
        found = [texts.inventory for texts in self.splits.values() if texts.inventory]
        return "\n".join(inventory.to_text() for inventory in found)

    @cached_property
    def statistics(self) -> LabelStatistics:
        """Label statistics of the training split."""
        train = self.splits["train"]
        return LabelStatistics.from_labels(train.labels, train.label_names)


def load_splits(
    arguments: DataArguments, label_names: Sequence[str] | None = None
) -> dict[str, LabeledTexts]:
    """Read and check every split, and count the texts that occur in an earlier one.

    With `arguments.drop_leaked` these texts are left out; else the inventories note them. Without
    `label_names` the labels are those of the training split.

    Raises:
        UserError: no training texts, or a row that cannot be used.
    """
    train = load_labeled_texts(arguments, "train", label_names)
    assert train is not None
    splits = {"train": train}
    for split in ("validation", "test"):
        texts = load_labeled_texts(arguments, split, label_names or train.label_names)
        if texts is None:
            continue
        leaked = np.zeros(len(texts), dtype=bool)
        for earlier, known in splits.items():
            leaked |= warn_about_overlap(known, texts, earlier)
        if arguments.drop_leaked and leaked.any():
            if leaked.all():
                raise UserError(
                    f"{texts.source}: every text also occurs in an earlier split, so "
                    "--drop_leaked leaves none. Give other texts."
                )
            texts = texts.select(~leaked)
            assert texts.inventory is not None
            texts.inventory.leaked = {}
            texts.notes.append(
                f"{texts.source}: left out {counted(int(leaked.sum()), 'text')} of an earlier "
                "split (--drop_leaked)."
            )
        elif texts.inventory is not None:
            texts.inventory.leaked_texts = int(leaked.sum())
        splits[split] = texts
    return splits
