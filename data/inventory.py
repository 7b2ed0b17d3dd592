"""What was read of a file or split: its texts, labels, columns and doubts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ..common.errors import counted, quoted, shorten
from .label_cells import FORMAT_NAMES


@dataclass
class Inventory:
    """What a file or split was read as.

    Attributes:
        source: Path, or description of a data set.
        facts: How it was read: format, encoding, delimiter, the commit of a Hub data set.
        rows: Rows in the source, bad ones included.
        texts: Texts that are used.
        empty_texts: Rows without a text.
        duplicate_texts: Texts that occur earlier in the same split, white space aside.
        text_column: The column of texts.
        id_column: The column of identifiers.
        label_format: How the labels were read: `columns`, `names`, `multi_hot` or `ids`.
        labels: Number of texts with each label.
        ignored_columns: Columns that were not read.
        metadata_columns: 0/1 columns read as labels that look like metadata.
        near_equal_labels: Pairs of labels that differ only by case, diacritics or similar.
        bad_rows: Number of problems by kind.
        leaked: Number of texts that also occur in an earlier split, by that split's name.
        leaked_texts: Number of texts that occur in any earlier split.
        folds_without_positives: Of the training split: labels that no text of a fold has, by fold.
    """

    source: str
    facts: dict[str, Any] = field(default_factory=dict)
    rows: int = 0
    texts: int = 0
    empty_texts: int = 0
    duplicate_texts: int = 0
    text_column: str = ""
    id_column: str | None = None
    label_format: str = ""
    labels: dict[str, int] = field(default_factory=dict)
    ignored_columns: list[str] = field(default_factory=list)
    metadata_columns: list[str] = field(default_factory=list)
    near_equal_labels: list[tuple[str, str]] = field(default_factory=list)
    bad_rows: dict[str, int] = field(default_factory=dict)
    leaked: dict[str, int] = field(default_factory=dict)
    leaked_texts: int = 0
    folds_without_positives: dict[str, list[str]] = field(default_factory=dict)

    def count(self, texts: Sequence[str], labels: np.ndarray, label_names: Sequence[str]) -> None:
        """Count the texts that are used, and their labels, (texts, labels) of 0 and 1."""
        self.texts = len(texts)
        self.duplicate_texts = len(texts) - len({plain_text(text) for text in texts})
        counts = labels.sum(axis=0, dtype=np.int64).tolist()
        self.labels = dict(zip(label_names, counts, strict=True))

    def count_folds(self, labels: np.ndarray, fold_of_row: np.ndarray) -> None:
        """Note the labels that a fold lacks; `fold_of_row` is the fold of each text, (texts,)."""
        self.folds_without_positives = {}
        for fold in np.unique(fold_of_row):
            positives = labels[fold_of_row == fold].sum(axis=0)
            lacking = [name for name, n in zip(self.labels, positives, strict=True) if not n]
            if lacking:
                self.folds_without_positives[f"fold_{fold}"] = lacking

    @property
    def shares(self) -> dict[str, float]:
        """Share of the texts with each label."""
        return {name: count / max(self.texts, 1) for name, count in self.labels.items()}

    @property
    def without_positives(self) -> list[str]:
        """Labels that no text has."""
        return [name for name, count in self.labels.items() if not count]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self) | {
            "near_equal_labels": [list(pair) for pair in self.near_equal_labels],
            "shares": {name: round(share, 6) for name, share in self.shares.items()},
            "labels_without_positives": self.without_positives,
        }

    def warnings(self) -> list[str]:
        """Return what is doubtful, one sentence or two each."""
        found = []
        if self.metadata_columns:
            found.append(metadata_message(self.source, self.metadata_columns))
        if self.near_equal_labels:
            pairs = "; ".join(f"{one!r} and {other!r}" for one, other in self.near_equal_labels)
            found.append(
                f"{self.source}: these labels differ only by case, diacritics, punctuation or "
                f"forms of a letter: {pairs}. If they are the same label, write them alike."
            )
        for count, described in ((0, "no positive row"), (self.texts, "positive rows only")):
            constant = [name for name, positives in self.labels.items() if positives == count]
            if constant and self.texts:
                found.append(
                    f"{self.source}: {described} for {quoted(constant)}: nothing can be learned "
                    "for it. Add examples, or leave the label out by --label_names."
                )
        return found

    def to_text(self) -> str:
        """Return the inventory for people, one fact per line."""
        how = ", ".join(
            f"{name} {value!r}" if name == "delimiter" else f"{name} {value}"
            for name, value in self.facts.items()
            if value is not None and not isinstance(value, dict | list)
        )
        lines = [
            f"{self.source} ({how})" if how else self.source,
            f"  rows             {self.rows:,}",
            (
                f"  texts            {self.texts:,}, column {self.text_column!r}; "
                f"{counted(self.duplicate_texts, 'duplicate')}, {self.empty_texts:,} empty"
            ),
        ]
        if self.label_format:
            lines.append(f"  labels           {len(self.labels):,}, read as "
                         f"{FORMAT_NAMES[self.label_format]} ({self.label_format})")  # fmt: skip
        width = max(map(len, self.labels), default=0)
        shares = self.shares
        lines += [
            f"    {name:<{width}}  {count:>7,}  {100 * shares[name]:5.1f} %"
            for name, count in self.labels.items()
        ]
        for title, values in (
            ("no positive text", [repr(name) for name in self.without_positives]),
            (
                "folds without",
                [
                    f"{fold}: {quoted(names)}"
                    for fold, names in self.folds_without_positives.items()
                ],
            ),
            ("ignored columns", [repr(name) for name in self.ignored_columns]),
            ("maybe metadata", [repr(name) for name in self.metadata_columns]),
            ("bad rows", [f"{count:,} {kind}" for kind, count in self.bad_rows.items()]),
            (
                "leaked texts",
                [f"{count:,} also in {split}" for split, count in self.leaked.items()],
            ),
        ):
            if values:
                lines.append(f"  {title:<16} {', '.join(values)}")
        return "\n".join(lines)


def metadata_message(source: str, columns: Sequence[str]) -> str:
    """Say that 0/1 columns look like metadata, and which options settle it."""
    return (
        f"{source}: the 0/1 columns {quoted(columns)} look like metadata by their names, and would "
        "become labels. Name the labels by --label_columns or --label_names, or leave columns "
        f"out: --ignore_columns {' '.join(map(shorten, columns))}."
    )


def plain_text(text: str) -> str:
    """Return a text as texts are compared: with single spaces."""
    return " ".join(text.split())
