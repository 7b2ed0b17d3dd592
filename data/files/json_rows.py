"""JSONL files, JSON lists of records, and records in memory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...common.errors import DataError, quoted, shorten
from ..names import TEXT_COLUMNS
from .text import UNDECODABLE, Row, detect_encoding, encoding_error, file_facts, open_text

_SHAPES = 'Write a list of objects, [{"text": …}, …], or one object per line (JSONL).'


class JsonLines:
    """A JSONL file: one object per line.

    Raises:
        DataError: No line holds an object.
    """

    unit, counting = "line", "lines are counted from 1"
    total: int | None = None

    def __init__(self, path: Path, encoding: str | None = None) -> None:
        self.name, self.path = str(path), path
        self.encoding = encoding or detect_encoding(path)
        self.facts = file_facts(path) | {"encoding": self.encoding}

    @property
    def columns(self) -> list[str]:
        """The keys of the first record.

        Raises:
            DataError: There is none.
        """
        first = next((row for row in self.rows() if row.values is not None), None)
        if first is None:
            raise DataError(f"{self.name} has no line that is a JSON object.")
        return list(first.values)

    def rows(self) -> Iterator[Row]:
        """Every line with something in it; those that are not objects say why."""
        decode = json.JSONDecoder(object_pairs_hook=_unique_keys).decode
        with open_text(self.path, self.encoding, None) as stream:
            for number, line in enumerate(stream, 1):
                raw = line.strip()
                if not raw:
                    continue
                if not raw.isascii() and UNDECODABLE.search(raw):
                    yield Row(number, None, raw, "not UTF-8")
                    continue
                try:
                    record = decode(raw)
                except (ValueError, RecursionError) as error:
                    yield Row(number, None, raw, f"{shorten(raw)} is not valid JSON ({error})")
                    continue
                if isinstance(record, dict):
                    yield Row(number, record, raw)
                else:
                    yield Row(number, None, raw, f"{shorten(record)} is not a JSON object {{…}}")


class JsonRecords:
    """A list of records, from a JSON file or from memory.

    Attributes:
        numbers: What each record is called in messages.
    """

    unit, counting, encoding = "record", "records are counted from 1", "utf-8-sig"

    def __init__(self, records: Sequence[Any], name: str, facts: dict[str, Any]) -> None:
        self.name, self.facts = name, facts
        self.total: int | None = len(records)
        self.numbers: Sequence[int] = range(1, len(records) + 1)
        self._records = records

    @property
    def columns(self) -> list[str]:
        """The keys of the first record."""
        return list(next((record for record in self._records if isinstance(record, dict)), ()))

    def rows(self) -> Iterator[Row]:
        """Every record; those that are not objects say why."""
        for number, record in zip(self.numbers, self._records, strict=True):
            if isinstance(record, dict):
                yield Row(number, record)
            else:
                yield Row(
                    number, None, str(record), f"{shorten(record)} is not a JSON object {{…}}"
                )


def begins_with_list(path: Path, encoding: str | None) -> bool:
    """Return whether a `.jsonl` file is one JSON list of objects after all."""
    with open_text(path, encoding or detect_encoding(path)) as stream:
        return re.match(r"\s*\[\s*(?:\{|$)", stream.read(4096)) is not None


def open_json(path: Path, encoding: str | None) -> JsonLines | JsonRecords:
    """Open a `.json` file: a list of objects, an object that holds one, or one object per line.

    An object of columns, as pandas writes it, is read too.

    Raises:
        DataError: It is neither.
    """
    with open_text(path, encoding or detect_encoding(path)) as stream:
        content = stream.read()
    if UNDECODABLE.search(content):
        raise encoding_error(path, encoding or detect_encoding(path))
    if not content.strip():
        raise DataError(f"{path}: the file is empty. {_SHAPES}")
    try:
        found = json.loads(content, object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        lines = content.split("\n")
        first = next(line for line in lines if line.strip())
        if first.lstrip().startswith("{") and first.rstrip().endswith("}"):
            return JsonLines(path, encoding)
        raise DataError(f"{path}: the file is not valid JSON ({error}). {_SHAPES}") from None
    if isinstance(found, dict):
        found = _records_in(found, path)
    if not isinstance(found, list):
        raise DataError(f"{path}: the file holds {shorten(found)}. {_SHAPES}")
    return JsonRecords(_flat_tasks(found), str(path), file_facts(path))


def _records_in(whole: dict[str, Any], path: Path) -> list[Any]:
    """Return the records of an object: one list of records in it, columns, or the object itself."""
    lists = [key for key, value in whole.items() if isinstance(value, list)]
    records = [key for key in lists if whole[key] and all(isinstance(v, dict) for v in whole[key])]
    if len(records) > 1:
        raise DataError(
            f"{path}: the file holds several lists of objects: {quoted(records)}. Write each into "
            "a file of its own."
        )
    if records and not any(key in TEXT_COLUMNS for key in whole):
        return whole[records[0]]
    names = whole.get("columns")
    if (
        isinstance(names, list)
        and "data" in lists
        and all(isinstance(row, list) and len(row) == len(names) for row in whole["data"])
    ):  # pandas, orient="split"
        return [dict(zip(names, row, strict=True)) for row in whole["data"]]
    values = list(whole.values())
    if values and all(isinstance(value, dict) for value in values):  # pandas, "columns" or "index"
        keys = [list(value) for value in values]
        if any(key in TEXT_COLUMNS for key in keys[0]):
            return values
        if keys.count(keys[0]) == len(keys):
            return [{name: whole[name][key] for name in whole} for key in keys[0]]
    texts = [value for key, value in whole.items() if key in TEXT_COLUMNS]
    if texts and len(lists) == len(whole) and len({len(value) for value in values}) == 1:
        return [dict(zip(whole, row, strict=True)) for row in zip(*values, strict=True)]
    if not any(isinstance(value, str) for value in values):
        raise DataError(
            f"{path}: the file is neither a list of objects nor one object per line. {_SHAPES}"
        )
    return [whole]


def _flat_tasks(records: list[Any]) -> list[Any]:
    """Return the tasks of a Label Studio export as flat records; other records as they are."""
    tasks = [
        (record, [one for one in record["annotations"] if not one.get("was_cancelled")])
        if isinstance(record, dict) and isinstance(record.get("data"), dict)
        and isinstance(record.get("annotations"), list)
        else (record, None)
        for record in records
    ]  # fmt: skip
    results = [
        [(result.get("from_name", "labels"), result.get("value", {}).get("choices"))
         for one in kept or () for result in one.get("result", ())]
        for _, kept in tasks
    ]  # fmt: skip
    names = {name for found in results for name, choices in found if choices is not None}
    flat = []
    for (record, kept), found in zip(tasks, results, strict=True):
        if kept is None:
            flat.append(record)
            continue
        # A task that was annotated without a choice has no label; one that was not has null. The
        # answers of two annotators stay two: they are not one list of labels.
        chosen = {name: [given for each, given in found if each == name] for name in names}
        answers = {name: given[0] if len(given) == 1 else given for name, given in chosen.items()}
        flat.append({"id": record.get("id"), **record["data"], **(answers if kept else {})})
    return flat


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(k for k in keys if keys.count(k) > 1)!r} occurs twice")
    return record
