"""`stacked-emotion distill`: train one stock encoder to answer like a stack."""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from accelerate import PartialState

from ...common.files import replace_text
from ...common.settings import dump_yaml
from ..commands import command_main
from ..results import to_markdown
from ..running.once import run_folder
from ..running.processes import join_ranks, prepare_process
from .arguments import Distillation
from .finish import finish_distillation, lead_table
from .run import DistillationContext


def run_distillation(arguments: Distillation) -> dict[str, Any]:
    """Score the texts by the teacher, train the students, and write the finished folder.

    Finished parts are kept: to resume a killed run, run the same command again.

    Returns:
        The results, as in `<output_dir>/results.json`; an empty dict on other ranks than the first.

    Raises:
        UserError: bad data, options or folders, each with how to fix it.
    """
    begin = time.monotonic()
    join_ranks()
    options = arguments.options
    with run_folder(Path(options.output_dir), options.verify):
        context = DistillationContext.load(arguments)
        records = context.train_all()
        if not PartialState().is_main_process:
            return {}
        replace_text(context.output / "recipe.yaml", dump_yaml(arguments.to_dict()))
        results = finish_distillation(context, records, begin)
        if options.onnx:
            from ...inference.backends.student_export import export_student

            export_student(context.output / "model")
        return results


def run_distillation_command(arguments: Distillation) -> None:
    """Run a distillation and print its results; the command `distill`."""
    import datasets

    prepare_process()
    datasets.disable_progress_bars()
    if results := run_distillation(arguments):
        print(to_markdown(results) + lead_table(results))
        print(f"The student is in {arguments.options.output_dir}/model.")


main = partial(command_main, "distill")


if __name__ == "__main__":
    sys.exit(main())
