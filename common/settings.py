"""Settings as nested dataclasses: read from YAML or keywords, checked, merged and written back.

A dataclass field is a key. A field that holds a dataclass is a section, a `dict[str, Section]` is a
section with names of its own, a `list[Section]` holds sections without names, and a section may
have:

- `shorthand`: the key that a plain value stands for (`marbert: UBC-NLP/MARBERT`);
- `aliases`: other names of its keys;
- `extra_types()`: further keys and their types, kept in the field made by `extras()`.

A field made by `flat()` holds a dataclass whose keys stand beside those around it.
"""

from __future__ import annotations

import os
import re
import types
from collections.abc import Mapping
from dataclasses import MISSING, field, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from .errors import UserError, check_numbers, did_you_mean, shorten

Section = TypeVar("Section")
_YES, _NO = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
_WORDS = dict.fromkeys(_YES, True) | dict.fromkeys(_NO, False)


def option(default: Any, text: str, **more: Any) -> Any:
    """A dataclass field with a line of help; a default that is a list, dict or section is copied.

    `more` is further metadata: `metavar`; `group`, the heading in `--help`; or `above`, `least` and
    `most`, the range of a number or of each number in a list.
    """
    metadata = {"help": text, "default": default} | more
    if isinstance(default, (list, dict)):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    if isinstance(default, type):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


def flat(kind: type, text: str) -> Any:
    """A field that holds a dataclass whose keys stand beside those around it."""
    return field(default_factory=kind, metadata={"flat": True, "help": text})


def hidden(default: Any) -> Any:
    """A dataclass field that is not a key."""
    return field(default=default, metadata={"hidden": True})


def extras() -> Any:
    """The field of the keys that `extra_types()` names."""
    return field(default_factory=dict, metadata={"extra": True})


class Whole(dict[str, Any]):
    """A section that replaces another one instead of being merged into it."""


class _Loader(yaml.SafeLoader):
    """YAML in which 1e-3 is a number and no key stands twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.MarkedYAMLError(None, None, f"{key!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


_NUMBER = r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(_NUMBER), list("-+0123456789"))


def parse_yaml(text: str) -> Any:
    """Parse YAML.

    Raises:
        yaml.YAMLError: it is not valid, or a key is given twice.
    """
    return yaml.load(text, _Loader)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file of keys and values.

    Raises:
        UserError: it cannot be read, is not valid YAML, or holds something else.
    """
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold `key: value` lines.")
    return content


def dump_yaml(values: Mapping[str, Any]) -> str:
    """Keys and values as YAML, in their order, for `read_yaml`."""
    return yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True, width=1000)


@cache
def keys_of(kind: type) -> dict[str, tuple[Any, Mapping[str, Any]]]:
    """Type and metadata of the keys of a section; a flat field adds its own, under its heading."""
    known = get_type_hints(kind)
    found: dict[str, tuple[Any, Mapping[str, Any]]] = {}
    for entry in fields(kind):
        hint, about = known[entry.name], entry.metadata
        if about.get("flat"):
            inner = keys_of(hint).items()
            found |= {name: (its, {"group": about["help"], **more}) for name, (its, more) in inner}
        elif not {"extra", "hidden"} & set(about):
            found[entry.name] = hint, about
    return found


def hints_of(kind: type) -> dict[str, Any]:
    """The type of each key of a section."""
    return {name: hint for name, (hint, _) in keys_of(kind).items()}


def section_of(hint: Any) -> Any:
    """The dataclass of a section's type, or of those in a dict or list of sections; else None."""
    if is_dataclass(hint):
        return hint
    values = get_args(hint)[-1:] if get_origin(hint) in (dict, list) else ()
    return values[0] if values and is_dataclass(values[0]) else None


def _parts(kind: type) -> list[type]:
    known = get_type_hints(kind)
    return [kind, *(known[entry.name] for entry in fields(kind) if entry.metadata.get("flat"))]


def _aliases(kind: type) -> dict[str, str]:
    return {k: v for part in _parts(kind) for k, v in getattr(part, "aliases", {}).items()}


def extra_types_of(kind: type) -> dict[str, Any]:
    """The further keys that a section takes, and their types."""
    found: dict[str, Any] = {}
    for part in _parts(kind):
        if hasattr(part, "extra_types"):
            found |= part.extra_types()
    return found


def locate(kind: type, path: str, source: str = "") -> tuple[str, Any]:
    """The full name and the type of the value at a path such as `encoders.marbert.epochs`.

    Raises:
        UserError: there is no such key; the nearest one is named.
    """
    hint: Any = kind
    names = path.split(".")
    for place, name in enumerate(names):
        if is_dataclass(hint):
            names[place], hint = _key(hint, name, source, ".".join(names[: place + 1]))
        elif get_origin(hint) is dict:
            hint = get_args(hint)[1]
        elif hint is not Any:
            raise UserError(f"{source}{path}: {'.'.join(names[:place])} has no keys of its own.")
    return ".".join(names), hint


