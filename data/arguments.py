"""Options that say where the labeled texts are and how they are read, the same everywhere."""

# ruff: noqa: RUF009  (option makes a dataclass field)

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal, get_args

from ..common.errors import DataError, quoted, shorten
from ..common.settings import option
from .names import clean_name, why_no_name

FILE_OPTIONS = ("column_names", "delimiter", "quoting", "encoding", "sheet")
"""Options of opening a file."""
LABEL_OPTIONS = (
    "label_columns", "labels_column", "label_names", "label_format", "label_separator",
    "positive_from", "ignore_columns",
)  # fmt: skip
"""Options of finding and reading labels."""
READING_OPTIONS = ("text_column", "id_column", *LABEL_OPTIONS, *FILE_OPTIONS, "on_bad_rows")
"""All options of reading, which train, distill, ablate, tune, evaluate and inspect share."""

DATASET_OPTIONS = {
    "dataset_config_name": "configuration of the data set",
    "dataset_split": "split of the data set; default: the only one",
    "dataset_revision": "commit, tag or branch of the data set",
}
"""Options of the commands that read one split of a data set, with their help."""

LabelFormat = Literal["names", "multi_hot", "ids", "columns"]
Quoting = Literal["auto", "csv", "none"]
OnBadRows = Literal["error", "skip"]
_CHOICES = {"label_format": LabelFormat, "quoting": Quoting, "on_bad_rows": OnBadRows}
_SIGNS = {"tab": "\t", "\\t": "\t", "newline": "\n", "\\n": "\n"}


