"""What `--input` may be, cut into chunks: every table that `data` reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow

from ...common.errors import UserError
from ...data.arguments import DataArguments
from ...data.files.arrow_rows import ArrowRows, open_dataset
from ...data.files.json_rows import JsonLines, JsonRecords
from ...data.files.opening import FORMATS, Rows, open_rows
from ...data.files.text import Row, encoding_error, file_facts, shown
from .rows import Chunk, JsonRows, Problem, Source, TableRows

CHUNK_CHARACTERS = 1 << 25
"""A chunk of a text file ends here, however few its rows are."""

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


def open_source(
    given: str,
    text_column: str | None = None,
    dataset_config_name: str | None = None,
    dataset_split: str | None = None,
    dataset_revision: str | None = None,
    **reading: Any,
) -> Source:
    """Open a file of any format that `data` reads, a folder of a data set, or one on the Hub.

    Args:
        given: its path or ID.
        text_column: the column of texts, if the user named it.
        dataset_config_name: configuration of the data set.
        dataset_split: split of the data set; by default the only one.
        dataset_revision: branch, tag or commit of a Hub data set.
        **reading: how a file is opened: `data.arguments.FILE_OPTIONS`.

    Raises:
        UserError: nothing can be read there.
    """
    arguments = DataArguments(text_column=text_column, **reading)
    path = Path(given).expanduser()
    known = path.suffix.lower() in FORMATS
    if path.is_dir() or (not known and not path.exists() and _HUB_ID.fullmatch(given)):
        name = str(path) if path.is_dir() else given
        return _ArrowSource(
            open_dataset(name, dataset_config_name, dataset_split, dataset_revision)
        )
    if path.suffix.lower() == ".jsonl" and path.is_file() and _is_blank(path):
        return _RowSource(JsonRecords([], str(path), file_facts(path)))
    rows = open_rows(path, **arguments.file_options())
    return _RowSource(rows) if isinstance(rows, Rows) else _ArrowSource(rows)


def expected_rows(source: Source) -> int | None:
    """The number of rows, or of a text file the number of its lines, which is near it.

    None where neither is known.
    """
    file = source.facts.get("file")
    if source.total is not None or file is None:
        return source.total
    with Path(file).open("rb") as stream:
        return sum(piece.count(b"\n") for piece in iter(lambda: stream.read(1 << 20), b""))


def _is_blank(path: Path) -> bool:
    """Whether a file has at most blank lines; a large one is not read."""
    return path.stat().st_size < 1 << 16 and not path.read_bytes().strip()


class _RowSource:
    """Rows one at a time; JSON records have no fixed columns."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self.name, self.facts = rows.name, rows.facts
        self.columns, self.total = rows.columns, rows.total
        self._json = isinstance(rows, JsonLines | JsonRecords)
        if self.columns.count("") > 1:
            raise UserError(f"{self.name}: more than one column has no name. Name them.")
        fields = [(name, pyarrow.string()) for name in self.columns]
        self.schema: pyarrow.Schema | None = None if self._json else pyarrow.schema(fields)

    def chunks(self, part_rows: int) -> Iterator[Chunk]:
        """See `Source`."""
        number = first_row = characters = 0
        good: list[Row] = []
        unreadable: list[Problem] = []
        for row in self._rows.rows():
            if row.values is None:
                unreadable.append(Problem(row.problem, line=row.number, raw=shown(row.raw)))
            else:
                good.append(row)
            characters += len(row.raw)
            if max(len(good), len(unreadable)) >= part_rows or characters >= CHUNK_CHARACTERS:
                yield self._chunk(number, first_row, good, unreadable)
                number, first_row, characters = number + 1, first_row + len(good), 0
                good, unreadable = [], []
        if good or unreadable:
            yield self._chunk(number, first_row, good, unreadable)

    def _chunk(
        self, number: int, first_row: int, good: list[Row], unreadable: list[Problem]
    ) -> Chunk:
        if not (number or good) and all(one.problem.startswith("not UTF") for one in unreadable):
            raise encoding_error(Path(self.name).expanduser(), self._rows.encoding)
        lines = [row.number for row in good] if self._rows.unit == "line" else None
        rows: TableRows | JsonRows
        if self._json:
            raw = [row.raw or json.dumps(row.values, ensure_ascii=False) for row in good]
            rows = JsonRows(raw, [row.values for row in good])
        else:
            columns: list[Any] = list(zip(*(row.values for row in good), strict=True))
            columns = columns or [()] * len(self.columns)
            arrays = [pyarrow.array(column, pyarrow.string()) for column in columns]
            rows = TableRows(pyarrow.Table.from_arrays(arrays, schema=self.schema))
        return Chunk(number, first_row, rows, unreadable, lines)


class _ArrowSource:
    """Arrow tables, regrouped into chunks of equal size."""

    def __init__(self, rows: ArrowRows) -> None:
        self._rows = rows
        self.name, self.facts = rows.name, rows.facts
        self.columns, self.total = rows.columns, rows.total
        self.schema: pyarrow.Schema | None = rows.schema

    def chunks(self, part_rows: int) -> Iterator[Chunk]:
        """See `Source`."""
        schema = self._rows.schema
        first_row = 0
        for number, table in enumerate(_regrouped(self._rows.tables(part_rows), part_rows)):
            try:
                rows = TableRows(table.select(schema.names).cast(schema))
            except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError, KeyError) as error:
                raise UserError(
                    f"{self.name}: the rows from {first_row + 1} on have other columns or types "
                    f"than the first ones ({error}). Write it as one Parquet file first."
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
