"""Parts to one output, in the order of the input and in constant memory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet as parquet

from ...common.tables import names_in_cell
from .parts import delimited_lines, json_line, write_lines
from .predictions import Columns
from .rows import Problem

_GROUP_ROWS = 1 << 16
_GROUP_BYTES = 1 << 26

_AS_JSON = pyarrow.string()


def join_parts(
    parts: Sequence[Path], target: Path, suffix: str, schema: pyarrow.Schema | None,
    columns: Columns, spreadsheet_safe: bool = False,
) -> list[Problem]:  # fmt: skip
    """Write all parts to `target`, in their order.

    `schema` has columns and types of the input, None for JSONL. With `spreadsheet_safe` no cell of
    CSV or TSV is a formula.

    Returns:
        What the format could not hold as it was.
    """
    changed: list[Problem] = []
    if suffix == ".jsonl":
        _concatenate(parts, target, None)
    elif schema is None and suffix == ".parquet":
        _json_to_parquet(parts, target, columns)
    elif schema is None:
        names = _all_keys(parts, columns)
        lists = [names.index(name) for name in (columns.labels, columns.encoders) if name]
        rows = (_json_cells(record, names, lists) for record in _records(parts))
        lines = delimited_lines(chain([names], rows), suffix, names, changed, 0, spreadsheet_safe)
        write_lines(target, lines)
    elif suffix == ".parquet":
        merged = pyarrow.schema([*schema, *columns.fields], metadata=schema.metadata)
        tables = (parquet.ParquetFile(part).read(use_threads=False) for part in parts)
        _write_groups(tables, target, merged)
    else:
        names = [*schema.names, *columns.all]
        (header,) = delimited_lines([names], suffix, names, changed, 1, spreadsheet_safe)
        _concatenate(parts, target, header)
    return changed


def _concatenate(parts: Sequence[Path], target: Path, header: str | None) -> None:
    with target.open("wb") as stream:
        if header is not None:
            stream.write(f"{header}\n".encode())
        for path in parts:
            with path.open("rb") as part:
                shutil.copyfileobj(part, stream)


def _write_groups(tables: Iterator[pyarrow.Table], target: Path, schema: pyarrow.Schema) -> None:
    """Row groups of a useful size, independent of the size of the parts."""
    waiting: list[pyarrow.Table] = []
    with parquet.ParquetWriter(target, schema) as writer:

        def flush() -> None:
            writer.write_table(pyarrow.concat_tables(waiting), row_group_size=_GROUP_ROWS)
            waiting.clear()

        for table in tables:
            waiting.append(table.cast(schema))
            rows = sum(table.num_rows for table in waiting)
            if rows >= _GROUP_ROWS or sum(table.nbytes for table in waiting) >= _GROUP_BYTES:
                flush()
        if waiting:
            flush()


def _records(parts: Sequence[Path]) -> Iterator[dict[str, Any]]:
    for path in parts:
        with path.open(encoding="utf-8", newline="\n") as stream:
            for line in stream:
                yield json.loads(line)


def _all_keys(parts: Sequence[Path], columns: Columns) -> list[str]:
    """The union of the records' keys in the order they turn up, the answers' last."""
    keys: dict[str, None] = {}
    for record in _records(parts):
        keys.update(dict.fromkeys(record))
    for name in columns.all:
        keys.pop(name, None)
    return [*keys, *columns.all]


def _json_cells(record: dict[str, Any], names: Sequence[str], lists: list[int]) -> list[Any]:
    cells: list[Any] = [record.get(name) for name in names]
    for place in lists:
        if cells[place] is not None:
            cells[place] = names_in_cell(cells[place])
    return cells


def _json_to_parquet(parts: Sequence[Path], target: Path, columns: Columns) -> None:
    """Types by all records; a column whose values have no common type holds their JSON text."""
    kinds: dict[str, pyarrow.DataType | None] = {}
    fixed = {field.name: field.type for field in columns.fields}
    for path in parts:
        for name, values in _columns(path).items():
            if name not in fixed:
                known = kinds.get(name, pyarrow.null())
                kinds[name] = _common_type(known, _kind_of(values))
    kinds = {
        name: pyarrow.string() if kind is not None and pyarrow.types.is_null(kind) else kind
        for name, kind in kinds.items()
    }
    fields = [pyarrow.field(name, _AS_JSON if kind is None else kind)
              for name, kind in kinds.items()]  # fmt: skip
    schema = pyarrow.schema([*fields, *columns.fields])

    def tables() -> Iterator[pyarrow.Table]:
        for path in parts:
            found = _columns(path)
            rows = len(found[columns.labels]) if found else 0
            arrays = []
            for field in schema:
                values = found.get(field.name, [None] * rows)
                if kinds.get(field.name, field.type) is None:
                    values = [None if value is None else json_line(value) for value in values]
                arrays.append(pyarrow.array(values, field.type))
            yield pyarrow.Table.from_arrays(arrays, schema=schema)

    _write_groups(tables(), target, schema)


def _columns(path: Path) -> dict[str, list[Any]]:
    """The records of a part as columns; None where a record lacks the key."""
    columns: dict[str, list[Any]] = {}
    count = 0
    for count, record in enumerate(_records([path]), 1):
        for key, value in record.items():
            values = columns.setdefault(_encodable(key), [None] * (count - 1))
            values.append(_encodable(value))
        for values in columns.values():
            if len(values) < count:
                values.append(None)
    return columns


def _encodable(value: Any) -> Any:
    """Unpaired surrogates as U+FFFD: Parquet holds UTF-8 only."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    return value


def _kind_of(values: list[Any]) -> pyarrow.DataType | None:
    try:
        kind = pyarrow.array(values).type
    except (pyarrow.ArrowException, OverflowError):
        return None
    return None if _has_empty_struct(kind) else kind


def _common_type(
    one: pyarrow.DataType | None, other: pyarrow.DataType | None
) -> pyarrow.DataType | None:
    if one is None or other is None:
        return None
    schemas = [pyarrow.schema([pyarrow.field("", kind)]) for kind in (one, other)]
    try:
        return pyarrow.unify_schemas(schemas, promote_options="permissive").field(0).type
    except pyarrow.ArrowException:
        return None


def _has_empty_struct(kind: pyarrow.DataType) -> bool:
    if pyarrow.types.is_struct(kind) and kind.num_fields == 0:
        return True
    return any(_has_empty_struct(kind.field(index).type) for index in range(kind.num_fields))
