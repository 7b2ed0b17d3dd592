"""The commands `train`, `ablate`, `tune`, `distill` and `compare` of the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ..common.command_line import Commands, Parser, add_settings, run_command, settings_given
from ..data.arguments import DataArguments
from .distillation.arguments import add_distillation_options, distillation_of
from .recipe import add_recipe_options, recipe_of


def command_main(name: str, arguments: Sequence[str] | None = None) -> int:
    """Run one of the commands, as `python -m` does.

    Args:
        name: one of `TRAINING_COMMANDS`.
        arguments: the words after the command; by default those of this process.

    Returns:
        The exit code; see `run_command`.
    """
    text, declare = TRAINING_COMMANDS[name]
    parser = Parser(prog=f"stacked-emotion {name}", description=text)
    declare(parser)
    words = sys.argv[1:] if arguments is None else list(arguments)

    def command() -> None:
        options = parser.parse_args(words)
        options.run(options)

    return run_command(command, words, name)


def _add_train(parser: Parser) -> None:
    add_recipe_options(parser)
    parser.set_defaults(run=partial(_train, parser))


def _add_ablate(parser: Parser) -> None:
    own = parser.add_argument_group("ablation")
    own.add_argument(
        "--variants", nargs="+", default=[], metavar="NAME",
        help="only these rows, and the stack; `--variants list` shows them",
    )  # fmt: skip
    own.add_argument(
        "--seeds", nargs="+", dest="head_seeds", default=argparse.SUPPRESS, metavar="N",
        help="another name of --head_seeds",
    )  # fmt: skip
    add_recipe_options(parser)
    parser.set_defaults(run=partial(_ablate, parser))


def _add_tune(parser: Parser) -> None:
    own = parser.add_argument_group("search")
    own.add_argument(
        "--trials", type=_positive, default=20, metavar="N",
        help="finished trials in all, 20 by default; the first is the unchanged recipe",
    )  # fmt: skip
    own.add_argument(
        "--minutes", type=_positive, default=float("inf"), metavar="M",
        help="start no trial after this many minutes",
    )  # fmt: skip
    own.add_argument(
        "--parameters", nargs="+", default=[], metavar="NAME",
        help="only these: name, name=low..high or name=a,b,c",
    )  # fmt: skip
    add_recipe_options(parser)
    parser.set_defaults(run=partial(_tune, parser))


def _add_distill(parser: Parser) -> None:
    add_distillation_options(parser)
    parser.set_defaults(run=partial(_distill, parser))


def _add_compare(parser: Parser) -> None:
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN",
        help="folders of finished trainings; the others are compared with the first",
    )  # fmt: skip
    parser.add_argument(
        "--system", metavar="NAME",
        help="meta, average or an encoder; default: the last system, which is published",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, help="write all figures to this JSON file")
    add_settings(
        parser, DataArguments, only=("train_file", "validation_file", "test_file"),
        heading="where the texts of the first run are now, if not where its recipe says",
    )  # fmt: skip
    parser.set_defaults(run=partial(_compare, parser))


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not number > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def _train(parser: Parser, options: argparse.Namespace) -> None:
    recipe = recipe_of(parser, options)
    from .train import run_recipe

    run_recipe(recipe)


def _ablate(parser: Parser, options: argparse.Namespace) -> None:
    recipe = recipe_of(parser, options)
    from .ablation.runner import run_ablation_command

    run_ablation_command(recipe, options.variants)


def _tune(parser: Parser, options: argparse.Namespace) -> None:
    recipe = recipe_of(parser, options)
    from .tuning.search import run_tuning_command

    run_tuning_command(recipe, int(options.trials), 60 * options.minutes, options.parameters)


def _distill(parser: Parser, options: argparse.Namespace) -> None:
    arguments = distillation_of(parser, options)
    from .distillation.command import run_distillation_command

    run_distillation_command(arguments)


def _compare(parser: Parser, options: argparse.Namespace) -> None:
    from ..common.disk import check_file
    from ..common.environment import environment
    from ..common.files import write_json
    from .metrics.comparison import compare_runs, comparison_markdown

    check_file(options.output, "--output")
    found = compare_runs(options.runs, options.system, settings_given(parser, options))
    print(comparison_markdown(found))
    if options.output:
        write_json(options.output, found | {"environment": environment()})


TRAINING_COMMANDS: Commands = {
    "train": ("train a stack from a recipe, or resume an interrupted training", _add_train),
    "ablate": ("train and score a stack without each of its parts", _add_ablate),
    "tune": ("search hyper-parameters of the layers on top of the encoders", _add_tune),
    "distill": ("distill a stack into one stock encoder", _add_distill),
    "compare": ("show what differs between runs on the same texts, with intervals", _add_compare),
}
