"""JSONL files, JSON lists of records, and records in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ...common.errors import DataError, shorten
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
        with open_text(self.path, self.encoding, "\n") as stream:
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
    """A list of records, from a JSON file or from memory."""

    unit, counting = "record", "records are counted from 1"

    def __init__(self, records: Sequence[Any], name: str, facts: dict[str, Any]) -> None:
        self.name, self.facts = name, facts
        self.total: int | None = len(records)
        self._records = records

    @property
    def columns(self) -> list[str]:
        """The keys of the first record."""
        return list(next((record for record in self._records if isinstance(record, dict)), ()))

    def rows(self) -> Iterator[Row]:
        """Every record; those that are not objects say why."""
        for number, record in enumerate(self._records, 1):
            if isinstance(record, dict):
                yield Row(number, record)
            else:
                yield Row(
                    number, None, str(record), f"{shorten(record)} is not a JSON object {{…}}"
                )


def open_json(path: Path, encoding: str | None) -> JsonLines | JsonRecords:
    """Open a `.json` file: a list of objects, or one object per line.

    Raises:
        DataError: It is neither.
    """
    with open_text(path, encoding or detect_encoding(path)) as stream:
        content = stream.read()
    if UNDECODABLE.search(content):
        raise encoding_error(path, encoding or detect_encoding(path))
    beginning = content.lstrip()[:1]
    if not beginning:
        raise DataError(f"{path}: the file is empty. {_SHAPES}")
    if beginning == "{":
        try:
            json.loads(content.lstrip().split("\n", 1)[0])
        except (ValueError, RecursionError):
            raise DataError(
                f"{path}: the file is neither a list of objects nor one object per line. {_SHAPES}"
            ) from None
        return JsonLines(path, encoding)
    try:
        records = json.loads(content, object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: the file is not valid JSON ({error}). {_SHAPES}") from None
    if not isinstance(records, list):
        raise DataError(f"{path}: the file holds {shorten(records)}. {_SHAPES}")
    return JsonRecords(_flat_tasks(records), str(path), file_facts(path))


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
