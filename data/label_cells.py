"""What label cells say: an explicit grammar of names, vectors of 0 and 1, and class numbers.

Names without brackets are split at the one sign that their column uses.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ..common.errors import quoted, shorten
from .names import NUMBER, NUMBERS, clean_name, is_missing, why_no_name

if TYPE_CHECKING:
    from .tables import Table

CELL_FORMATS = ("names", "multi_hot", "ids")
FORMAT_NAMES = {
    "names": "label names", "multi_hot": "vectors of 0 and 1", "ids": "class numbers",
    "columns": "columns of 0 and 1",
}  # fmt: skip

Token = str | int | float | bool
_WORDS = {"true": 1, "yes": 1, "نعم": 1, "sí": 1, "false": 0, "no": 0, "لا": 0}
_CLOSING = {"[": "]", "(": ")", "{": "}"}
_CALL = re.compile(
    r"(?:(?:np|numpy|torch|pd|pandas)\.)?(?:array|tensor|frozenset|set|list|tuple|Index|Series)"
    r"\((?P<inner>.*?)(?:,\s*(?:dtype|device|name)\s*=.*)?\)",
    re.DOTALL,
)
_SCALAR = re.compile(r"(?:np|numpy)\.(?!array)\w+\(([^()]*)\)|(?:np|numpy)\.(True|False)_")
_QUOTED = re.compile(r"""[uU]?('(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")""", re.DOTALL)
_CHOICES = ("choices", "labels", "label")

SEPARATORS = (",،，、", ";؛；", "|", "/", "\t", "\n", "#")
"""What may stand between two names; the characters of one entry count as the same."""

_LETTER = r"[\w\u064b-\u0652\u0670]"
_BETWEEN = {"#": re.compile(rf"{_LETTER}#{_LETTER}")}  # as doccano joins names; not in "#joy"
_JOINED = re.compile(r"\s+(?:and|or|و|أو)\s+|\s+و|[^\w\u064b-\u0652\u0670]+|_+")
_ODD_SIGN = re.compile(
    rf"{_LETTER} *(&|\+|·|•|~|=|::?|--|<br */?>) *(?={_LETTER})|^(#|__label__)\S+( )(?=\2)"
)


@dataclass(frozen=True)
class Cell:
    """A label cell, read.

    Attributes:
        tokens: Names, numbers or booleans, in their order.
        error: Why the cell cannot be read; it is then a bad row in any case.
        bare: The text of a cell of names without brackets, to be split at the separator.
        bits: The digits of a cell such as `010`, which may be a vector.
        declared: All keys of a dictionary of 0 and 1: labels, whether they are on or not.
        scores: Numbers by name, of a dictionary whose values are not 0 and 1.
    """

    tokens: tuple[Token, ...] = ()
    error: str = ""
    bare: str | None = None
    bits: tuple[int, ...] = ()
    declared: tuple[str, ...] = ()
    scores: dict[str, float] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether it is a cell of a text without labels."""
        return not (self.tokens or self.error or self.bare or self.declared or self.scores)


def number(value: Any) -> int | float | None:
    """Return a number, or a text that shows one in any script's digits; None for the rest."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float | Decimal):
        value = float(value)
        return int(value) if value == value and value.is_integer() else value
    if isinstance(value, str) and NUMBER.fullmatch(stripped := value.strip()):
        found = float(stripped.replace("٫", "."))
        return int(found) if found.is_integer() else found
    return None


def binary_value(value: Any) -> int | None:
    """Return 0 or 1 for 0, 1, 1.0, true, false, yes, no, as a value or as text; None for the rest.

    Example:
        ```python
        >>> binary_value("١"), binary_value("False"), binary_value("2")
        (1, 0, None)

        ```
    """
    if hasattr(value, "item") and not hasattr(value, "__len__"):  # a numpy scalar
        value = value.item()
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str):
        if value in ("0", "1"):
            return int(value)
        value = clean_name(value)
        if (word := _WORDS.get(value.lower())) is not None:
            return word
    found = number(value)
    return int(found) if found in (0, 1) else None


