"""The field `adaptive` of a configuration: in which order the encoders run, and when to stop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

LARGEST_WEIGHT = 1e6


def check_adaptive(adaptive: Any, names: Sequence[str], labels: int) -> None:
    """Refuse limits that do not fit a stack.

    Args:
        adaptive: None, or an object: `order`, the encoders' names in the order in which they run;
            `stages`, one object per encoder but the last. A stage has a `limit` in [0, 1];
            `weights`, one row per encoder so far with one number per label; and `bias`, one number
            per label.
        names: the encoders.
        labels: number of labels.

    Raises:
        ValueError: with the part that does not fit.
    """
    if adaptive is None:
        return
    _require(_has_keys(adaptive, {"order", "stages"}), "adaptive", "an object: order, stages")
    order, stages = adaptive["order"], adaptive["stages"]
    fits = isinstance(order, list | tuple) and all(isinstance(name, str) for name in order)
    _require(fits and sorted(order) == sorted(names), "adaptive.order", f"all of {list(names)}")
    count = len(names) - 1
    fits = count > 0 and isinstance(stages, list | tuple) and len(stages) == count
    _require(fits, "adaptive.stages", "one object per encoder but the last")
    for place, stage in enumerate(stages):
        where = f"adaptive.stages[{place}]"
        known = {"limit", "weights", "bias"}
        _require(_has_keys(stage, known), where, "an object: limit, weights, bias")
        limit, weights = stage["limit"], stage["weights"]
        fits = _is_number(limit) and 0 <= limit <= 1
        _require(fits, f"{where}.limit", "a number in [0, 1]")
        fits = isinstance(weights, list | tuple) and len(weights) == place + 1
        fits = fits and all(_is_vector(row, labels) for row in weights)
        _require(fits, f"{where}.weights", f"{place + 1} rows of {labels} numbers")
        _require(_is_vector(stage["bias"], labels), f"{where}.bias", f"{labels} numbers")


def _require(holds: bool, field: str, allowed: str) -> None:
    if not holds:
        raise ValueError(f"{field} must be {allowed}.")


def _has_keys(value: Any, keys: set[str]) -> bool:
    return isinstance(value, Mapping) and set(value) == keys


def _is_number(value: Any) -> bool:
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return known and isfinite(value) and abs(value) <= LARGEST_WEIGHT


def _is_vector(value: Any, size: int) -> bool:
    return isinstance(value, list | tuple) and len(value) == size and all(map(_is_number, value))
