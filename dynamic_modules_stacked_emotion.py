"""Lets pickling tools find the classes of remote code."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


def findable(cls: Any) -> Any:
    """A class decorator: the package of a remote class serves its modules as attributes.

    transformers loads remote code without the import system's last step: a loaded module is not
    set on its parent package. `dill` looks a class up there, does not find it, and pickles the
    class by value, with all that it refers to: `datasets` then cannot hash a tokenizer or a model.
    A `__getattr__` of the package (PEP 562) covers all its modules, also those that are loaded, or
    loaded again, later. Nothing else is done, and an installed package is left alone.
    """
    package = cls.__module__.rpartition(".")[0]
    if package.startswith("transformers_modules."):

        def find(name: str) -> ModuleType:
            if (module := sys.modules.get(f"{package}.{name}")) is not None:
                return module
            raise AttributeError(f"module {package!r} has no attribute {name!r}")

        vars(sys.modules[package])["__getattr__"] = find
    return cls
