"""Parquet files, and data sets of the Hub or of a folder, in constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet as parquet

from ...common.errors import UserError, did_you_mean, quoted
from .rows import Chunk, TableRows
from .text_sources import check_columns, file_facts

_READ_BUFFER = 1 << 20


class ParquetSource:
    """A Parquet file.

    Args:
        path: the file.

    Raises:
        UserError: it is no Parquet file, or has a column name twice.
    """

    def __init__(self, path: Path) -> None:
        self.name, self.path = str(path), path
        self.facts = file_facts(path)
        try:
            file = self._open()
        except pyarrow.ArrowInvalid as error:
            raise UserError(f"{path} cannot be read as Parquet ({error}).") from error
        self.schema: pyarrow.Schema | None = file.schema_arrow
        self.columns = list(file.schema_arrow.names)
        self.total: int | None = file.metadata.num_rows
        check_columns(self.name, self.columns)

    def _open(self) -> parquet.ParquetFile:
        return parquet.ParquetFile(self.path, buffer_size=_READ_BUFFER, pre_buffer=False)

    def chunks(self, part_rows: int) -> Iterator[Chunk]:
        """See `Source`."""
        batches = self._open().iter_batches(min(part_rows, 1024), use_threads=False)
        tables = (pyarrow.Table.from_batches([batch], self.schema) for batch in batches)
        return _chunks(self.name, self.schema, tables, part_rows)


class DatasetSource:
    """A data set of the Hub or of a folder, streamed through `datasets`.

    Args:
        name: Hub id, or a folder that `datasets` can load.
        config: configuration of the data set.
        split: split of the data set; by default the only one.
        revision: branch, tag or commit; a Hub data set is read at the commit it stands for now.

    Raises:
        UserError: it cannot be found or loaded, or a split has to be named.
    """

    total: int | None = None

    def __init__(
        self, name: str, config: str | None, split: str | None, revision: str | None
    ) -> None:
        import datasets

        commit = revision if Path(name).is_dir() else _commit(name, revision)
        try:
            splits = datasets.get_dataset_split_names(name, config, revision=commit)
            split = _choose_split(name, splits, split)
            stream = datasets.load_dataset(
                name, config, split=split, revision=commit, streaming=True
            )
        except UserError:
            raise
        except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
            raise UserError(f"The data set {name} cannot be loaded: {error}") from error
        self.name = f"{name}, split {split}"
        self.facts: dict[str, Any] = {
            "dataset": name,
            "config": config,
            "split": split,
            "revision": commit,
        }
        if Path(name).is_dir():
            self.facts["files"] = [
                file_facts(path) for path in sorted(Path(name).rglob("*")) if path.is_file()
            ]
        self._tables = stream.with_format("arrow")
        try:
            first = next(iter(self._tables.iter(1)), None)
        except Exception as error:  # readers of all formats, each with errors of its own
            raise UserError(f"{self.name} cannot be read: {error}") from error
        if stream.features:
            schema = stream.features.arrow_schema
        elif first is not None:
            schema = first.schema
        else:
            raise UserError(f"{self.name} has no rows, and its columns are not known.")
        self.schema: pyarrow.Schema | None = schema
        self.columns = list(schema.names)

    def chunks(self, part_rows: int) -> Iterator[Chunk]:
        """See `Source`."""
        return _chunks(self.name, self.schema, self._tables.iter(part_rows), part_rows)


def _commit(name: str, revision: str | None) -> str | None:
    """The commit of a Hub data set, so that a resumed run reads the same rows."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        return HfApi().dataset_info(name, revision=revision).sha
    except (HfHubHTTPError, OfflineModeIsEnabled, OSError) as error:
        raise UserError(
            f"There is no file or folder {name}, and no such data set on the Hub can be read: "
            f"{error}"
        ) from error


def _choose_split(name: str, splits: list[str], asked: str | None) -> str:
    if asked is None:
        if len(splits) == 1:
            return splits[0]
        raise UserError(f"{name} has the splits {quoted(splits)}: set --dataset_split to one.")
    if asked not in splits:
        raise UserError(
            f"{name} has no split {asked!r}{did_you_mean(asked, splits)}; it has {quoted(splits)}."
        )
    return asked


def _chunks(
    name: str, schema: pyarrow.Schema, tables: Iterable[pyarrow.Table], part_rows: int
) -> Iterator[Chunk]:
    """Tables of any sizes as chunks of `part_rows` rows."""
    first_row = 0
    for number, table in enumerate(_regrouped(tables, part_rows)):
        try:
            rows = TableRows(table.select(schema.names).cast(schema))
        except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError, KeyError) as error:
            raise UserError(
                f"{name}: the rows from {first_row + 1} on have other columns or types than the "
                f"first ones ({error}). Write it as one Parquet file first."
            ) from error
        yield Chunk(number, first_row, rows)
        first_row += table.num_rows


def _regrouped(tables: Iterable[pyarrow.Table], rows: int) -> Iterator[pyarrow.Table]:
    waiting: list[Any] = []
    count = 0
    for table in tables:
        waiting.append(table)
        count += table.num_rows
        while count >= rows:
            joined = pyarrow.concat_tables(waiting)
            yield joined.slice(0, rows)
            waiting, count = [joined.slice(rows)], count - rows
    if count:
        yield pyarrow.concat_tables(waiting)
