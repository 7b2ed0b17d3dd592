"""`stacked-emotion`: the command line."""

from __future__ import annotations

import argparse
import io
import sys
import textwrap
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from . import __version__
from .common.command_line import (
    USER_MISTAKE,
    Commands,
    Parser,
    add_settings,
    pairs,
    run_command,
    settings_given,
)
from .common.errors import did_you_mean
from .data.arguments import READING_OPTIONS, DataArguments
from .data.inspection import REFUSED, add_inspect_options, inspect_files, to_json
from .hub_card.checking.command import CHECK_COMMAND
from .hub_card.commands import PUBLISHING_COMMANDS
from .hub_card.space.commands import DEMO_COMMANDS
from .inference.backends.export_command import add_export_options
from .inference.command import add_predict_options, add_runtime_options, runtime_given
from .inference.serving.command import add_serve_options
from .trainer.commands import TRAINING_COMMANDS
from .trainer.labeling.commands import LABELING_COMMANDS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: the words after the program's name; by default those of this process.

    Returns:
        The exit code: 0 for success, 1 for a bug of this package or a `check` that failed, 2 for
        a mistake in what was asked, 130 when interrupted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    name = next((word for word in words if word in COMMANDS), "")
    parser = build_parser([name])
    if not words:
        parser.print_help()
        return USER_MISTAKE

    def command() -> int | None:
        if not name and not words[0].startswith("-"):
            parser.error(f"unknown command {words[0]!r}{did_you_mean(words[0], COMMANDS)}")
        options = parser.parse_args(words)
        return options.run(options)

    return run_command(command, words, words[0].strip("-"))


def build_parser(declared: Sequence[str] | None = None) -> Parser:
    """The parser of all commands. Building it imports neither torch nor transformers.

    Args:
        declared: the commands whose options are declared; by default all.
    """
    parser = Parser(
        prog="stacked-emotion",
        usage="%(prog)s COMMAND …",
        description="Multi-label emotion classification with a stack of fine-tuned encoders.",
        epilog="`stacked-emotion COMMAND --help` shows the options of a command.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", prog="stacked-emotion"
    )
    for name, (text, declare) in COMMANDS.items():
        about = f"{text[0].upper()}{text[1:]}."
        command = commands.add_parser(name, help=text, description=about)
        if declared is None or name in declared:
            declare(command)
    return parser


def _add_demo_options(parser: Parser) -> None:
    parser.add_argument("--output_dir", type=Path, default=Path("outputs/demo"), metavar="DIR",
                        help="folder of everything it writes")  # fmt: skip
    parser.set_defaults(run=_demo)


def _add_evaluate_options(parser: Parser) -> None:
    parser.add_argument("--model", required=True, help="folder of a model or run, or Hub ID")
    parser.add_argument("--test_file", required=True, help="labeled texts, as for training")
    parser.add_argument("--output", type=Path, help="write all figures to this JSON file")
    add_runtime_options(parser, "auto", "torch, or the fastest an export allows")
    add_settings(parser, DataArguments, only=READING_OPTIONS, heading="reading")
    parser.set_defaults(run=partial(_evaluate, parser))


def _add_inspect_options(parser: Parser) -> None:
    add_inspect_options(parser)
    parser.set_defaults(run=partial(_inspect, parser))


def _demo(options: argparse.Namespace) -> int:
    from .trainer.demo import run_demo

    run_demo(options.output_dir)
    print(
        f"\nThe model is in {options.output_dir / 'model'}. Next:\n"
        "  with real encoders and data   stacked-emotion train --config semeval2018_arabic "
        "--output_dir runs/arabic\n"
        "  with your own labels          copy recipes/your_labels.yaml, then "
        "stacked-emotion train --config my_recipe.yaml\n"
        f"  your own texts                stacked-emotion predict --model "
        f"{options.output_dir / 'model'} 'نص من عندك'"
    )
    return 0


def _inspect(parser: Parser, options: argparse.Namespace) -> int:
    """Show what tables are read as, and the checks of encoders with their texts."""
    named = [
        word if "=" in word else f"{Path(word).name}={word}" for word in options.encoders or ()
    ]
    sources = pairs("encoders", named)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
    found = inspect_files(options, settings_given(parser, options))
    checks = []
    if sources:
        from .trainer.encoder_checks import check_encoders

        read = [one.texts.texts for one in found if one.texts is not None]
        checks = check_encoders(sources, texts=read[0] if read else (),
                                max_length=options.max_length)  # fmt: skip
    if options.json:
        more = {"encoders": [check.to_dict() for check in checks]} if sources else {}
        print(to_json(found, more))
    else:
        shown = [inspection.to_text() for inspection in found]
        if sources:
            text = "\n".join(check.to_text() for check in checks)
            shown.append(f"encoders\n{textwrap.indent(text, '  ')}")
        print("\n\n".join(shown))
    bad = any(one.problems for one in found) or any(check.problems for check in checks)
    return REFUSED if bad else 0


def _evaluate(parser: Parser, options: argparse.Namespace) -> int:
    from .common.disk import check_file
    from .common.environment import environment
    from .common.files import write_json
    from .inference.model_files import ModelFiles
    from .trainer.metrics.evaluation import evaluate, labeled_for

    check_file(options.output, "--output")
    names = list(ModelFiles(options.model, options.revision).decision().labels)
    texts = labeled_for(names, options.test_file, settings_given(parser, options))
    from .inference import StackedEmotionPredictor  # only now: it loads torch

    predictor = StackedEmotionPredictor.from_pretrained(options.model, **runtime_given(options))
    if texts.inventory is not None:
        print(f"{texts.inventory.to_text()}\n")
    found = evaluate(predictor, texts)
    print(found.to_markdown())
    if options.output:
        model = {"model": str(options.model), "revision": options.revision}
        write_json(options.output, model | found.to_dict() | {"environment": environment()})
    return 0


COMMANDS: Commands = {
    "demo": (
        "train and use a tiny stack on the bundled sample, in a few minutes", _add_demo_options
    ),
    **TRAINING_COMMANDS,
    "evaluate": ("score a model on labeled texts", _add_evaluate_options),
    "predict": (
        "label texts: arguments, lines of standard input, a file or a data set",
        add_predict_options,
    ),
    "inspect": (
        "show how files of labeled texts are read, without training", _add_inspect_options
    ),
    **LABELING_COMMANDS,
    "export": (
        "export a model for ONNX Runtime and OpenVINO, and report how exact it is",
        add_export_options,
    ),
    "serve": ("answer requests over HTTP", add_serve_options),
    **CHECK_COMMAND,
    **PUBLISHING_COMMANDS,
    **DEMO_COMMANDS,
}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
