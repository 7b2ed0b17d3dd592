"""`stacked-emotion ablate`: every row in turn, on shared encoders and features."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState
from safetensors.numpy import load_file, save_file

from ...common.errors import UserError
from ...common.files import fingerprint, replace_text, write_json
from ...common.finished import Form
from ..arguments import TrainingRecipe
from ..choosing.decision_rules import Decision
from ..choosing.thresholds import DECISION_FORM
from ..commands import command_main
from ..results import System
from ..running.once import run_folder, run_once
from ..running.processes import join_ranks, prepare_process
from ..running.progress import announce, duration
from ..stages.context import RunContext
from ..stages.encoders import finished_encoders, run_encoders, weights_digest
from .figures import Outcome, Row
from .table import to_markdown
from .trained import trained_system
from .untrained import untrained_system
from .variants import FULL, Variant, chosen_variants

# Raised when the same settings come to other figures: rows without stages are then done again.
ROWS_VERSION = 2


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
    order = sorted(chosen, key=lambda variant: variant.title != FULL)
    figures: dict[str, Any] = {}
    for place, variant in enumerate(order):
        announce(
            f"Ablation {place + 1} of {len(order)}: {variant.title}"
            f"{_time_left(order[place:], outcome.rows.values())}."
        )
        outcome.add(finish_row(full, variant, root))
        figures = outcome.to_dict()
        if PartialState().is_main_process:
            write_json(full.output / "ablation.json", figures)
            replace_text(full.output / "ablation.md", to_markdown(figures))
    return figures


def _time_left(variants: Sequence[Variant], done: Iterable[Row]) -> str:
    """How long these rows will take if each takes as long as those trained before on average."""
    known = [row.details["seconds"] for row in done if row.variant.kind == "stack"]
    left = sum(variant.kind == "stack" for variant in variants)
    return f"; {duration(left * float(np.mean(known)))} left" if known else ""


def finish_row(full: RunContext, variant: Variant, root: Path) -> Row:
    """Do the work of a row in `<root>/<slug>`, or what is left of it."""
    if variant.kind in ("stack", "meta"):
        return Row(variant, *trained_system(full, variant, root))
    if variant.kind in ("encoder", "average"):  # nothing to compute but the decision
        begin = time.monotonic()
        system, details = untrained_system(full, variant)
        return Row(variant, system, details | {"seconds": round(time.monotonic() - begin, 2)})
    return _kept(full, variant, root)


def _kept(full: RunContext, variant: Variant, root: Path) -> Row:
    """A row without stages: computed once and kept."""
    stages = full.recipe.stages
    digests = {}
    if variant.encoder:
        parts = {"final", *(f"fold_{k}" for k in range(full.folds) if stages.cross_fit)}
        digests = {part: weights_digest(full, variant.encoder, part) for part in sorted(parts)}
    own = variant.kind == "own_tokens"  # the encoder's own tokenizer, as it is in the source now
    key = fingerprint(
        [ROWS_VERSION, full.source_states.get(str(variant.encoder)) if own else None],
        {"variant": variant.title, "digests": digests, "folds": [stages.cross_fit, stages.seed]},
        {"rule": [stages.threshold_objective, stages.decisions]},
        {split: texts.fingerprint() for split, texts in full.splits.items()},
        full.data_fingerprint,
    )

    def work(folder: Path) -> dict[str, Any]:
        system, details = untrained_system(full, variant)
        if PartialState().is_main_process:
            save_file(system.logits, folder / "logits.safetensors")
        return details | {"decision": system.decision.to_dict()}

    folder = root / variant.slug
    tokens = {"tokens": {str: {"texts": int, "changed": int}}}
    fields = {"decision": DECISION_FORM} | (tokens if own else {})
    record = run_once(folder, key, work, Form(fields, ("logits.safetensors",)))
    system = System(
        variant.title,
        Decision.from_dict(record["decision"]),
        load_file(folder / "logits.safetensors"),
    )
    return Row(variant, system, {k: v for k, v in record.items() if k != "decision"})


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
