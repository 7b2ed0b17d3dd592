"""Tables in memory that a run is trained on, kept as files so that its recipe can be run again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from ...common.disk import disk_errors
from ...common.errors import UserError
from ...common.files import fingerprint, replace_file
from ...data.arguments import DataArguments
from ...data.names import clean_name, why_no_name
from ...data.tables import Table, read_table
from ...inference.bulk.parts import json_line, write_lines


@dataclass
class KeptTables:
    """Tables as they will be read from the files that keep them.

    Attributes:
        tables: by option, such as `train_file`.
        files: where each is kept, in a folder named by the content of all: what an earlier run was
            trained on is never overwritten.
    """

    tables: dict[str, Table] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    _lines: dict[str, list[str]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, given: Mapping[str, Any], output: Path) -> KeptTables:
        """Read tables; nothing is written.

        Args:
            given: tables by split, as `read_table` takes them.
            output: the folder of the run.

        Raises:
            UserError: one that cannot be read.
        """
        kept = cls()
        for split, one in given.items():
            kind = type(one).__name__
            try:
                table = read_table(one, DataArguments())
            except UserError as error:
                raise UserError(f"{split} is a {kind} that cannot be used: {error}") from error
            lines = list(_json_lines(table))
            rows = [json.loads(line) for line in lines]
            table.problems.source = f"{split} ({kind})"
            kept._lines[f"{split}_file"] = lines
            kept.tables[f"{split}_file"] = replace(
                table,
                source=table.problems.source,
                columns={name: [row[name] for row in rows] for name in table.columns},
                class_names={},
            )
        folder = output / "data" / fingerprint(kept._lines)[:12]
        kept.files = {f"{split}_file": str(folder / f"{split}.jsonl") for split in given}
        return kept

    def write(self) -> None:
        """Write each file, whole or not at all; one that is there has the same content.

        Raises:
            UserError: the disk is full or read-only.
        """
        for name, lines in self._lines.items():
            file = Path(self.files[name])
            with disk_errors(file.parent, "--output_dir"):
                file.parent.mkdir(parents=True, exist_ok=True)
                replace_file(file, partial(write_lines, lines=lines))


def _json_lines(table: Table) -> Iterable[str]:
    """A table that was read as JSON lines, with the names of its classes.

    Classes that have no names, such as "0", stay numbers: `label_names` has to name them.
    """
    columns = dict(table.columns)
    for name, classes in table.class_names.items():
        if not any(why_no_name(clean_name(each)) for each in classes):
            columns[name] = _named(columns[name], classes)
    rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    return map(json_line, rows)


def _named(values: list[Any], classes: list[str]) -> list[Any]:
    """Class numbers as lists of names, which no sign separates; a missing one stays missing.

    The first one names all classes, also those that no text has.
    """
    found: list[Any] = []
    for value in values:
        numbers = value if isinstance(value, list) else [value]
        if any(number is None or number < 0 for number in numbers):
            found.append(None)
        else:
            found.append([classes[number] for number in numbers])
    first = next((place for place, names in enumerate(found) if names is not None), None)
    if first is not None:
        found[first] = {name: int(name in found[first]) for name in classes}
    return found
