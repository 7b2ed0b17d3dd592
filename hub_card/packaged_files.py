"""Which files of this package another place needs, found by following their imports.

A Space, an Inference Endpoint and a published repository run copies of parts of this package. No
list of these parts is kept by hand.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import packages_distributions, requires
from pathlib import Path

from ..configuration_stacked_emotion import AUTO_MAP

PACKAGE = Path(__file__).resolve().parent.parent
NAME = "stacked_emotion"


def needed_files(entries: Iterable[str], packages: bool = True) -> list[Path]:
    """The given modules and everything of this package that they import, now or later.

    Imports inside functions count. Imports for type checkers do not, except those of an
    `__init__.py` that offers names lazily: they say which module a name comes from. Files that a
    module opens beside itself (`with_name("style.css")`) are needed too.

    Args:
        entries: modules by their path in the package, such as "inference/serving/handler.py".
        packages: take the `__init__.py` of the packages around each module, without which it cannot
            be imported from there; false for files that are copied into one flat folder.

    Returns:
        Their paths, sorted.

    Raises:
        FileNotFoundError: there is no such module.
    """
    found: set[Path] = set()
    waiting = [PACKAGE / entry for entry in entries]
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        found.add(file)
        if file.suffix == ".py":
            waiting += _used_by(file, packages)
    return sorted(found)


def remote_code() -> list[Path]:
    """The code that a published stack needs: the entries of its `auto_map`, and their imports."""
    named = {reference.split(".")[0] for reference in AUTO_MAP.values()}
    entries = sorted(f"{name}.py" for name in named | {f"tokenization_{NAME}"})
    return needed_files(entries, packages=False)


def needed_requirements(files: Iterable[Path]) -> list[str]:
    """What these files need from PyPI, as this package requires it: "torch>=2.13" and so on.

    Only imports at the top of a module count: what a function imports serves a part that another
    place may do without, or comes with the others.

    Args:
        files: modules of this package, as from `needed_files`.
    """
    imported = {name for file in files if file.suffix == ".py" for name in _foreign(file)}
    homes = packages_distributions()
    wanted = {_plain(home) for name in imported for home in homes.get(name, [name])}
    required = [line for line in requires(NAME) or [] if "extra ==" not in line]
    return [line for line in required if _plain(line) in wanted]


def _plain(requirement: str) -> str:
    """The name in a requirement, as PyPI compares names."""
    name = requirement
    for sign in "<>=!~;[ ":
        name = name.split(sign)[0]
    return name.lower().replace("_", "-")


def _used_by(file: Path, packages: bool) -> Iterator[Path]:
    """The files a module needs itself: what it imports, the packages around it, what it opens."""
    for folder in file.relative_to(PACKAGE).parents if packages else ():
        yield PACKAGE / folder / "__init__.py"
    for node in _running(_parsed(file)):
        if isinstance(node, ast.ImportFrom) and node.level:
            yield from _imported(file, node)
        elif isinstance(node, ast.Call) and node.args:
            yield from _opened(file, node)


def _imported(file: Path, node: ast.ImportFrom) -> Iterator[Path]:
    base = file.parents[node.level - 1].joinpath(*(node.module or "").split("."))
    for alias in node.names:
        module = _module(base / alias.name)
        if module is not None:
            yield module
            continue
        home = _module(base)
        if home is None:
            raise FileNotFoundError(f"{file} imports {alias.name} from {base}, which is missing.")
        yield home
        if home.name == "__init__.py":
            yield from _offered(home, alias.name)


def _offered(package: Path, name: str) -> Iterator[Path]:
    """The module that an `__init__.py` takes a name from."""
    for node in ast.walk(_parsed(package)):
        if isinstance(node, ast.ImportFrom) and node.level:
            here = [alias for alias in node.names if (alias.asname or alias.name) == name]
            yield from _imported(package, ast.ImportFrom(node.module, here, node.level))


def _opened(file: Path, node: ast.Call) -> Iterator[Path]:
    """What `with_name("style.css")` and `import_module("..trainer", __package__)` name."""
    argument = node.args[0]
    if not (isinstance(argument, ast.Constant) and isinstance(argument.value, str)):
        return
    called = getattr(node.func, "attr", None) or getattr(node.func, "id", None)
    if called == "with_name":
        beside = file.with_name(argument.value)
        yield from [beside] if beside.is_file() else []
    elif called == "import_module" and argument.value.startswith("."):
        path = argument.value.lstrip(".")
        level = len(argument.value) - len(path)
        yield from _imported(file, ast.ImportFrom(path, [ast.alias("*")], level))


def _foreign(file: Path) -> Iterator[str]:
    """Top-level packages outside this one and the standard library that a module starts with."""
    for node in _parsed(file).body:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        else:
            continue
        yield from ({name.split(".")[0] for name in names} - sys.stdlib_module_names)


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under `if TYPE_CHECKING:`."""
    yield tree
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            for other in node.orelse:
                yield from _running(other)
        else:
            yield from _running(node)


def _module(path: Path) -> Path | None:
    """The file of a module or package; None where there is no such module."""
    if path == PACKAGE:
        return path / "__init__.py"
    for file in (path.with_name(f"{path.name}.py"), path / "__init__.py"):
        if file.is_file():
            return file
    return None


@cache
def _parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))