def _key(kind: Any, given: str, source: str, where: str, value: Any = ...) -> tuple[str, Any]:
    """The name of a key and its type."""
    name, hints = _aliases(kind).get(given, given), hints_of(kind)
    if name in hints:
        return name, hints[name]
    more = extra_types_of(kind)
    if name in more:
        if isinstance(more[name], str):
            raise UserError(f"{source}{where} cannot be set: {more[name]}.")
        return name, more[name]
    free = [key for key, hint in more.items() if not isinstance(hint, str)]
    near = did_you_mean(given, [*hints, *_aliases(kind), *free])
    if homes := sections_with(kind, given):  # such as `epochs` at the top level
        near = f" here; it is a key of {', '.join(homes)}"
        if source.endswith("(): "):
            ((section, inside),) = nested({f"{homes[0]}.{given}": value}).items()
            near += f". Give {section}={inside!r}"
    raise UserError(f"{source}{where} is not known{near}.")


def sections_with(kind: Any, key: str) -> list[str]:
    """The paths of the sections inside a section that take a key, such as `head` and `head.loss`.

    `NAME` in a path stands for any name; those with one come last.
    """
    found = []
    for name, hint in hints_of(kind).items():
        inside = None if get_origin(hint) is list else section_of(hint)
        if inside is None:
            continue
        where = name if is_dataclass(hint) else f"{name}.NAME"
        found += [where] if _takes(inside, key) else []
        found += [f"{where}.{path}" for path in sections_with(inside, key)]
    return sorted(found, key=lambda path: "NAME" in path)


def _takes(section: Any, key: str) -> bool:
    return key in hints_of(section) or key in _aliases(section) or key in extra_types_of(section)


def checked(kind: type, values: Any, source: str = "", path: str = "") -> dict[str, Any]:
    """The values of a section by their full names, converted to their types.

    Args:
        kind: the dataclass of the section.
        values: keys and values, possibly only some; or what its `shorthand` stands for.
        source: where they stand, for messages, such as `my_recipe.yaml: `.
        path: the section's own path.

    Raises:
        UserError: an unknown key, with the nearest one, or a value of another type.
    """
    if not isinstance(values, Mapping):
        short = getattr(kind, "shorthand", None)
        if short is None:
            wanted = _pairs(source, "key: value", "hold ")
            raise UserError(f"{source}{path} is {shorten(values)}; it must {wanted}.")
        return Whole(checked(kind, {short: values}, source, path))
    found: dict[str, Any] = Whole() if isinstance(values, Whole) else {}
    for given, value in values.items():
        where = f"{path}.{given}" if path else str(given)
        name, hint = _key(kind, str(given), source, where, value)
        if name in found:
            raise UserError(f"{source}{where} is given twice: it is another name of {name}.")
        if value is None and section_of(hint) and get_origin(hint) is not list:
            continue
        found[name] = convert(hint, value, source, where)
    return found


