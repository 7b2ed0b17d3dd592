"""Options that say where the labeled texts are and how they are read, the same everywhere."""

from __future__ import annotations

import argparse
import codecs
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from ..common.command_line import one_line
from ..common.errors import DataError, quoted, shorten
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

_FORMATS = ".csv, .tsv, .txt (tabs, no quotes), .jsonl, .json, .parquet or .xlsx"
_CHOICES = {
    "on_bad_rows": ("error", "skip"),
    "quoting": ("auto", "csv", "none"),
    "label_format": ("names", "multi_hot", "ids", "columns"),
}
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

    dataset_name: str | None = field(
        default=None,
        metadata={"help": "data set on the Hub, or a folder that datasets can load. Folders "
                  "written by save_to_disk work too."},
    )  # fmt: skip
    dataset_config_name: str | None = field(
        default=None, metadata={"help": "configuration of the data set, such as subtask5.arabic."}
    )
    dataset_revision: str | None = field(
        default=None,
        metadata={"help": "branch, tag or commit of the data set. The commit that was read is "
                  "recorded."},
    )  # fmt: skip
    train_file: str | None = field(
        default=None, metadata={"help": f"training texts. Formats: {_FORMATS}."}
    )
    validation_file: str | None = field(
        default=None, metadata={"help": "validation texts, in one of the same formats."}
    )
    test_file: str | None = field(
        default=None, metadata={"help": "test texts, in one of the same formats."}
    )
    train_split: str = field(
        default="train", metadata={"help": "split of the data set to train on."}
    )
    validation_split: str = field(
        default="validation",
        metadata={"help": "split of the data set to validate on; may be absent if not set."},
    )
    test_split: str = field(
        default="test", metadata={"help": "split of the data set to test on; as above."}
    )
    text_column: str | None = field(
        default=None,
        metadata={"help": "column of texts. Default: the one called text, Tweet, sentence, …, or "
                  "the only column of strings."},
    )  # fmt: skip
    label_columns: list[str] | None = field(
        default=None,
        metadata={"help": "columns of 0 and 1, one per label. Default: all such columns."},
    )
    labels_column: str | None = field(
        default=None,
        metadata={"help": "one column of labels: names, vectors of 0 and 1, or class numbers. "
                  "Default: the one called labels, label, emotions or emotion."},
    )  # fmt: skip
    label_format: Literal["names", "multi_hot", "ids", "columns"] | None = field(
        default=None,
        metadata={"help": "what the labels are. Names or ids (class numbers from 0) in one column, "
                  "multi_hot (vectors of 0 and 1) in one column, or columns of 0 and 1. Default: "
                  "the one kind that fits every cell."},
    )  # fmt: skip
    label_separator: str | None = field(
        default=None,
        metadata={"help": "separator between two names in the column of labels. Also 'tab', "
                  "'newline' or a space. Default: the one of , ; | / tab and newline that occurs."},
    )  # fmt: skip
    label_names: list[str] | None = field(
        default=None,
        metadata={"help": "the labels and their order. Default: those of the training texts, in "
                  "the order of their columns, or sorted if they are names in one column."},
    )  # fmt: skip
    positive_from: float | None = field(
        default=None,
        metadata={"help": "for intensities: the lowest number that means the label is given. "
                  "For example 1 where labels are rated 0 to 3."},
    )  # fmt: skip
    ignore_columns: list[str] | None = field(
        default=None, metadata={"help": "columns that are neither text nor labels."}
    )
    id_column: str | None = field(
        default=None,
        metadata={"help": "column of identifiers. Default: the one called id, if any."},
    )
    column_names: list[str] | None = field(
        default=None,
        metadata={"help": "names of all columns, in order, for a file without a header."},
    )
    delimiter: str | None = field(
        default=None,
        metadata={"help": "character between two fields, or 'tab'. Default: found in the file."},
    )
    quoting: Literal["auto", "csv", "none"] = field(
        default="auto",
        metadata={"help": "csv: fields may have double quotes; none: quotation marks are part "
                  "of the text. Default: csv in .csv, none in .tsv and .txt."},
    )  # fmt: skip
    encoding: str | None = field(
        default=None,
        metadata={"help": "encoding of text files, such as WINDOWS-1256. Default: UTF-8, or "
                  "UTF-16 if the file has its byte order mark."},
    )  # fmt: skip
    sheet: str | None = field(
        default=None, metadata={"help": "sheet of an Excel file. Default: the only one."}
    )
    max_train_samples: int | None = field(
        default=None, metadata={"help": "use only the first training texts, for a quick trial."}
    )
    max_validation_samples: int | None = field(
        default=None, metadata={"help": "use only the first validation texts, for a quick trial."}
    )
    on_bad_rows: Literal["error", "skip"] = field(
        default="error",
        metadata={"help": "stop at rows that cannot be used, or leave them out. "
                  "Left-out rows are reported, and more than half of all rows are refused."},
    )  # fmt: skip
    drop_leaked: bool = field(
        default=False,
        metadata={"help": "leave out validation and test texts that also occur in an earlier "
                  "split. Default: keep them and mark the figures as leaked."},
    )  # fmt: skip
    validation_fraction: float | None = field(
        default=None,
        metadata={"help": "share of the training texts to hold out if no validation texts are "
                  "given. Chosen by a hash of each text: always the same texts, and equal texts "
                  "stay together. Default: nothing is held out."},
    )  # fmt: skip

    def __post_init__(self) -> None:
        for option in ("label_columns", "label_names", "column_names", "ignore_columns"):
            value = getattr(self, option)
            if value is not None:
                check_names(option, value)
                cleaned = [clean_name(name) for name in value]
                check_names(option, cleaned)
                setattr(self, option, cleaned)
        for option in ("text_column", "labels_column", "id_column"):
            if getattr(self, option) is not None:
                setattr(self, option, clean_name(getattr(self, option)))
        self._check_labels()
        for option, allowed in _CHOICES.items():
            given = getattr(self, option)
            if given not in allowed and not (given is None and option == "label_format"):
                raise DataError(f"--{option} is {given!r}. Use one of {', '.join(allowed)}.")
        for known in fields(self):
            value = getattr(self, known.name)
            if known.name.startswith("max_") and value is not None and value < 1:
                raise DataError(f"--{known.name} is {value}. Give a number of texts from 1 up.")
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
                codecs.lookup(self.encoding)
            except LookupError:
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


