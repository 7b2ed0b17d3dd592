"""All stages: `accelerate launch -m stacked_emotion.trainer.train --config recipe.yaml …`."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from accelerate import PartialState

from ..common.files import replace_text
from ..common.finished import thorough
from ..common.locks import output_folder
from ..common.settings import dump_yaml
from .arguments import TrainingRecipe
from .commands import command_main
from .results import baselines_command, system_marks, systems_table
from .running.kept_tables import KeptTables
from .running.once import main_rank_alone, run_folder
from .running.processes import join_ranks, prepare_process
from .running.progress import announce
from .stages.context import RunContext
from .stages.encoders import finished_encoders, run_encoders
from .stages.finish import finish_run
from .stages.joint import run_joint
from .stages.meta_and_head import finished_stage, run_head, run_meta

RUNNERS: dict[str, Callable[[RunContext], dict[str, Any]]] = {
    "encoders": run_encoders,
    "meta": run_meta,
    "head": run_head,
    "joint": run_joint,
}


def run_training(recipe: TrainingRecipe, tables: KeptTables | None = None) -> dict[str, Any]:
    """Run the stages of a recipe that are not finished yet.

    Args:
        recipe: all settings.
        tables: tables in memory that its files keep, which are written when all is checked.

    Returns:
        The results, as in `<output_dir>/results.json`; with `--stage` and no `head` among the
        stages done so far, only the stages' records.

    Raises:
        UserError: bad data, options or folders, each with how to fix it.
    """
    begin = time.monotonic()
    join_ranks()
    context = RunContext.load(recipe, tables.tables if tables else {})
    if tables and PartialState().is_main_process:
        with output_folder(context.output):
            tables.write()
    repeats = [
        replace(context, recipe=_with_seed(recipe, seed))
        for seed in recipe.stages.encoder_seeds[1:]
    ]
    for repeat in repeats:
        announce(f"The whole training with seed {repeat.recipe.stages.seed}, in {repeat.output}.")
        _train(repeat, time.monotonic())
    return _train(context, begin, repeats)


def _with_seed(recipe: TrainingRecipe, seed: int) -> TrainingRecipe:
    """The same training with other folds and encoders, in a folder of its own."""
    output = str(Path(recipe.stages.output_dir) / f"seed_{seed}")
    stages = replace(recipe.stages, seed=seed, encoder_seeds=[], output_dir=output)
    return replace(recipe, stages=stages)


def _train(context: RunContext, begin: float, repeats: Sequence[RunContext] = ()) -> dict[str, Any]:
    """The stages of one training, and its figures together with those of its repeats."""
    recipe = context.recipe
    chosen = recipe.stages.stage
    if chosen == ["encoders"]:  # several machines may share this work, an encoder each
        with thorough(recipe.stages.verify):
            records = {"encoders": run_encoders(context)}
            _write_recipe(context)
            return {"stages": records}
    with run_folder(context.output, recipe.stages.verify):
        if not (context.output / "results.json").is_file():
            _write_recipe(context)
        results = _run_stages(context, chosen, begin, repeats)
        _write_recipe(context)  # of a finished run only now: it belongs to the results beside it
        return results


def _write_recipe(context: RunContext) -> None:
    """Write all settings to the folder of the run, as a recipe that can be run again."""
    if PartialState().is_main_process:
        replace_text(context.output / "recipe.yaml", dump_yaml(context.recipe.to_dict()))


def _finished(context: RunContext, stage: str) -> dict[str, Any]:
    """What an earlier command left of a stage.

    Raises:
        UserError: it is not there, damaged, or of another recipe.
    """
    if stage == "encoders":
        return finished_encoders(context)
    return finished_stage(context, stage).record


def _run_stages(
    context: RunContext, chosen: list[str], begin: float, repeats: Sequence[RunContext]
) -> dict[str, Any]:
    records: dict[str, Any] = {}
    last = max(place for place, stage in enumerate(RUNNERS) if stage in chosen)
    for place, (stage, run) in enumerate(RUNNERS.items()):
        if stage in chosen:
            records[stage] = run(context)
        if place < last and (stage not in chosen or context.recipe.stages.train_encoders):
            records[stage] = _finished(context, stage)
    if not {"head", "joint"} & set(chosen):
        return {"stages": records}
    if PartialState().is_main_process:
        with main_rank_alone():
            return finish_run(context, records, begin, repeats)
    return {"stages": records}


def shown(results: dict[str, Any], folder: str) -> str:
    """What `train` prints at the end: a table per held-out split, and what to do next."""
    parts = ["\n".join(f"- {text}" for text in results["summary"])] if results["summary"] else []
    for split in results["splits"]:
        systems = {name: entry[split] for name, entry in results["systems"].items()}
        marks = system_marks(results, split)
        parts.append(f"{split}:\n{systems_table(systems, aligned=True, marks=marks)}")
    run = shlex.quote(folder)
    steps = {
        "predict": f"stacked-emotion predict --model {run} 'a text of yours'",
        "publish": f"stacked-emotion publish {run} --repo_id USER/NAME --dry_run",
    }
    if results["splits"]:
        steps["compare with baselines"] = baselines_command(folder)
    width = max(map(len, steps))
    parts.append(
        f"The model is in {folder}/model, all figures are in {folder}/results.md. Next:\n"
        + "\n".join(f"  {name:<{width}}  {command}" for name, command in steps.items())
    )
    return "\n\n".join(parts)


def run_recipe(recipe: TrainingRecipe) -> None:
    """Run a recipe and print its results; the command `train`."""
    prepare_process()
    results = run_training(recipe)
    if PartialState().is_main_process and "systems" in results:
        print(shown(results, recipe.stages.output_dir))


main = partial(command_main, "train")


if __name__ == "__main__":
    sys.exit(main())
