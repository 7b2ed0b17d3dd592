"""`stacked-emotion ablate`: every row in turn, on shared encoders and features."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from accelerate import PartialState

from ...common.errors import UserError
from ...common.files import replace_text, write_json
from ..arguments import TrainingRecipe
from ..commands import command_main
from ..running.once import run_folder
from ..running.processes import join_ranks, prepare_process
from ..running.progress import announce, duration
from ..stages.context import RunContext
from ..stages.encoders import finished_encoders, run_encoders
from .outcome import Outcome
from .rows import Row, expected_seconds, finish_row
from .table import to_markdown
from .variants import FULL, Variant, chosen_variants


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
    given = full.recipe.stages.encoders_from
    finished_encoders(full) if given else run_encoders(full)
    root = full.output / "ablation"
    outcome = Outcome(full, chosen)
    done: dict[str, Row] = {}
    first = [variant for variant in chosen if variant.title == FULL]
    order = first + [variant for variant in chosen if variant.title != FULL]
    figures: dict[str, Any] = {}
    for place, variant in enumerate(order):
        left = expected_seconds(order, done)
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
            replace_text(full.output / "ablation.md", to_markdown(figures))
    return figures


def run_ablation_command(recipe: TrainingRecipe, variants: Sequence[str]) -> None:
    """Run the ablation of a recipe and print the table; the command `ablate`."""
    prepare_process()
    if list(variants) == ["list"]:
        for variant in chosen_variants(recipe, ()):
            print(f"{variant.slug:40} {variant.group}")
        return
    figures = run_ablation(recipe, variants)
    if PartialState().is_main_process:
        print(to_markdown(figures))


main = partial(command_main, "ablate")
