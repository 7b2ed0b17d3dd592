"""What `stacked-emotion tune` varies: hyper-parameters of the layers on top, and their ranges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from ...common.errors import UserError, did_you_mean
from ...common.settings import dump_yaml, merged, nested, plain
from ..arguments import TrainingRecipe

LOSS_OPTION = "head.loss.options."


@dataclass(frozen=True)
class Interval:
    """Numbers from `low` to `high`; with `log` each factor is as likely as the next."""

    low: float
    high: float
    log: bool = False

    def suggest(self, trial: Any, name: str) -> float:
        """A value from an Optuna trial, of four digits, so that what is printed is what was run."""
        return float(f"{trial.suggest_float(name, self.low, self.high, log=self.log):.4g}")


@dataclass(frozen=True)
class Choice:
    """One of some values."""

    values: tuple[Any, ...]

    def suggest(self, trial: Any, name: str) -> Any:
        """A value from an Optuna trial."""
        return trial.suggest_categorical(name, list(self.values))


SearchSpace = dict[str, Interval | Choice]

SPACE: SearchSpace = {
    "meta.learning_rate": Interval(1e-4, 1e-2, log=True),
    "meta_hidden_size": Choice((32, 64, 128)),
    "trust_factor": Interval(1.0, 200.0, log=True),
    "head.learning_rate": Interval(5e-5, 5e-3, log=True),
    "lstm_hidden_size": Choice((32, 64, 128)),
    "classifier_hidden_size": Choice((32, 64, 128)),
    "dropout": Interval(0.0, 0.6),
    "encoder_dropout": Interval(0.0, 0.4),
    "word_dropout": Interval(0.0, 0.4),
    "meta.weight_decay": Interval(1e-4, 0.3, log=True),
    "head.weight_decay": Interval(1e-4, 0.3, log=True),
    f"{LOSS_OPTION}correlation_weight": Interval(0.0, 4.0),
    f"{LOSS_OPTION}contrastive_weight": Interval(0.005, 0.5, log=True),
    f"{LOSS_OPTION}class_weight_power": Interval(0.0, 1.0),
}


def space_of(recipe: TrainingRecipe, wanted: Sequence[str] = ()) -> SearchSpace:
    """The hyper-parameters that matter to a recipe, and their ranges.

    Parts that the recipe leaves out have nothing to tune, and a loss only its own options.

    Args:
        recipe: all settings.
        wanted: some of them, each as `name`, `name=low..high` or `name=a,b,c`; empty for all. With
            a range or values it may be any numeric option of the layers on top or of their loss.

    Raises:
        UserError: an unknown name, or a range that is none.
    """
    from ..losses import loss_options

    stack = recipe.stack
    space = dict(SPACE)
    if not stack.use_meta_learner:
        for name in ("meta.learning_rate", "meta.weight_decay", "meta_hidden_size", "trust_factor"):
            del space[name]
    if not stack.use_lstm:
        del space["lstm_hidden_size"]
    known = loss_options(recipe.head.loss.name)
    space = {
        name: domain
        for name, domain in space.items()
        if not name.startswith(LOSS_OPTION) or name.removeprefix(LOSS_OPTION) in known
    }
    if not wanted:
        return space
    chosen: SearchSpace = {}
    options = set(vars(stack)) | set(vars(recipe.stages)) | {LOSS_OPTION + name for name in known}
    options |= {
        f"{stage}.{name}" for stage in ("meta", "head") for name in vars(getattr(recipe, stage))
    }
    for text in wanted:
        name, sign, domain = text.partition("=")
        candidates = options if sign else set(space)
        if name not in candidates:
            raise UserError(
                f"--parameters: {name!r} cannot be tuned{did_you_mean(name, candidates)}. Those "
                f"with a range of their own are {', '.join(space)}."
            )
        chosen[name] = _domain(text, domain) if sign else space[name]
    return chosen


def _domain(text: str, given: str) -> Interval | Choice:
    low, dots, high = given.partition("..")
    try:
        if dots:
            begin, end = float(low), float(high)
            if not begin < end:
                raise ValueError
            return Interval(begin, end, log=begin > 0 and end / begin >= 20)
        return Choice(tuple(_number(value) for value in given.split(",")))
    except ValueError:
        raise UserError(
            f"--parameters: {text!r} must be name, name=low..high or name=a,b,c."
        ) from None


def _number(text: str) -> float | int:
    value = float(text)
    return int(value) if value.is_integer() and "." not in text and "e" not in text else value


def current_values(recipe: TrainingRecipe, space: SearchSpace) -> dict[str, Any]:
    """What the recipe itself has for the hyper-parameters, where it lies within their ranges.

    `class_weight_power` is left out where the recipe weights classes by another rule.
    """
    from ..losses import loss_options

    given, values = recipe.head.loss.options, recipe.to_dict()
    defaults = loss_options(recipe.head.loss.name)
    found = {}
    for name, domain in space.items():
        if name.startswith(LOSS_OPTION):
            option = name.removeprefix(LOSS_OPTION)
            value = given.get(option, defaults[option])
            if option == "class_weight_power" and value is None:
                rule = given.get("class_weights", defaults["class_weights"])
                value = {"none": 0.0, "inverse": 1.0, "sqrt_inverse": 0.5}.get(rule)
        else:
            value = reduce(lambda section, key: section[key], name.split("."), values)
        inside = (
            value in domain.values
            if isinstance(domain, Choice)
            else value is not None and domain.low <= value <= domain.high
        )
        if inside:
            found[name] = value
    return found


def recipe_lines(recipe: TrainingRecipe, values: Mapping[str, Any]) -> str:
    """The values as lines of a recipe, with all options of the loss, also those not tuned."""
    lines = nested(values)
    if any(name.startswith(LOSS_OPTION) for name in values):
        lines = merged({"head": {"loss": plain(recipe.head.loss)}}, lines)
    return dump_yaml(lines)