def convert(hint: Any, value: Any, source: str, where: str) -> Any:
    """The value as its type asks; texts become numbers, since command lines have only texts.

    Raises:
        UserError: it does not fit.
    """
    if hint is Any:
        return value
    if isinstance(hint, type) and is_dataclass(hint):
        return checked(hint, value, source, where)
    kind, inner = get_origin(hint), get_args(hint)
    if kind in (Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        for member in inner:
            try:
                return convert(member, value, source, where)
            except UserError:
                continue
        raise _misfit(hint, value, source, where)
    if value is None and kind in (list, dict):  # unset
        return [] if kind is list else Whole()
    if kind is dict and isinstance(value, Mapping):
        sections = {str(k): convert(inner[1], v, source, f"{where}.{k}") for k, v in value.items()}
        return Whole(sections) if isinstance(value, Whole) else sections
    if kind is list and section_of(hint) and isinstance(value, (list, tuple, str, Mapping)):
        entries = value if isinstance(value, (list, tuple)) else [value]
        return [checked(inner[0], e, source, f"{where}.{i}") for i, e in enumerate(entries)]
    if kind is list and isinstance(value, (list, tuple)):
        return [convert(inner[0], entry, source, where) for entry in value]
    found = value if kind is Literal and value in inner else _plain(hint, value)
    if found is not None:
        return found
    raise _misfit(hint, value, source, where)


def _plain(hint: Any, value: Any) -> Any:
    """The value as bool, int, float or str; None where it is not one."""
    text = isinstance(value, str)
    if hint is bool:
        return value if isinstance(value, bool) else _WORDS.get(value.lower()) if text else None
    if hint is str:
        return os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if hint in (int, float) and not isinstance(value, bool):
        try:
            number = float(value)
        except (TypeError, ValueError):
            return None
        if hint is float:
            return number
        return int(number) if number.is_integer() else None
    return value if isinstance(hint, type) and isinstance(value, hint) else None


def _pairs(source: str, form: str, verb: str = "") -> str:
    """Keys and values as YAML has them, or as a keyword does, where `source` is a function."""
    python = f"{'be ' * bool(verb)}a dictionary, {{{form}}}"
    return python if source.endswith("(): ") else f"{verb}`{form}` lines"


def _misfit(hint: Any, value: Any, source: str, where: str) -> UserError:
    wanted = describe(hint, source)
    advice = "; put it in quotes" * (wanted == "a text" and isinstance(value, (int, float)))
    if get_origin(hint) is Literal:
        advice = did_you_mean(str(value), [str(one) for one in get_args(hint)])
    return UserError(f"{source}{where} is {shorten(value)}; it must be {wanted}{advice}.")


def describe(hint: Any, source: str = "") -> str:
    """A type in words; `source` as `checked` takes it."""
    kind, inner = get_origin(hint), get_args(hint)
    if kind is Literal:
        return f"one of {', '.join(map(str, inner))}"
    if kind in (Union, types.UnionType):
        return " or ".join(describe(one, source) for one in inner if one is not type(None))
    short = getattr(section_of(hint), "shorthand", "value")
    if kind is list and section_of(hint):
        return f"a list of sections with {_pairs(source, 'key: value')}"
    if kind is list:
        return f"a list ([…]) of {describe(inner[0]).split(' ', 1)[1]}s"
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    form = f"name: {short}" if kind is dict else "key: value"
    return words.get(hint, "a list" if hint is list else _pairs(source, form))


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both, the second one winning, section by section."""
    both = Whole(below) if isinstance(below, Whole) else dict(below)
    for name, value in above.items():
        inside = isinstance(value, Mapping) and isinstance(both.get(name), Mapping)
        both[name] = value if not inside or isinstance(value, Whole) else merged(both[name], value)
    return both


def nested(by_path: Mapping[str, Any]) -> dict[str, Any]:
    """Values by paths such as `head.learning_rate` as sections in sections."""
    tree: dict[str, Any] = {}
    for path, value in by_path.items():
        *sections, name = path.split(".")
        for place in range(len(sections), 0, -1):
            value, name = {name: value}, sections[place - 1]
        tree = merged(tree, {name: value})
    return tree


def by_path(values: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """Sections in sections as values by paths such as `head.learning_rate`."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        where = f"{path}.{name}" if path else str(name)
        found |= by_path(value, where) if isinstance(value, Mapping) else {where: value}
    return found


def build(kind: type[Section], values: Mapping[str, Any], path: str = "") -> Section:
    """The dataclass of a section from what `checked` returned.

    Raises:
        UserError: a key without a default is missing.
    """
    known, given, rest = get_type_hints(kind), {}, dict(values)
    store = None
    for entry in fields(kind):  # type: ignore[arg-type]
        name, hint = entry.name, known[entry.name]
        if entry.metadata.get("flat"):
            keys = [key for key in _all_keys(hint) if key in rest]
            given[name] = build(hint, {key: rest.pop(key) for key in keys}, path)
        elif entry.metadata.get("extra"):
            store = name
        elif name in rest:
            value, inside = rest.pop(name), section_of(hint)
            where = f"{path}.{name}" if path else name
            if is_dataclass(hint):
                default: Any = entry.default_factory
                below = {} if default is MISSING else plain(default())
                value = build(inside, merged(below, value), where)
            elif inside is not None and isinstance(value, list):
                value = [build(inside, v, f"{where}.{i}") for i, v in enumerate(value)]
            elif inside is not None:
                value = {key: build(inside, v, f"{where}.{key}") for key, v in value.items()}
            given[name] = value
        elif entry.default is MISSING and entry.default_factory is MISSING:
            raise UserError(f"{path or 'The section'} has no {name}.")
    if store is not None:
        given[store] = rest
    try:
        limits = {entry.name: entry.metadata for entry in fields(kind)}  # type: ignore[arg-type]
        check_numbers(given | (rest if store is not None else {}), limits)
        return kind(**given)
    except UserError as error:
        raise UserError(f"{path}: {error}") if path else error from None


def _all_keys(kind: type) -> list[str]:
    extra = extra_types_of(kind) if hasattr(kind, "extra_types") else ()
    return list(dict.fromkeys([*hints_of(kind), *extra]))


def plain(settings: Any) -> dict[str, Any]:
    """A dataclass of settings as keys and plain values, for `checked` and YAML."""
    found: dict[str, Any] = {}
    for entry in fields(settings):
        value = getattr(settings, entry.name)
        if entry.metadata.get("flat"):
            found |= plain(value)
        elif entry.metadata.get("extra"):
            found |= value
        elif entry.metadata.get("hidden"):
            continue
        elif is_dataclass(value):
            found[entry.name] = plain(value)
        elif isinstance(value, dict):
            found[entry.name] = {k: plain(v) if is_dataclass(v) else v for k, v in value.items()}
        elif isinstance(value, list):
            found[entry.name] = [plain(v) if is_dataclass(v) else v for v in value]
        else:
            found[entry.name] = value
    return found