def add_reading_options(parser: Any, names: Iterable[str] = READING_OPTIONS) -> None:
    """Declare options of `DataArguments` on an argparse parser or a group of it.

    Args:
        parser: The parser or group.
        names: Which options.
    """
    known = {entry.name: entry for entry in fields(DataArguments)}
    for name in names:
        entry = known[name]
        settings: dict[str, Any] = {"default": entry.default}
        if name in _CHOICES:
            settings["choices"] = _CHOICES[name]
        elif "list" in str(entry.type):
            settings["nargs"] = "+"
        elif "float" in str(entry.type):
            settings["type"] = float
        parser.add_argument(f"--{name}", help=one_line(entry.metadata["help"]), **settings)


def reading_options(options: argparse.Namespace) -> dict[str, Any]:
    """Return the values of the options that `add_reading_options` declared."""
    return {name: getattr(options, name) for name in READING_OPTIONS if hasattr(options, name)}


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
        raise DataError(f"--{option} names {quoted(twice)} more than once. Remove the duplicates.")


def check_same_set(one: str, ones: Sequence[str], other: str, others: Sequence[str]) -> None:
    """Raise `DataError` unless both hold the same names, in any order."""
    if set(ones) != set(others):
        differing = sorted(set(ones) ^ set(others))
        raise DataError(
            f"{one} ({quoted(ones)}) and {other} ({quoted(others)}) must hold the same labels; "
            f"{quoted(differing)} is in one of them only."
        )
