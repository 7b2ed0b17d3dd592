"""`stacked-emotion predict`: texts, lines of standard input, files and data sets."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain, islice
from typing import Any

from ..common.command_line import Parser, add_settings, settings_given
from ..common.errors import UserError
from ..data.arguments import DATASET_OPTIONS, FILE_OPTIONS, DataArguments

_READ_AHEAD = 4096
_OF_FILES = ("overwrite", "spreadsheet_safe", "prefix", "part_rows", *DATASET_OPTIONS)
_EXPLANATION_FORMATS = ("auto", "bars", "jsonl", "html")


def add_runtime_options(parser: Parser, dtype: str, automatic: str) -> None:
    """Declare how a model is loaded and run.

    Args:
        parser: of a command that predicts.
        dtype: the default of `--dtype`.
        automatic: which runtime `--backend auto` takes, for the help.
    """
    parser.add_argument("--revision", help="commit, tag or branch of a Hub ID")
    parser.add_argument(
        "--dtype", choices=("auto", "float32", "bfloat16", "float16", "int8"), default=dtype,
        help="auto: the fastest an export allows",
    )  # fmt: skip
    parser.add_argument(
        "--backend", choices=("auto", "torch", "onnx", "openvino"), default="auto",
        help=f"auto: {automatic}",
    )  # fmt: skip
    parser.add_argument(
        "--long_texts", choices=("truncate", "window"), default="truncate",
        help="texts that are too long: cut them, or read overlapping windows",
    )  # fmt: skip
    parser.add_argument(
        "--adaptive", action="store_true",
        help="skip encoders where the labels are certain enough, to save time",
    )  # fmt: skip
    parser.add_argument(
        "--abstain", type=float, metavar="SHARE",
        help="give labels only to this share of the texts, the surest ones, such as 0.9",
    )  # fmt: skip


def runtime_given(options: argparse.Namespace) -> dict[str, Any]:
    """What `add_runtime_options` declared, as keywords of `from_pretrained`."""
    names = ("revision", "dtype", "backend", "long_texts", "adaptive", "abstain")
    return {name: getattr(options, name) for name in names}


def add_predict_options(parser: Parser) -> None:
    """Declare the options of `predict`; nothing heavy is imported."""
    parser.set_defaults(run=partial(run_predict, parser))
    parser.add_argument(
        "texts", nargs="*", metavar="TEXT", help="texts; default: the lines of standard input"
    )
    parser.add_argument("--model", required=True, help="folder of a model or run, or Hub ID")
    add_runtime_options(parser, "auto", "torch, or the fastest an export allows")
    parser.add_argument(
        "--format", choices=_EXPLANATION_FORMATS, default="auto",
        help="auto: bars on a terminal, else JSON lines",
    )  # fmt: skip
    why = parser.add_argument_group("explanations")
    why.add_argument(
        "--explain", action="store_true",
        help="show each word's gates, attention and contribution to a label",
    )  # fmt: skip
    why.add_argument("--label", help="label that --explain explains; default: the most likely one")
    why.add_argument(
        "--explain_by", choices=("occlusion", "gradient"), default="occlusion",
        help="score change without the word, or gradient x input",
    )  # fmt: skip
    bulk = parser.add_argument_group("files and data sets")
    bulk.add_argument(
        "--input",
        help="a table of any format, the folder of a data set, or its ID on the Hub",
    )
    bulk.add_argument(
        "--output",
        help="a .csv, .tsv, .jsonl or .parquet file; run the same command again to resume",
    )
    bulk.add_argument("--overwrite", action="store_true", help="replace an existing output")
    bulk.add_argument(
        "--spreadsheet_safe", action="store_true",
        help="CSV and TSV: put an apostrophe before cells that a spreadsheet would run as formulas",
    )  # fmt: skip
    bulk.add_argument("--prefix", default="", help="prefix of the names of the new columns")
    bulk.add_argument(
        "--part_rows", type=int, help="rows per part, the unit that survives a kill; default: 4096"
    )
    for option, text in DATASET_OPTIONS.items():
        bulk.add_argument(f"--{option}", help=text)
    add_settings(parser, DataArguments, only=("text_column", *FILE_OPTIONS), heading="reading")


def run_predict(parser: Parser, options: argparse.Namespace) -> int:
    """Run `predict` and return its exit code.

    Raises:
        UserError: options that do not fit together, or nothing to predict.
    """
    from .model_files import local_folder

    local_folder(options.model, options.revision)  # a wrong path is told before anything is loaded
    if options.input or options.output:
        if options.texts or options.explain or not (options.input and options.output):
            raise UserError(
                "Give --input and --output together, without --explain and without texts."
            )
        return _predict_file(options, settings_given(parser, options))
    of_files = [*settings_given(parser, options), *filter(partial(getattr, options), _OF_FILES)]
    if of_files:
        raise UserError(f"--{of_files[0]} is for files and data sets: give --input and --output.")
    if options.explain and options.backend not in ("auto", "torch"):
        raise UserError(f"--explain computes in torch: leave out --backend {options.backend}.")
    if options.format == "html" and not options.explain:
        raise UserError("--format html shows explanations: add --explain.")
    if options.label is not None and not options.explain:
        raise UserError("--label says which label to explain: add --explain.")
    if options.long_texts == "window" and options.explain:
        raise UserError(
            "--explain covers the words that are read at once: leave out --long_texts window."
        )
    if options.adaptive and options.explain:
        raise UserError("--explain explains the whole stack: leave out --adaptive.")
    texts = _texts(options.texts)
    return _explain(options, texts) if options.explain else _predict_texts(options, texts)


def _predict_file(options: argparse.Namespace, reading: dict[str, Any]) -> int:
    from .bulk import PART_ROWS, predict_file

    runtime = runtime_given(options).items()  # resuming compares what was given, not defaults
    given = {name: value for name, value in runtime if value is not None and value is not False}
    report = predict_file(
        options.model,
        options.input,
        options.output,
        text_column=reading.pop("text_column", None),
        part_rows=PART_ROWS if options.part_rows is None else options.part_rows,
        prefix=options.prefix,
        overwrite=options.overwrite,
        spreadsheet_safe=options.spreadsheet_safe,
        source_options=reading | {name: getattr(options, name) for name in DATASET_OPTIONS},
        **given,
    )
    if report is not None:
        print(report)
    return 0


def _texts(given: list[str]) -> Iterator[str]:
    """The texts of the command line, or the lines of standard input; at least one."""
    texts = iter(given) if given else (line.rstrip("\r\n") for line in sys.stdin)
    first = next(texts, None)
    if first is None:
        raise UserError("There is nothing to predict: give texts, --input, or lines on stdin.")

    return chain([first], texts)


def _predict_texts(options: argparse.Namespace, texts: Iterable[str]) -> int:
    from ..common.inert_text import printable
    from .predictions import prediction_line
    from .predictor import StackedEmotionPredictor
    from .score_bars import bars

    predictor = StackedEmotionPredictor.from_pretrained(options.model, **runtime_given(options))
    truncated = 0
    show_bars = options.format == "bars" or (options.format == "auto" and sys.stdout.isatty())
    texts = iter(texts)
    while chunk := list(islice(texts, _READ_AHEAD)):
        for text, answer in zip(chunk, predictor.predict(chunk), strict=True):
            truncated += answer.truncated
            if show_bars:
                print(f"\n  {printable(text)}")
                print(bars(answer.scores, answer.labels, predictor.decision))
                if not answer.has_words:
                    print("    (no words: no label)")
            else:
                print(prediction_line(text, answer))
    if truncated:
        print(
            f"Texts that were too long and were truncated: {truncated:,}. To read all of them, use "
            "--long_texts window.",
            file=sys.stderr,
        )
    return 0


def _explain(options: argparse.Namespace, texts: Iterable[str]) -> int:
    from ..common.inert_text import json_line
    from .explanations.explain import explain
    from .explanations.rendering import html_page
    from .predictor import StackedEmotionPredictor

    dtype = "float32" if options.dtype == "auto" else options.dtype
    predictor = StackedEmotionPredictor.from_pretrained(
        options.model, revision=options.revision, dtype=dtype, backend="torch",
        abstain=options.abstain,
    )  # fmt: skip
    explanations = (explain(predictor, text, options.label, options.explain_by) for text in texts)
    if options.format == "html":
        print(html_page(explanation.to_html() for explanation in explanations))
        return 0
    for explanation in explanations:
        if options.format == "jsonl":
            print(json_line(explanation.to_dict()))
        else:
            print(explanation.to_text() + "\n")
    return 0
