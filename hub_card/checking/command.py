"""The command `check`."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from ...common.command_line import Commands, Parser, add_settings, settings_given
from ...data.arguments import READING_OPTIONS, DataArguments

FAILED = 1


def _add_check_options(check: Parser) -> None:
    check.add_argument("model", metavar="MODEL", help="folder of a model or run, or Hub ID")
    check.add_argument("--revision", help="commit, tag or branch of a Hub ID")
    check.add_argument(
        "--run_its_code", action="store_true",
        help="run the model's code even if it is not that of this release; read it first",
    )  # fmt: skip
    check.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON too")
    check.add_argument(
        "--test_file",
        help="labeled texts to compare with the figures in results.json; default: the run's",
    )
    add_settings(check, DataArguments, only=READING_OPTIONS, heading="reading")
    check.set_defaults(run=partial(_check, check))


CHECK_COMMAND: Commands = {
    "check": ("check a model: code, weights, scores, figures and graphs", _add_check_options)
}


def _check(parser: Parser, options: argparse.Namespace) -> int:
    import sys

    from ...common.disk import check_file
    from ...common.files import write_json
    from ...inference.model_files import local_folder

    local_folder(options.model, options.revision)  # a wrong path is told before anything is loaded
    from .check import check_model

    check_file(options.json, "--json")
    found = check_model(
        options.model,
        options.revision,
        test_file=options.test_file,
        reading=settings_given(parser, options),
        run_its_code=options.run_its_code,
        debug=getattr(options, "debug", False),
        report=lambda line: print(f"{line} …", file=sys.stderr, flush=True),
    )
    print(found.to_text())
    if options.json:
        write_json(options.json, found.to_dict())
    return 0 if found.passed else FAILED
