"""Reading a recipe: a YAML file, then keywords or a command line, which win."""

from __future__ import annotations

import os
import re
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..common.command_line import Parser, add_settings, settings_given
from ..common.errors import UserError
from ..common.privacy import refuse_secret_settings
from ..common.settings import (
    Whole,
    build,
    checked,
    hints_of,
    merged,
    read_yaml,
)
from ..recipes import RECIPES
from .arguments import TrainingRecipe
from .training_sections import EncoderSettings, FineTuning

_NAME = re.compile(r"[a-z][a-z0-9_]*")
SECTIONS = ("encoder_defaults", "meta", "head", "joint")
EPILOG = """\
Every option is also a key of a recipe: --head.learning_rate 1e-3 is `head: {learning_rate: 1e-3}`.
One encoder's own settings: --encoders.NAME.KEY, with the keys of --encoder_defaults and source,
revision, prefix, user_placeholder, link_placeholder, ngrams, ngrams_c, ngrams_bits. Options of a
loss: --head.loss.options.KEY.
The sections also take every field of transformers.TrainingArguments, such as
--encoder_defaults.gradient_accumulation_steps 4 or --head.lr_scheduler_type cosine.
"""


def recipe_file(path: str | Path) -> Path:
    """The file of a recipe.

    Args:
        path: a YAML file, the folder of a run, or the name of a recipe of the package
            (`semeval2018_arabic`).

    Raises:
        UserError: neither exists.
    """
    given = Path(path).expanduser()
    inside = RECIPES / f"{given.name.removesuffix('.yaml')}.yaml"
    if given.is_file():
        return given
    if not inside.exists():
        if (given / "recipe.yaml").is_file():
            return given / "recipe.yaml"
        known = ", ".join(sorted(entry.stem for entry in RECIPES.glob("*.yaml")))
        raise UserError(f"There is no recipe {path}. The package has {known}.")
    return inside


def read_recipe(path: str | Path) -> dict[str, Any]:
    """The keys a recipe sets, checked.

    Args:
        path: a YAML file, or the name of a recipe of the package (`semeval2018_arabic`).

    Raises:
        UserError: no such file, not YAML, an unknown key, with the nearest one, or a bad value.
    """
    file = recipe_file(path)
    return checked(TrainingRecipe, read_yaml(file), f"{file}: ")


def make_recipe(settings: Mapping[str, Any], config: str | Path | None = None) -> TrainingRecipe:
    """A recipe from checked settings, above those of a recipe file.

    Encoders that are given as a whole take the place of the file's. One that the file names too
    keeps its other settings there, except for the revision of another source.

    Args:
        settings: sections in sections, from `checked` or `settings_given`.
        config: see `recipe_file`.

    Raises:
        UserError: see `read_recipe`, and values that do not fit together.
    """
    file = read_recipe(config) if config else {}
    values = merged(file, settings)
    refuse_secret_settings(values)
    if isinstance(settings.get("encoders"), Whole):
        known = file.get("encoders", {})
        values["encoders"] = {
            name: merged(_kept(known.get(name, {}), given), dict(given))
            for name, given in settings["encoders"].items()
        }
    shared = dict(values.pop("encoder_defaults", {}))
    values["encoder_defaults"] = {k: v for k, v in shared.items() if k != "pretraining"}
    shared["pretraining"] = shared.get("pretraining") or values.pop("pretraining", [])
    values["encoders"] = {
        name: _with_defaults(shared, dict(given))
        for name, given in values.get("encoders", {}).items()
    }
    for given in values["encoders"].values():
        if str(given.get("source") or "").startswith("~"):
            given["source"] = os.path.expanduser(given["source"])
    for name, given in values["encoders"].items():
        if not _NAME.fullmatch(name):
            raise UserError(
                f"encoders: {name!r} cannot be a name; use lower-case letters, digits and _, and "
                "begin with a letter."
            )
        if not given.get("source") and not given.get("ngrams"):
            raise UserError(
                f"encoders.{name} has no source: give its Hub ID or folder, as in "
                f"--encoders.{name}.source, or ngrams for a lexical encoder. The encoders are "
                f"{', '.join(values['encoders'])}."
            )
    recipe = build(TrainingRecipe, values)
    return replace(recipe, source=str(recipe_file(config)) if config else None)


def _with_defaults(shared: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """An encoder's settings above the shared ones; a lexical encoder has nothing to fine-tune.

    Each step on related data is trained as the encoder is.
    """
    if given.get("ngrams"):
        return given
    encoder = merged(shared, given)
    own = {*hints_of(EncoderSettings)} - {*hints_of(FineTuning)} | {"epochs"}
    training = {name: value for name, value in encoder.items() if name not in own}
    return encoder | {"pretraining": [merged(training, step) for step in encoder["pretraining"]]}


def _kept(before: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    same = given.get("source") in (None, before.get("source"))
    return {name: value for name, value in before.items() if same or name != "revision"}


def add_recipe_options(parser: Parser) -> None:
    """Add the recipe and every setting of a run."""
    parser.usage = "%(prog)s [RECIPE] [--encoders NAME=SOURCE …] [--train_file FILE] [options]"
    parser.add_argument(
        "recipe", nargs="?", metavar="RECIPE",
        help="a YAML file, or the name of a recipe of the package, such as semeval2018_arabic",
    )  # fmt: skip
    parser.add_argument("--config", metavar="RECIPE", help="the same, as an option")
    add_settings(parser, TrainingRecipe, SECTIONS)
    parser.epilog = EPILOG


def recipe_of(parser: Parser, options: Namespace) -> TrainingRecipe:
    """The recipe of a parsed command line.

    Raises:
        UserError: see `make_recipe`.
    """
    if options.recipe and options.config:
        raise UserError(f"Two recipes are given, {options.recipe} and {options.config}.")
    return make_recipe(settings_given(parser, options), options.config or options.recipe)


def parse_recipe(arguments: Sequence[str] | None = None) -> TrainingRecipe:
    """The recipe of a command line of `train`.

    Args:
        arguments: the words after the program's name; by default those of this process.

    Raises:
        UserError: see `make_recipe`.
        SystemExit: after `--help`.
    """
    parser = Parser(prog="stacked-emotion train")
    add_recipe_options(parser)
    words = list(sys.argv[1:] if arguments is None else arguments)
    return recipe_of(parser, parser.parse_args(words))