def first_positive(levels: Iterable[float]) -> str:
    """Return the advice of --positive_from for intensities, by the lowest and the highest one."""
    levels = list(levels)
    if min(levels) >= 1:
        return (
            "There is no 0: set --positive_from to the lowest number that means that the label "
            f"is given, such as --positive_from {min(levels) + 1:g}; from {min(levels):g} up, "
            "every text would get every label."
        )
    start = "1" if max(levels) > 1 else "0.5"
    return (
        f"Set --positive_from {start}: every value from {start} up is then 1 and lower ones are 0."
    )


def read_cell(value: Any) -> Cell:
    """Read one label cell, without a look at the others: a text, number, boolean, list, set,
    dictionary, or None.
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    if value is None or (isinstance(value, float) and value != value):
        return Cell(error='the value is missing (null); write [] or "" for a text without labels')
    if isinstance(value, str):
        return _read_text(value)
    if isinstance(value, dict):
        return _read_dictionary(value)
    if isinstance(value, list | tuple | set | frozenset):
        ordered = sorted(value, key=str) if isinstance(value, set | frozenset) else value
        return _read_items(ordered)
    if isinstance(value, bool | int | float):
        return Cell((value if isinstance(value, bool) else number(value),))  # type: ignore[arg-type]
    return Cell(error=f"{shorten(value)}, a {type(value).__name__}, is not a label")


def _read_text(text: str) -> Cell:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    stripped = clean_name(text) if "\n" not in text and "\t" not in text else text.strip()
    if len(stripped) > 1 and stripped[0] == stripped[-1] == '"' and stripped[1] in "[({":
        stripped = stripped[1:-1].replace('""', '"').strip()  # quoted as CSV in a file that is not
    if not stripped:
        return Cell()
    if call := _CALL.fullmatch(stripped):
        inner = call["inner"].strip()
        return Cell() if not inner else _read_text(inner)
    if is_missing(stripped):
        return Cell(error=str(why_no_name(stripped)))
    if NUMBERS.fullmatch(stripped):
        found = NUMBER.findall(stripped)
        tokens = tuple(number(part) for part in found)
        digits = [int(character) for character in stripped] if stripped.isdigit() else []
        bits = tuple(digits) if len(digits) > 1 and set(digits) <= {0, 1} else ()
        return Cell(tokens, bits=bits)  # type: ignore[arg-type]
    if stripped[0] in _CLOSING or (stripped[-1] in "])}" and not is_balanced(stripped)):
        return _read_container(stripped)
    if NUMBERS.fullmatch(re.sub(r"(?i)\b(true|false)\b", "1", stripped)):
        return Cell(tuple(name_or_number(part) for part in re.split(r"[,;|/،؛\s]+", stripped)))
    if (stripped[0] == "<" and stripped[-1] == ">") or "dtype:" in stripped:
        return not_a_list(stripped)
    if len(stripped) > 2 and stripped[0] in "'\"" and stripped[-1] in "'\"":
        items = _unquoted_items(stripped)
        return Cell(error=f"{shorten(text)} is not a list of names") if items is None else (
            _read_items(items))  # fmt: skip
    return Cell(bare=stripped)


def not_a_list(text: str) -> Cell:
    """Return the cell of a text that looks like a list and does not parse."""
    return Cell(error=f"{shorten(text)} looks like a list and cannot be read as one")


def _read_container(text: str) -> Cell:
    broken = not_a_list(text)
    if _CLOSING.get(text[0]) != text[-1]:
        return broken
    text = _SCALAR.sub(lambda match: match[1] or match[2] or "", text)
    parsed = _parsed(text)
    if parsed is not None:
        if isinstance(parsed, dict):
            return _read_dictionary(parsed)
        whole = isinstance(parsed, str)
        return Cell((name_or_number(parsed),)) if whole else _read_items(list(parsed))
    inner = text[1:-1].strip()
    if not inner:
        return Cell()
    items = _unquoted_items(inner)
    if items is None or (text[0] == "{" and ":" in _QUOTED.sub("", inner)):
        return broken
    return _read_items(items)


def _parsed(text: str) -> Any:
    """Return what JSON or Python reads; None where neither does, or where Python joins strings."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if re.search(r"''\s*''", _QUOTED.sub("''", text)):
        return None  # 'joy' 'love' is two names as numpy writes them, and one string in Python
    try:
        parsed = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return None
    if isinstance(parsed, set):  # in its order, with what occurs twice: it may be a vector
        return ast.literal_eval(f"[{text.strip()[1:-1]}]")
    return parsed if isinstance(parsed, list | tuple | dict | str) else [parsed]


