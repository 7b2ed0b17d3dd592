"""The commands `review` and `suggest`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...common.command_line import Commands, Parser, add_settings, settings_given
from ...data.arguments import DATASET_OPTIONS, FILE_OPTIONS, DataArguments

if TYPE_CHECKING:
    from ...inference.bulk.rows import Source

_RUN = "the folder of a finished training"
_SAFE = "CSV and TSV: put an apostrophe before cells that a spreadsheet would run as formulas"
_TRAIN_FILE = "where the training file of the run is now; default: where its recipe says"


def _add_review(review: Parser) -> None:
    review.add_argument("folder", type=Path, metavar="RUN", help=_RUN)
    review.add_argument("--train_file", help=_TRAIN_FILE)
    review.add_argument(
        "--output", type=Path,
        help="a .csv, .tsv, .jsonl or .parquet file, the page beside it; default: RUN/review.csv",
    )  # fmt: skip
    review.add_argument(
        "--page_rows", type=int, default=200, help="rows on the page; the table has all of them"
    )
    review.add_argument("--spreadsheet_safe", action="store_true", help=_SAFE)
    review.set_defaults(run=_review)


def _add_suggest(suggest: Parser) -> None:
    suggest.add_argument("folder", type=Path, metavar="RUN", help=_RUN)
    suggest.add_argument(
        "input", metavar="FILE",
        help="unlabeled texts: a table, the folder of a data set, or its ID on the Hub",
    )  # fmt: skip
    suggest.add_argument("--number", type=int, default=250, help="texts to choose")
    suggest.add_argument(
        "--output", type=Path, default=Path("suggestions.csv"),
        help="a .csv, .tsv, .jsonl or .parquet file",
    )  # fmt: skip
    suggest.add_argument("--train_file", help=_TRAIN_FILE)
    suggest.add_argument("--spreadsheet_safe", action="store_true", help=_SAFE)
    for option, text in DATASET_OPTIONS.items():
        suggest.add_argument(f"--{option}", help=text)
    add_settings(suggest, DataArguments, only=("text_column", *FILE_OPTIONS), heading="reading")
    suggest.set_defaults(run=partial(_suggest, suggest))


LABELING_COMMANDS: Commands = {
    "review": ("list the training texts of a run whose labels look wrong", _add_review),
    "suggest": ("choose the unlabeled texts that are most worth labeling next", _add_suggest),
}


def _review(options: argparse.Namespace) -> int:
    from ...common.files import replace_text
    from ...inference.bulk.parts import check_table_path, write_table
    from .page import review_page
    from .review import review_run

    table = options.output or options.folder / "review.csv"
    check_table_path(table)
    found = review_run(options.folder, options.train_file)
    write_table(table, found.rows, options.spreadsheet_safe)
    page = table.with_suffix(".html")
    replace_text(page, review_page(found, options.page_rows))
    print(
        f"Of {len(found.texts):,} training texts, {found.doubted.any(1).sum():,} have labels that "
        f"look wrong; {len(found.pairs):,} pairs of near-duplicates have different labels.\n"
        f"The table is {table}, the page {page}."
    )
    return 0


def _suggest(parser: Parser, options: argparse.Namespace) -> int:
    from ...inference.bulk.parts import check_table_path, write_table
    from ...inference.bulk.rows import choose_text_column
    from ...inference.bulk.sources import open_source
    from ...inference.predictor import StackedEmotionPredictor
    from .review import training_texts
    from .suggestions import suggest

    check_table_path(options.output)
    reading = settings_given(parser, options)
    reading |= {name: getattr(options, name) for name in DATASET_OPTIONS}
    source = open_source(options.input, **reading)
    column = choose_text_column(source, reading.get("text_column"))
    known = training_texts(options.folder, options.train_file).texts
    predictor = StackedEmotionPredictor.from_pretrained(options.folder, backend="torch")
    chosen = suggest(predictor, _texts(source, column), known, options.number)
    write_table(options.output, chosen, options.spreadsheet_safe)
    print(f"{len(chosen):,} texts to label are in {options.output}.")
    return 0


def _texts(source: Source, column: str) -> Iterator[tuple[int | None, Any]]:
    """Row numbers as the user sees them, and texts; None for a row that cannot be read."""
    for chunk in source.chunks(4096):
        numbers = chunk.lines or range(chunk.first_row + 1, chunk.first_row + len(chunk.rows) + 1)
        yield from zip(numbers, chunk.rows.values(column), strict=True)
        yield from ((problem.line, None) for problem in chunk.unreadable)
