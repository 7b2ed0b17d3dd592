"""Changes of the JSON files of a valid model folder that know their structure."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

HOSTILE_MODULE = "hostile"
"""A module that the files are made to name; it is never to be run."""
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**12), 10**30), st.floats(),
    st.sampled_from([
        "", "../x", "/etc/passwd", "é\u202e", "a" * 300, "\x1b[2J", "a\x00b",
        f"{HOSTILE_MODULE}.Any",
        [], {}, [[]], {"a": 1}, {"AutoModel": f"{HOSTILE_MODULE}.Any"}, 10**30, -1, 1e308,
    ]),
)  # fmt: skip
ACTIONS = st.sampled_from(["replace", "replace", "remove", "rename", "double"])
KEYS = st.sampled_from(
    ["x", "../x", "auto_map", "custom_pipelines", "_name_or_path", "model_type", "tokenizer_class",
     "quantization_config", "_attn_implementation", "architectures"]
)  # fmt: skip
_SPOILED = (
    lambda text: text[: len(text) // 2],
    lambda text: "\ufeff" + text,
    lambda text: text.replace("{", "{" * 5000, 1),
    lambda text: text.replace(":", ": 1" + "0" * 5000 + ", \"x\":", 1),
    lambda text: text.replace(":", ": NaN, \"x\":", 1),
    lambda text: text.replace('"', "\0", 1),
    lambda text: text + text,
    lambda text: "[" * 100_000,
)  # fmt: skip
SPOILED = st.one_of(*[st.none()] * 20, st.integers(0, len(_SPOILED) - 1))
"""A way to spoil the text of a file; mostly None, for none."""


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in nested JSON; of long lists and objects the first 40."""
    yield path
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in [*items][: 400 if not path else 40]:
            yield from places(item, (*path, key))


def mutated(value: Any, path: tuple[Any, ...], action: str, odd: Any, key: str) -> Any:
    """A copy of nested JSON with one value replaced, removed, renamed or put under another name.

    Args:
        value: nested JSON.
        path: of the value in it.
        action: "replace" it by `odd`, "remove" it, "rename" it to `key`, or "double" it there.
        odd: the new value.
        key: the new name.
    """
    value = copy.deepcopy(value)
    parent = value
    for step in path[:-1]:
        parent = parent[step]
    if action == "replace":
        parent[path[-1]] = odd
    elif action == "double" and isinstance(parent, dict):
        parent[key] = odd
    else:
        taken = parent.pop(path[-1])
        if action == "rename" and isinstance(parent, dict):
            parent[key] = taken
    return value


def written(value: Any, spoiled: int | None) -> str:
    """The value as the text of a file, perhaps spoiled."""
    text = json.dumps(value)
    return text if spoiled is None else _SPOILED[spoiled](text)


def json_files(folder: Path) -> list[str]:
    """Every JSON file of a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.json"))
