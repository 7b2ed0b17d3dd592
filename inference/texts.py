"""The texts of a call: one text, a list, a Series, a DataFrame, or a data set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ..common.errors import UserError, did_you_mean, quoted, shorten
from ..data.names import text_columns


def texts_of(given: Any, column: str | None = None) -> tuple[list[str], Any]:
    """The texts as a list.

    Args:
        given: a text, or texts in a list, tuple, array (of numpy or Arrow), pandas Series or
            DataFrame, Arrow table, or a data set of `datasets`, also an iterable one.
        column: the column of texts of a DataFrame or data set; by default its only column, or
            the only one with a usual name, such as `text` or `tweet`.

    Returns:
        The texts, and the index of a Series or DataFrame, else None.

    Raises:
        UserError: an item that is not a text, with its position, or a column that is missing.
    """
    if isinstance(given, str):
        return [given], None
    names = getattr(given, "column_names", None)  # a data set has them, else a DataFrame
    if names is None and hasattr(given, "columns"):
        names = list(given.columns)
    if isinstance(names, dict):
        raise UserError(f"Give one split of the data set: one of {quoted(names)}.")
    if names is not None:
        given_texts = given[_column(list(names), column)]
    elif column is not None and hasattr(given, "features"):  # a stream without known columns
        given_texts = (row.get(column) for row in given)
    elif column is not None:
        raise UserError(
            f"There is no column {column!r}: text= is for a DataFrame or a data set, not for "
            f"{type(given).__name__}."
        )
    elif (
        isinstance(given, dict | bytes)
        or not isinstance(given, Iterable)
        or getattr(given, "ndim", 1) == 0
    ):
        raise UserError(
            f"Give a text, or a list of texts, not {type(given).__name__}: {shorten(given)}."
        )
    else:
        given_texts = given
    index = getattr(given_texts, "index", None)
    index = None if callable(index) else index  # lists have a method of that name
    if hasattr(given_texts, "to_pylist"):  # Arrow
        given_texts = given_texts.to_pylist()
    return list(checked(given_texts, index)), index


def checked(texts: Iterable[Any], index: Any = None) -> Iterator[str]:
    """The texts one by one.

    Raises:
        UserError: an item that is not a text, with its position.
    """
    if isinstance(texts, str):
        raise UserError("Give a list of texts: [text] for a single one.")
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            label = "" if index is None else f" (index {shorten(_plain(index[position]))})"
            raise UserError(
                f"texts[{position}]{label} is {type(text).__name__} ({shorten(text)}), not str: "
                "drop it or turn it into a text."
            )
        yield text


def _plain(value: Any) -> Any:
    """A value of numpy as one of Python."""
    return value.item() if hasattr(value, "item") else value


def _column(names: Sequence[Any], column: str | None) -> Any:
    if column is None:
        usual = text_columns(filter(lambda name: isinstance(name, str), names))
        found = set(usual or names)
        if len(found) != 1:
            raise UserError(f"Which column has the texts? Set text= to one of {quoted(names)}.")
        column = found.pop()
    if column not in names:
        raise UserError(
            f"There is no column {column!r}{did_you_mean(column, map(str, names))}; there are "
            f"{quoted(names)}. Set text=."
        )
    if list(names).count(column) > 1:
        raise UserError(f"There are {list(names).count(column)} columns {column!r}: rename one.")
    return column
