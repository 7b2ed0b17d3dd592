"""What is in a model's folder, looked at without running or unpickling any of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ...common.errors import quoted
from ...common.files import file_digest, parse_json
from ...inference.model_files import ModelError, ModelFiles
from ..packaged_files import needed_files, remote_code
from ..repository import HANDLER

STACK = "stacked_emotion"
_CODE = (".py", ".pyc", ".pyw", ".pyx", ".so", ".pyd", ".dll", ".dylib")
_PICKLES = (
    ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".h5", ".keras", ".msgpack",
    ".npy", ".dill",
)  # fmt: skip
_PICKLED = re.compile(rb"\x80[\x02-\x05]")
_ZIPPED = b"PK\x03\x04"
_FOREIGN = ("adapter_config.json",)
"""Files that make `from_pretrained` load another model."""


@cache
def known_digests() -> frozenset[str]:
    """SHA-256 of the code of this release: that of a stack, and `handler.py`."""
    files = [*remote_code(), *needed_files([HANDLER], packages=False)]
    return frozenset(file_digest(file) for file in files)


def code_files(folder: Path) -> list[str]:
    """Every file of a folder that Python could run."""
    return [name for name, file in _files(folder) if file.suffix.lower() in _CODE]


def code_problems(folder: Path, stack: bool) -> list[str]:
    """What loading a folder would run that is not the code of this release; empty if nothing.

    Args:
        folder: of the model.
        stack: its code is expected; a student must have none.
    """
    found = []
    code = code_files(folder)
    strange = [name for name in code if file_digest(folder / name) not in known_digests()]
    if strange:
        found.append(f"{quoted(strange, 3)} differ from the code of this release")
    if code and not stack:
        found.append(f"a stock model needs no code, but there is {quoted(code, 3)}")
    for name, file in _files(folder):
        if name in _FOREIGN:
            found.append(f"{name} makes transformers load another model")
        if name.endswith(".json") and "/" not in name:
            found += [f"{name}: {problem}" for problem in _references(file, set(code), stack)]
    return found


def weight_problems(folder: Path) -> list[str]:
    """Pickles, and weights that are not whole safetensors files; empty if there are none."""
    found = []
    for name, file in _files(folder):
        with file.open("rb") as stream:
            start = stream.read(4)
        pickled = bool(_PICKLED.match(start)) or start == _ZIPPED
        if file.suffix.lower() in _PICKLES or (pickled and not name.endswith(".safetensors")):
            found.append(f"{name} is a pickle, or may hold one")
        elif name.endswith(".safetensors"):
            try:
                with safe_open(file, framework="numpy"):
                    pass
            except SafetensorError as error:
                found.append(f"{name} is not a whole safetensors file ({error})")
    try:
        ModelFiles(folder).weight_files()
    except ModelError as error:
        found.append(str(error))
    return found


def _files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Every file of a folder and its path there, but for what git keeps."""
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if file.is_file() and not name.startswith(".git/"):
            yield name, file


def _references(file: Path, code: set[str], stack: bool) -> Iterator[str]:
    """What a JSON file names to be run that is not in the folder itself."""
    try:
        entries = list(_entries(parse_json(file)))
    except (OSError, ValueError) as error:
        yield f"it cannot be read ({error})"
        return
    for path, value in entries:
        if "_implementation" in path[-1] and "/" in value:
            yield f"{'.'.join(path)} is {value!r}: code from the Hub"
        if "auto_map" in path or path[-1] == "impl":
            module = f"{value.rpartition('.')[0]}.py"
            if "--" in value or not stack:
                yield f"{'.'.join(path)} is {value!r}: code from elsewhere"
            elif module not in code:
                yield f"{'.'.join(path)} is {value!r}, but there is no {module}"


def _entries(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every string in a JSON value, with the keys that lead there."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from _entries(entry, (*path, str(key)))
    elif isinstance(value, list):
        for entry in value:
            yield from _entries(entry, path)
    elif isinstance(value, str) and path:
        yield path, value
