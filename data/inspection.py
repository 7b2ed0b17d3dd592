"""`stacked-emotion inspect`: what tables are read as, without training anything."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..common.command_line import Parser, add_settings
from ..common.errors import DataError, UserError, counted, shorten
from .arguments import DATASET_OPTIONS, READING_OPTIONS, DataArguments
from .files.opening import FORMATS

if TYPE_CHECKING:  # numpy is imported when a file is read, not for --help
    from .inventory import Inventory
    from .labeled_texts import LabeledTexts
    from .tables import Table

REFUSED = 2
_JSON_ROWS = 50
_TEXT_ROWS = 5


@dataclass
class Inspection:
    """What one table is read as.

    Attributes:
        source: The file or data set.
        texts: Its texts with labels; None if it is refused.
        warnings: What is doubtful.
        problems: Why it is refused.
    """

    source: str
    texts: LabeledTexts | None = None
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def inventory(self) -> Inventory:
        """What was understood of the table; empty if it is refused."""
        from .inventory import Inventory

        found = self.texts.inventory if self.texts is not None else None
        return found or Inventory(self.source)

    def rows(self, limit: int) -> list[dict[str, Any]]:
        """Return the first rows, each as `{"text": …, "labels": [names]}`."""
        if self.texts is None:
            return []
        names = self.texts.label_names
        return [
            {"text": text, "labels": [name for name, on in zip(names, row, strict=True) if on]}
            for text, row in zip(self.texts.texts[:limit], self.texts.labels[:limit], strict=True)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return what `--json` prints of a table."""
        inventory = self.inventory
        return {
            "file": self.source,
            "label_names": list(inventory.labels),
            "rows": self.rows(_JSON_ROWS),
            "text_column": inventory.text_column or None,
            "label_format": inventory.label_format or None,
            "ignored_columns": inventory.ignored_columns,
            "warnings": self.warnings,
            "problems": self.problems,
            "inventory": inventory.to_dict(),
        }

    def to_text(self) -> str:
        """Return the inspection for people."""
        lines = [] if self.texts is None else [self.inventory.to_text(), "  first rows"]
        lines += [
            f"    {shorten(row['text'])}  →  {', '.join(row['labels']) or '(no label)'}"
            for row in self.rows(_TEXT_ROWS)
        ]
        lines += [f"warning: {warning}" for warning in self.warnings]
        lines += [f"refused: {problem}" for problem in self.problems]
        return "\n".join(lines)


def inspect_table(
    given: Any, arguments: DataArguments, dataset: dict[str, Any] | None = None
) -> Inspection:
    """Read a table as `train` would, but only warn of 0/1 columns that may be metadata.

    Args:
        given: A file, a table in memory, a folder, or the ID of a Hub data set.
        arguments: How it is read.
        dataset: `config`, `split` and `revision` of a data set.
    """
    from .labeled_texts import labeled_table

    found = Inspection(given if isinstance(given, str) else type(given).__name__)
    table = None
    try:
        table = _table(given, arguments, dataset or {})
        found.source = table.source
        found.texts = labeled_table(table, arguments, arguments.label_names)
        found.warnings += [*found.texts.notes, *found.inventory.warnings()]
    except UserError as error:
        found.problems.append(str(error))
        if table is not None:
            found.warnings += table.problems.notes
    return found


def _table(given: Any, arguments: DataArguments, dataset: dict[str, Any]) -> Table:
    from .tables import read_table, table_from_arrow

    if isinstance(given, str | Path):
        path = Path(given).expanduser()
        known = path.suffix.lower() in FORMATS
        if path.is_dir() or (not known and not path.exists() and str(given).count("/") == 1):
            from .files.arrow_rows import open_dataset

            rows = open_dataset(str(path if path.is_dir() else given), **dataset)
            return table_from_arrow(rows, {"format": "dataset"} | rows.facts)
    return read_table(given, arguments)


def add_inspect_options(parser: Parser) -> None:
    """Declare the options of `inspect`."""
    parser.add_argument(
        "files", nargs="+", metavar="FILE",
        help="tables, folders of data sets, or IDs of data sets on the Hub",
    )  # fmt: skip
    add_settings(parser, DataArguments, only=READING_OPTIONS, heading="reading")
    hub = parser.add_argument_group("data sets")
    for option, text in DATASET_OPTIONS.items():
        hub.add_argument(f"--{option}", help=text)
    encoders = parser.add_argument_group("encoders")
    encoders.add_argument(
        "--encoders", nargs="+", metavar="NAME=SOURCE",
        help="pretrained encoders to check with these texts: folders or Hub IDs",
    )  # fmt: skip
    encoders.add_argument(
        "--max_length", type=int, default=128, metavar="N",
        help="sub-words that an encoder must take; default: 128",
    )  # fmt: skip
    parser.add_argument(
        "--json", action="store_true",
        help="print one JSON object; several files give a list, `files`",
    )  # fmt: skip


def inspect_files(options: argparse.Namespace, reading: dict[str, Any]) -> list[Inspection]:
    """Return what the files of a command line are read as; `reading` are its `DataArguments`."""
    dataset = {
        "config": options.dataset_config_name,
        "split": options.dataset_split,
        "revision": options.dataset_revision,
    }
    try:
        arguments = DataArguments(**reading)
        found = [inspect_table(file, arguments, dataset) for file in options.files]
    except DataError as error:
        found = [Inspection(file, problems=[str(error)]) for file in options.files]
    _find_leaks(found)
    return found


def to_json(found: Sequence[Inspection], more: dict[str, Any]) -> str:
    """Return the object that `--json` prints: of one table, or a list `files` of several."""
    objects = [inspection.to_dict() for inspection in found]
    shown: dict[str, Any] = objects[0] if len(objects) == 1 else {"files": objects}
    return json.dumps(shown | more, ensure_ascii=False, indent=1)


def _find_leaks(found: Sequence[Inspection]) -> None:
    """Warn of texts that occur in two of the files, and of different sets of labels."""
    from .inventory import plain_text

    read = [one for one in found if one.texts is not None]
    known = [{plain_text(text) for text in one.texts.texts} for one in read if one.texts]
    for later, one in enumerate(read):
        for earlier in range(later):
            common = len(known[later] & known[earlier])
            if common:
                one.inventory.leaked[read[earlier].source] = common
                many = counted(common, "text also occurs", "texts also occur")
                one.warnings.append(
                    f"{one.source}: {many} in {read[earlier].source}. If one "
                    "file is trained on and the other scored, set --drop_leaked in training."
                )
            names = [set(each.inventory.labels) for each in (one, read[earlier])]
            if names[0] != names[1]:
                differing = ", ".join(sorted(map(repr, names[0] ^ names[1])))
                one.warnings.append(
                    f"{one.source} and {read[earlier].source} do not have the same labels: "
                    f"{differing} is in one of them only."
                )
