"""Names in cells without brackets, split at the one sign that the column uses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from ..common.errors import quoted, shorten
from .label_cells import Cell, Token, is_balanced, name_or_number, not_a_list
from .names import clean_name
from .tables import Table

SEPARATORS = (",،，、", ";؛；", "|", "/", "\t", "\n", "#")
"""What may stand between two names; the characters of one entry count as the same."""

_LETTER = r"[\w\u064b-\u0652\u0670]"
_BETWEEN = {"#": re.compile(rf"{_LETTER}#{_LETTER}")}  # as doccano joins names; not in "#joy"
_JOINED = re.compile(r"\s+(?:and|or|و|أو)\s+|\s+و|[^\w\u064b-\u0652\u0670]+|_+")
_ODD_SIGN = re.compile(rf"{_LETTER} *(&|\+|·|•|~|=|::?|--|<br */?>) *(?={_LETTER})")


def split_bare(
    table: Table, column: str, cells: list[Cell], separator: str | None,
    label_names: Sequence[str] | None,
) -> list[Cell]:  # fmt: skip
    """Split cells without brackets at the one separator that the column uses.

    A cell that is one of `label_names` stays whole. The table gets a note of a separator other
    than the comma.

    Raises:
        DataError: Several signs may separate the names.
    """
    texts = list(dict.fromkeys(cell.bare for cell in cells if cell.bare))
    signs = separator or _find_separator(table, column, texts, label_names)
    if separator:
        signs = next((family for family in SEPARATORS if family[0] == separator), separator)
    whole = set(label_names or ())
    split = {
        text: split_names(text, signs) if signs and clean_name(text) not in whole
        else (clean_name(text),) for text in texts
    }  # fmt: skip
    broken = {
        text for text, tokens in split.items()
        if any(isinstance(token, str) and not is_balanced(token) for token in tokens)
    }  # fmt: skip
    return [not_a_list(cell.bare) if cell.bare in broken else
            replace(cell, tokens=split[cell.bare], bare=None) if cell.bare else cell
            for cell in cells]  # fmt: skip


def split_names(text: str, separators: str) -> tuple[Token, ...]:
    """Return the parts of a cell without brackets.

    `separators` is one entry of `SEPARATORS`, or the separator that the user named.
    """
    if separators == " ":
        pattern = r"\s+"
    elif separators in SEPARATORS:
        pattern = f"[{re.escape(separators)}]"
    else:
        pattern = re.escape(separators)
    parts = (_unquoted(part) for part in re.split(pattern, text))
    return tuple(name_or_number(name) for part in parts if (name := clean_name(part)))


def note_joined_names(table: Table, column: str, names: Sequence[str]) -> None:
    """Note a label that seems to be several: put together from others, or with an odd sign."""
    known = set(names)
    for name in names:
        parts = [part for part in _JOINED.split(name) if part]
        if len(parts) > 1 and known.issuperset(parts):
            table.note(
                f"the label {name!r} of column {column!r} is put together from the labels "
                f"{quoted(parts)}. If they are separate, set --label_separator to the sign between "
                "them."
            )
            return
    for name in names:
        if found := _ODD_SIGN.search(name):
            table.note(
                f"{name!r} of column {column!r} is read as one label. If it is several, set "
                f"--label_separator {found[1]!r}."
            )
            return


def _find_separator(
    table: Table, column: str, texts: list[str], label_names: Sequence[str] | None
) -> str:
    known = set(label_names or ())
    found = _separators_in(text for text in texts if clean_name(text) not in known)
    if len(found) > 1 and known:
        fitting = [
            signs
            for signs in found
            if all(set(split_names(text, signs)) <= known or text in known for text in texts)
        ]
        found = {signs: found[signs] for signs in fitting} if len(fitting) == 1 else found
    if len(found) > 1:
        shown = "; ".join(f"{signs[0]!r} in {shorten(text)}" for signs, text in found.items())
        raise table.error(
            f"column {column!r} holds more than one sign that may separate labels ({shown}). Set "
            "--label_separator to the one that does; the others are then part of the names."
        )
    for signs, text in found.items():
        if signs[0] != ",":
            sign = next(sign for sign in signs if sign in text)
            table.note(
                f"the labels of column {column!r} are split at {sign!r}, such as {shorten(text)}. "
                f"--label_separator {sign!r} says so without this note; another separator makes "
                "the sign part of a name."
            )
    return next(iter(found), "")


def _separators_in(texts: Iterable[str]) -> dict[str, str]:
    """Return the separators that occur, each with the first text that holds it."""
    found: dict[str, str] = {}
    for text in texts:
        for signs in SEPARATORS:
            between = _BETWEEN.get(signs)
            if signs not in found and (
                between.search(text) if between else any(sign in text for sign in signs)
            ):
                found[signs] = text
    return found


def _unquoted(text: str) -> str:
    stripped = text.strip()
    if len(stripped) > 1 and stripped[0] == stripped[-1] and stripped[0] in "'\"":
        return stripped[1:-1]
    return stripped
