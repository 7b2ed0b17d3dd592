"""Options that say where the labeled texts are and which of their columns are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from ..common.errors import DataError, quoted, shorten


@dataclass
class DataArguments:
    """Where the labeled texts are and which of their columns are read.

    If `train_file` is given, only files are read and `dataset_name` is not looked at: a recipe may
    name a Hub data set, and the command line may replace it by files. Without `train_file`, a
    file replaces its split of the data set.

    Raises:
        DataError: Two options contradict each other, or a value is out of range.
    """

    dataset_name: str | None = field(
        default=None, metadata={"help": "Data set on the Hub, or a folder that datasets can load."}
    )
    dataset_config_name: str | None = field(
        default=None, metadata={"help": "Configuration of the data set, such as subtask5.arabic."}
    )
    dataset_revision: str | None = field(
        default=None, metadata={"help": "Branch, tag or commit of the data set."}
    )
    train_file: str | None = field(
        default=None,
        metadata={"help": "Training texts: .csv, .tsv, .txt (tabs, no quotes), .jsonl, .json or "
                  ".parquet."},
    )  # fmt: skip
    validation_file: str | None = field(
        default=None, metadata={"help": "Validation texts, in one of the same formats."}
    )
    test_file: str | None = field(
        default=None, metadata={"help": "Test texts, in one of the same formats."}
    )
    train_split: str = field(
        default="train", metadata={"help": "Split of the data set to train on."}
    )
    validation_split: str = field(
        default="validation",
        metadata={"help": "Split of the data set to validate on; may be absent if not set."},
    )
    test_split: str = field(
        default="test", metadata={"help": "Split of the data set to test on; as above."}
    )
    text_column: str | None = field(
        default=None,
        metadata={"help": "Column of texts. Default: the one called text, Tweet, sentence, …, or "
                  "the only column of strings."},
    )  # fmt: skip
    label_columns: list[str] | None = field(
        default=None,
        metadata={"help": "Columns of 0 and 1, one a label. Default: all such columns."},
    )
    labels_column: str | None = field(
        default=None,
        metadata={"help": "One column of label names: lists, or names between separators. Default: "
                  "the one called labels, label, emotions or emotion."},
    )  # fmt: skip
    label_separator: str = field(
        default=",", metadata={"help": "What stands between two names in the column of labels."}
    )
    label_names: list[str] | None = field(
        default=None,
        metadata={"help": "The labels and their order. Default: those of the training texts, in "
                  "the order of their columns, or sorted if they are names in one column."},
    )  # fmt: skip
    id_column: str | None = field(
        default=None,
        metadata={"help": "Column of identifiers. Default: the one called id, if any."},
    )
    delimiter: str | None = field(
        default=None,
        metadata={"help": "Character between two fields, or 'tab'. Default: comma in .csv, tab in "
                  ".tsv and .txt."},
    )  # fmt: skip
    quoting: Literal["auto", "csv", "none"] = field(
        default="auto",
        metadata={"help": "csv: a field may stand in double quotes; none: a quotation mark is "
                  "text. Default: csv in .csv, none in .tsv and .txt."},
    )  # fmt: skip
    max_train_samples: int | None = field(
        default=None, metadata={"help": "Use only the first training texts, for a quick trial."}
    )
    max_validation_samples: int | None = field(
        default=None, metadata={"help": "Use only the first validation texts, for a quick trial."}
    )
    on_bad_rows: Literal["error", "skip"] = field(
        default="error",
        metadata={"help": "error: stop at rows that cannot be used; skip: leave them out and say "
                  "which, unless they are more than half of all rows."},
    )  # fmt: skip
    validation_fraction: float | None = field(
        default=None,
        metadata={"help": "Share of the training texts to hold out if no validation texts are "
                  "given. Chosen by a hash of each text: always the same texts, and equal texts "
                  "stay together. Default: nothing is held out."},
    )  # fmt: skip

    def __post_init__(self) -> None:
        for known in fields(self):
            value = getattr(self, known.name)
            if known.name in ("label_columns", "label_names") and value is not None:
                check_names(known.name, value)
            if known.name.startswith("max_") and value is not None and value < 1:
                raise DataError(f"--{known.name} is {value}. Give a number of texts from 1 up.")
        if self.label_columns is not None and self.labels_column is not None:
            raise DataError(
                "--label_columns and --labels_column exclude each other: the labels are either "
                "columns of 0 and 1, or names in one column."
            )
        if self.label_columns and self.label_names:
            check_same_set("--label_names", self.label_names, "--label_columns", self.label_columns)
        for name, allowed in (("on_bad_rows", ("error", "skip")),
                              ("quoting", ("auto", "csv", "none"))):  # fmt: skip
            if getattr(self, name) not in allowed:
                given = getattr(self, name)
                raise DataError(f"--{name} is {given!r}. Use one of {', '.join(allowed)}.")
        if self.validation_fraction is not None and not 0 < self.validation_fraction < 1:
            raise DataError(
                f"--validation_fraction is {self.validation_fraction}. Use 0 < number < 1."
            )
        if not self.label_separator:
            raise DataError("--label_separator is empty. Give the character between two names.")
        if self.delimiter in ("tab", "\\t"):
            self.delimiter = "\t"
        if self.delimiter is not None and (
            len(self.delimiter) != 1 or self.delimiter in '\r\n"\0' or not self.delimiter.strip(" ")
        ):
            raise DataError(
                f"--delimiter is {self.delimiter!r}. Give one character, such as ';', or 'tab'."
            )


def check_names(option: str, names: Any) -> None:
    """Raise `DataError` unless `names` is a list of different, non-empty strings."""
    if isinstance(names, str) or not all(isinstance(name, str) and name for name in names):
        raise DataError(f"--{option} is {shorten(names)}. Give a list of names (strings).")
    if not names:
        raise DataError(f"--{option} is an empty list. Leave it out, or give at least one name.")
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise DataError(f"--{option} names {quoted(twice)} more than once. Remove the duplicates.")


def check_same_set(one: str, ones: Sequence[str], other: str, others: Sequence[str]) -> None:
    """Raise `DataError` unless both hold the same names, in whatever order."""
    if set(ones) != set(others):
        differing = sorted(set(ones) ^ set(others))
        raise DataError(
            f"{one} ({quoted(ones)}) and {other} ({quoted(others)}) must hold the same labels; "
            f"{quoted(differing)} is in one of them only."
        )
