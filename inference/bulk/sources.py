"""What `--input` may be: a file by its suffix, a folder or a data set of the Hub."""

from __future__ import annotations

import re
from pathlib import Path

from ...common.errors import UserError
from .arrow_sources import DatasetSource, ParquetSource
from .parts import FORMATS
from .rows import Source
from .text_sources import DelimitedSource, JsonLinesSource

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


def open_source(
    given: str,
    delimiter: str | None = None,
    quoting: str = "auto",
    dataset_config_name: str | None = None,
    dataset_split: str | None = None,
    dataset_revision: str | None = None,
) -> Source:
    """Open a file or data set for reading.

    Args:
        given: a .csv, .tsv, .jsonl or .parquet file, a folder that `datasets` can load, or the id
            of a data set on the Hub.
        delimiter: one character between two fields; a comma in .csv and a tab in .tsv by default.
        quoting: "csv": a field may stand in double quotes; "none": a quotation mark is text;
            "auto": csv in .csv, none in .tsv.
        dataset_config_name: configuration of the data set.
        dataset_split: split of the data set; by default the only one.
        dataset_revision: branch, tag or commit of a Hub data set.

    Raises:
        UserError: nothing can be read there.
    """
    path = Path(given).expanduser()
    suffix = path.suffix.lower()
    if path.is_dir() or (suffix not in FORMATS and not path.exists() and _HUB_ID.fullmatch(given)):
        name = str(path) if path.is_dir() else given
        return DatasetSource(name, dataset_config_name, dataset_split, dataset_revision)
    if suffix in (".csv", ".tsv"):
        quoted = suffix == ".csv" if quoting == "auto" else quoting == "csv"
        separator = delimiter or ("," if suffix == ".csv" else "\t")
        return DelimitedSource(path, "\t" if separator in ("tab", "\\t") else separator, quoted)
    if suffix == ".jsonl":
        return JsonLinesSource(path)
    if suffix == ".parquet":
        return ParquetSource(path)
    raise UserError(f"{given}: the format must be one of {', '.join(FORMATS)}.")
