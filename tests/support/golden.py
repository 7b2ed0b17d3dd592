"""Golden files: what a run writes, kept in `tests/golden/` without what hangs on the machine.

`make golden` writes them anew; the difference then belongs into the commit that causes it.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "golden"
NUMBER = "<number>"
SETTINGS = ("recipe", "data", "encoders", "loss")
"""Parts of `results.json` whose numbers were given, not computed by a model."""


def compare(name: str, text: str) -> None:
    """Compare a text with a golden file, or write the file where `UPDATE_GOLDEN` is set."""
    file = FOLDER / name
    if os.environ.get("UPDATE_GOLDEN"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return
    known = file.read_text(encoding="utf-8")
    difference = difflib.unified_diff(
        known.splitlines(), text.splitlines(), f"tests/golden/{name}", "now", lineterm="", n=4
    )
    if known != text:
        pytest.fail(
            "\n".join([*difference, "", "If this is meant, run `make golden`."]), pytrace=False
        )


def as_text(value: Any) -> str:
    """JSON in which keys with the same content stand side by side."""
    return json.dumps(_joined(value), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def plain(value: Any, places: Mapping[str, str], digits: int | None = None) -> Any:
    """A JSON value without paths, digests, versions and the numbers that a model computed.

    Args:
        value: of a JSON file.
        places: what stands for a folder, by its path.
        digits: round numbers to so many digits; None replaces them.
    """
    if isinstance(value, dict):
        found = {key: plain(entry, places, digits) for key, entry in value.items()}
        if digits is None and "epoch" in found:  # the best one
            found["epoch"] = NUMBER
        return found
    if isinstance(value, list):
        entries = [plain(entry, places, digits) for entry in value]
        numbers = bool(entries) and all(entry == NUMBER for entry in entries)
        return f"<{len(entries)} numbers>" if numbers else entries
    if isinstance(value, float):
        return NUMBER if digits is None else float(f"{value:.{digits}g}")
    if isinstance(value, str):
        for folder, name in places.items():
            value = value.replace(folder, name)
        return re.sub(r"\b[0-9a-f]{40,64}\b", "<digest>", value)
    return value


def plain_card(card: str) -> str:
    """A card without the scores, times and versions of this run and machine."""
    parts = re.split(r"(?m)^(?=## )", card)
    for place, part in enumerate(parts):
        if part.startswith("## Environment"):
            part = re.sub(r"(?m)^\| ([\w -]+) \| .+ \|$", r"| \1 | <this machine> |", part)
        elif part.startswith("## Training"):
            part = re.sub(r"\| \d+ \w+ \|$", "| <time> |", part, flags=re.MULTILINE)
        elif part.startswith("## Limits"):
            part = re.sub(r"Weak or rare here: .*?\. Do", "Weak or rare here: <labels>. Do", part)
        elif place == 0 or part.startswith(("## Labels", "## Results")):
            part = re.sub(r"(?<![\w-])[-+]?\d+\.\d+(e-\d+)?", "#", part)
            part = re.sub(r"stack − (?!average)\w+", "stack − <best encoder>", part)
        parts[place] = part
    return "".join(parts)


def _joined(value: Any) -> Any:
    if isinstance(value, list):
        return [_joined(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    keys: dict[str, list[str]] = {}
    for key, entry in sorted(value.items()):
        same = isinstance(entry, dict | list) or str(entry).startswith("<")
        keys.setdefault(json.dumps(entry, sort_keys=True) if same else f"{key}:", []).append(key)
    return {" | ".join(names): _joined(value[names[0]]) for names in keys.values()}