@dataclass
class DataArguments:
    """Where the labeled texts are and how they are read.

    From Python, `train_file`, `validation_file` and `test_file` may also be a pandas DataFrame, a
    `datasets.Dataset`, a dictionary of columns or a list of dictionaries.

    If `train_file` is given, only files are read and `dataset_name` is not looked at: a recipe may
    name a Hub data set, and the command line may replace it by files. Without `train_file`, a
    file replaces its split of the data set.

    Raises:
        DataError: Two options contradict each other, or a value is out of range.
    """

    dataset_name: str | None = option(
        None, "data set on the Hub, or a folder that datasets can load or has saved"
    )
    dataset_config_name: str | None = option(
        None, "configuration of the data set, such as subtask5.arabic"
    )
    dataset_revision: str | None = option(
        None, "branch, tag or commit of the data set; the commit that was read is recorded"
    )
    train_file: str | None = option(
        None, "training texts: .csv, .tsv, .txt (tabs), .jsonl, .json, .parquet or .xlsx"
    )
    validation_file: str | None = option(None, "validation texts, in one of the same formats")
    test_file: str | None = option(None, "test texts, in one of the same formats")
    train_split: str = option("train", "split of the data set to train on")
    validation_split: str = option(
        "validation", "split of the data set to validate on, if there is one"
    )
    test_split: str = option("test", "split of the data set to test on, if there is one")
    text_column: str | None = option(
        None, "column of texts; default: the one called text, Tweet, …, or of strings"
    )
    label_columns: list[str] | None = option(
        None, "columns of 0 and 1, one per label; default: all such columns", metavar="NAME"
    )
    labels_column: str | None = option(
        None, "one column of labels; default: the one called labels, label or emotions"
    )
    label_format: LabelFormat | None = option(None, "how labels are written; default: what fits")
    label_separator: str | None = option(
        None, "sign between two names, also tab, newline or ' '; default: found in the column"
    )
    label_names: list[str] | None = option(
        None, "the labels and their order; default: those of the training texts", metavar="NAME"
    )
    positive_from: float | None = option(
        None, "for intensities: the lowest number that means the label is given"
    )
    ignore_columns: list[str] | None = option(
        None, "columns that are neither text nor labels", metavar="NAME"
    )
    id_column: str | None = option(
        None, "column of identifiers; default: the one called id, if any"
    )
    column_names: list[str] | None = option(
        None, "names of all columns, in order, for a file without a header", metavar="NAME"
    )
    delimiter: str | None = option(
        None, "character between two fields, or tab; default: found in the file"
    )
    quoting: Quoting = option(
        "auto", "fields in double quotes; auto: csv in .csv, none in .tsv and .txt"
    )
    encoding: str | None = option(
        None, "encoding of text files, such as WINDOWS-1256; default: UTF-8 or UTF-16"
    )
    sheet: str | None = option(None, "sheet of an Excel file; default: the only one")
    max_train_samples: int | None = option(
        None, "use only the first training texts, for a quick trial"
    )
    max_validation_samples: int | None = option(
        None, "use only the first validation texts, for a quick trial"
    )
    on_bad_rows: OnBadRows = option(
        "error", "stop at bad rows, or skip and report them (at most half of all)"
    )
    drop_leaked: bool = option(
        False, "leave out texts that are also in an earlier split; else mark them as leaked"
    )
    validation_fraction: float | None = option(
        None, "validate on this share of the training texts, if no validation texts are given"
    )

    def __post_init__(self) -> None:
        for name in ("label_columns", "label_names", "column_names", "ignore_columns"):
            value = getattr(self, name)
            if value is not None:
                check_names(name, value)
                cleaned = [clean_name(entry) for entry in value]
                check_names(name, cleaned)
                setattr(self, name, cleaned)
        for name in ("text_column", "labels_column", "id_column"):
            if getattr(self, name) is not None:
                setattr(self, name, clean_name(getattr(self, name)))
        self._check_labels()
        for name, kind in _CHOICES.items():
            given, allowed = getattr(self, name), get_args(kind)
            if given not in allowed and not (given is None and name == "label_format"):
                raise DataError(f"--{name} is {given!r}. Use one of {', '.join(allowed)}.")
        for name in ("max_train_samples", "max_validation_samples"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise DataError(f"--{name} is {value}. Give a number of texts from 1 up.")
        if self.validation_fraction is not None and not 0 < self.validation_fraction < 1:
            raise DataError(
                f"--validation_fraction is {self.validation_fraction}. Use 0 < number < 1."
            )
        if self.positive_from is not None and not self.positive_from > 0:
            raise DataError(
                f"--positive_from is {self.positive_from}. Give a number above 0: 0 means that a "
                "label is not given."
            )
        self._check_signs()

    def _check_labels(self) -> None:
        if self.label_columns is not None and self.labels_column is not None:
            raise DataError(
                "--label_columns and --labels_column exclude each other: the labels are either "
                "columns of 0 and 1, or one column."
            )
        uses = ("text_column", "id_column", "labels_column", "label_columns", "ignore_columns")
        named = [getattr(self, use) or () for use in uses]
        sets = [{names} if isinstance(names, str) else set(names) for names in named]
        for (one, names), (other, others) in combinations(zip(uses, sets, strict=True), 2):
            if both := names & others:
                raise DataError(
                    f"--{one} and --{other} both name {quoted(sorted(both))}. A column has one "
                    "use: leave it out of one of them."
                )
        if self.label_format == "columns" and self.labels_column is not None:
            raise DataError("--label_format columns needs --label_columns, not --labels_column.")
        if self.label_columns is not None and self.label_format not in (None, "columns"):
            raise DataError(
                f"--label_columns are columns of 0 and 1: leave out --label_format "
                f"{self.label_format}, or name one column of labels by --labels_column."
            )
        if self.label_columns and self.label_names:
            check_same_set("--label_names", self.label_names, "--label_columns", self.label_columns)
        for name in self.label_names or ():
            if reason := why_no_name(name):
                raise DataError(f"--label_names: {reason}. Give each label a name.")

    def _check_signs(self) -> None:
        if self.label_separator is not None:
            self.label_separator = _SIGNS.get(self.label_separator, self.label_separator)
            if not self.label_separator:
                raise DataError("--label_separator is empty. Give the character between two names.")
        if self.delimiter is not None:
            self.delimiter = check_delimiter(self.delimiter)
        if self.encoding is not None:
            try:
                "".encode(self.encoding)  # a codec such as hex is no encoding of texts
            except (LookupError, ValueError):
                raise DataError(
                    f"--encoding {self.encoding!r} is not known. Use a name such as UTF-8, UTF-16 "
                    "or WINDOWS-1256."
                ) from None

    def file_options(self) -> dict[str, Any]:
        """Return the options of opening a file, as `open_rows` takes them."""
        named = [
            self.text_column, self.labels_column, self.id_column,
            *(self.label_columns or ()), *(self.label_names or ()), *(self.ignore_columns or ()),
        ]  # fmt: skip
        options = {name: getattr(self, name) for name in FILE_OPTIONS}
        return options | {"named": [name for name in named if name]}


def check_delimiter(delimiter: str) -> str:
    r"""Return a delimiter, the tab for 'tab' and '\t'.

    Raises:
        DataError: It is not one character, or one that cannot separate fields.
    """
    delimiter = _SIGNS.get(delimiter, delimiter)
    if len(delimiter) != 1 or delimiter in '\r\n"\0' or not delimiter.strip(" "):
        raise DataError(f"--delimiter is {delimiter!r}. Give one character, such as ';', or 'tab'.")
    return delimiter


def check_names(option: str, names: Any) -> None:
    """Raise `DataError` unless `names` is a list of different, non-empty strings."""
    if isinstance(names, str) or not all(isinstance(name, str) and name for name in names):
        raise DataError(f"--{option} is {shorten(names)}. Give a list of names (strings).")
    if not names:
        raise DataError(f"--{option} is an empty list. Leave it out, or give at least one name.")
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise DataError(f"--{option} has {quoted(twice)} more than once. Remove the duplicates.")


def check_same_set(one: str, ones: Sequence[str], other: str, others: Sequence[str]) -> None:
    """Raise `DataError` unless both hold the same names, in any order."""
    if set(ones) != set(others):
        differing = sorted(set(ones) ^ set(others))
        raise DataError(
            f"{one} ({quoted(ones)}) and {other} ({quoted(others)}) must hold the same labels; "
            f"{quoted(differing)} is in one of them only."
        )