def _unquoted_items(inner: str) -> list[Any] | None:
    """Return the items of a list that is neither JSON nor Python, or None if it has no items.

    Quoted names may be separated by white space, as numpy writes them, and so may numbers. Names
    without quotes need a separator: "[very happy]" may be one name or two.
    """
    quoted_names = _QUOTED.findall(inner)
    if quoted_names:
        gaps = _QUOTED.split(inner)[::2]
        if any(gap.strip(",;|/،؛ \n\t") for gap in gaps) or not all(gaps[1:-1]):
            return None
        try:
            return [ast.literal_eval(name) for name in quoted_names]
        except (ValueError, SyntaxError):
            return None
    if any(sign in inner for sign in "[](){}'\""):
        return None
    words = inner.split()
    if all(number(word) is not None or word in ("True", "False") for word in words):
        return words
    parts = [clean_name(part) for part in re.split(r"[,;|/،؛\n\t]", inner)]
    if parts and not parts[-1]:
        parts.pop()
    if not all(parts) or (len(parts) == 1 and len(words) > 1) or "..." in parts:
        return None
    return parts


def _read_items(items: Sequence[Any]) -> Cell:
    tokens: list[Token] = []
    for item in items:
        if hasattr(item, "item") and not hasattr(item, "__len__"):
            item = item.item()
        if item is None or (isinstance(item, float) and item != item):
            return Cell(error='the value is missing (null) in a list; write [] or "" for no labels')
        if isinstance(item, str):
            name = clean_name(item)
            if not name:
                return Cell(error=f"{shorten(items)} holds an empty name")
            tokens.append(name_or_number(name))
        elif isinstance(item, bool | int | float):
            tokens.append(item if isinstance(item, bool) else number(item) or 0)
        else:
            return Cell(
                error=f"{shorten(items)} looks like a list of labels and holds {shorten(item)}"
            )
    return Cell(tuple(tokens))


def _read_dictionary(values: dict[Any, Any]) -> Cell:
    if len(values) == 1 and next(iter(values)) in _CHOICES:
        (inner,) = values.values()
        if isinstance(inner, str | list | tuple):
            return read_cell(inner)
    on: list[str] = []
    scores: dict[str, float] = {}
    for key, value in values.items():
        name = clean_name(str(key))
        if (reason := why_no_name(name)) is not None:
            return Cell(error=f"{shorten(values)}: {reason}")
        found = 0 if value is None else binary_value(value)
        if found is None and (level := number(value)) is not None:
            scores[name] = level
        elif found is None:
            return Cell(error=f"{shorten(values)}: the value of {name!r} is not 0 or 1")
        else:
            scores[name] = found
            on += [name] * found
    if all(level in (0, 1) for level in scores.values()):
        return Cell(tuple(on), declared=tuple(scores))
    return Cell(scores=scores)


def name_or_number(text: str) -> Token:
    """Return the number that a text shows, else the text."""
    found = number(text)
    return text if found is None else found


def is_balanced(text: str) -> bool:
    """Return whether every bracket in a text is opened and closed."""
    depth = 0
    for sign in text:
        depth += (sign in "([{") - (sign in ")]}")
        if depth < 0:
            return False
    return depth == 0


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
                f"--label_separator {found[3] or found[1]!r}."
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
