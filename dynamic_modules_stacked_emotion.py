"""Lets pickling tools find the modules of remote code."""

from __future__ import annotations

import sys
from types import ModuleType


def make_modules_findable(package: str | None) -> bool:
    """Let a package of remote code serve its modules as attributes.

    transformers loads remote code without the import system's last step: a loaded module is not
    set on its parent package. `dill` looks a class up there, does not find it, and pickles the
    class by value, with all that it refers to: `datasets` then cannot hash a tokenizer or a model.
    A module-level `__getattr__` (PEP 562) covers all modules of the package, also those that are
    loaded, or loaded again, later. An installed package is left alone.

    Args:
        package: `__package__` of the module that asks.

    Returns:
        Whether it is remote code.
    """
    if not package or not package.startswith("transformers_modules."):
        return False

    def find(name: str) -> ModuleType:
        if (module := sys.modules.get(f"{package}.{name}")) is not None:
            return module
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    vars(sys.modules[package])["__getattr__"] = find
    return True
