"""`stacked-emotion ablate`: every row in turn, on shared encoders and features."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from accelerate import PartialState

from ...common.errors import UserError
from ...common.files import write_json
from ..arguments import TrainingRecipe, parse_recipe
from ..recipe_words import take_option, with_recipe_first
from ..running.once import run_folder
from ..running.process_start import prepare_process
from ..running.processes import join_ranks
from ..running.progress import announce, duration
from ..stages.context import RunContext
from ..stages.encoders import run_encoders
from .outcome import Outcome
from .rows import Row, expected_seconds, finish_row
from .table import to_markdown
from .variants import FULL, Variant, chosen_variants

USAGE = """\
usage: stacked-emotion ablate RECIPE [--seeds N …] [--variants NAME …] [options of train]

Train and score a recipe's stack without each of its parts, with every loss, and each encoder alone.
Encoders and features are those of the run in --output_dir, made where they are missing, or of the
run in --encoders_from. A stage that is the same in several rows is run once; finished rows are
kept, so that the same command goes on where it was. The figures are written to
<output_dir>/ablation.json and ablation.md after every row.

  RECIPE             a YAML file, or the name of a recipe of the package
  --seeds N …        seeds of the layers on top (head_seeds of the recipe)
  --variants NAME …  only these rows and the stack; --variants list shows them
  other options      those of `stacked-emotion train` (see its --help), such as --train_file,
                     --validation_file, --encoders and --output_dir
"""


def run_ablation(recipe: TrainingRecipe, variants: Sequence[str] = ()) -> dict[str, Any]:
    """Train and score every row; what is finished is not done again.

    Args:
        recipe: all arguments; `head_seeds` are the seeds of every row.
        variants: titles or slugs of rows; empty for all. The stack is always among them.

    Returns:
        What is in `<output_dir>/ablation.json`; see `Outcome.to_dict`.

    Raises:
        UserError: bad data or options, an unknown row, or no split to score.
    """
    chosen = chosen_variants(recipe, variants)
    join_ranks()
    full = RunContext.load(recipe)
    if not full.held_out_splits:
        raise UserError("There is nothing to score: give --validation_file or --test_file.")
    with run_folder(full.output, recipe.stages.verify):
        return _run_rows(full, chosen)


def _run_rows(full: RunContext, chosen: list[Variant]) -> dict[str, Any]:
    if full.recipe.stages.encoders_from is None:
        run_encoders(full)
    root = full.output / "ablation"
    outcome = Outcome(full, chosen)
    done: dict[str, Row] = {}
    first = [variant for variant in chosen if variant.title == FULL]
    order = first + [variant for variant in chosen if variant.title != FULL]
    figures: dict[str, Any] = {}
    for place, variant in enumerate(order):
        left = expected_seconds(full, order, root, done)
        announce(
            f"Ablation {place + 1} of {len(order)}: {variant.title}"
            f"{'' if left is None else f'; {duration(left)} left'}."
        )
        row = finish_row(full, variant, root)
        done[variant.title] = row
        outcome.add(row)
        figures = outcome.to_dict()
        if PartialState().is_main_process:
            write_json(full.output / "ablation.json", figures)
            (full.output / "ablation.md").write_text(to_markdown(figures), encoding="utf-8")
    return figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point: the options of training, `--seeds` and `--variants`."""
    prepare_process()
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or {"-h", "--help"} & set(words):
        print(USAGE)
        return 0 if words else 2
    try:
        words, variants = take_option(with_recipe_first(words), "--variants")
        words = ["--head_seeds" if word == "--seeds" else word for word in words]
        recipe = parse_recipe(words)
        if variants == ["list"]:
            for variant in chosen_variants(recipe, ()):
                print(f"{variant.slug:40} {variant.group}")
            return 0
        figures = run_ablation(recipe, variants or ())
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if PartialState().is_main_process:
        print(to_markdown(figures))
    return 0
