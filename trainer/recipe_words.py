"""Command lines of `ablate` and `tune`: a recipe, their own options and those of `train`."""

from __future__ import annotations

from collections.abc import Sequence

from ..common.errors import UserError


def with_recipe_first(words: Sequence[str]) -> list[str]:
    """The words with `--config` before a first word that is no option."""
    given = list(words)
    return ["--config", *given] if given and not given[0].startswith("-") else given


def take_option(words: Sequence[str], option: str) -> tuple[list[str], list[str] | None]:
    """The words without an option and its values, and the values; None where it is not there.

    Raises:
        UserError: the option has no value, or is there twice.
    """
    given = list(words)
    if option not in given:
        return given, None
    if given.count(option) > 1:
        raise UserError(f"{option} is given {given.count(option)} times; give it once.")
    begin = given.index(option)
    end = begin + 1
    while end < len(given) and not given[end].startswith("--"):
        end += 1
    values = given[begin + 1 : end]
    if not values:
        raise UserError(f"{option} needs a value.")
    return given[:begin] + given[end:], values


def take_number(
    words: Sequence[str], option: str, default: float | None
) -> tuple[list[str], float]:
    """Like `take_option`, for one number above 0.

    Args:
        words: the command line.
        option: such as `--trials`.
        default: used where the option is not given; None stands for no limit.

    Raises:
        UserError: not one number above 0.
    """
    rest, values = take_option(words, option)
    if values is None:
        return rest, float("inf") if default is None else default
    try:
        (number,) = (float(value) for value in values)
    except ValueError:
        number = 0.0
    if not number > 0:
        raise UserError(f"{option} is {' '.join(values)}; give one number above 0.")
    return rest, number
