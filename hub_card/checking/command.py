"""The command `check`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ...data.arguments import add_reading_options, reading_options

FAILED = 1


def add_check_command(commands: Any) -> None:
    """Add the parser to what `ArgumentParser.add_subparsers` returned."""
    check = commands.add_parser(
        "check", help="check a model: code, weights, invariances, figures and graphs"
    )
    check.add_argument("model", metavar="MODEL", help="folder of a model or run, or Hub ID")
    check.add_argument("--revision", help="commit, tag or branch of a Hub ID")
    check.add_argument(
        "--run_its_code", action="store_true",
        help="run code that is not that of this release; read it first",
    )  # fmt: skip
    check.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON too")
    check.add_argument(
        "--test_file",
        help="labeled texts that results.json has figures of; default: those of the run",
    )
    add_reading_options(check.add_argument_group("reading"))
    check.set_defaults(run=_check)


def _check(options: argparse.Namespace) -> int:
    import sys

    from ...common.errors import UserError
    from ...common.files import write_json
    from ...inference.model_files import local_folder

    local_folder(options.model, options.revision)  # a wrong path is told before anything is loaded
    from .check import check_model

    if options.json and not options.json.absolute().parent.is_dir():
        raise UserError(f"--json {options.json}: {options.json.parent} is not a folder.")
    found = check_model(
        options.model,
        options.revision,
        test_file=options.test_file,
        reading=reading_options(options),
        run_its_code=options.run_its_code,
        debug=getattr(options, "debug", False),
        report=lambda line: print(f"{line} …", file=sys.stderr, flush=True),
    )
    print(found.to_text())
    if options.json:
        write_json(options.json, found.to_dict())
    return 0 if found.passed else FAILED
