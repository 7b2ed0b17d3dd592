"""Pytest plugin: the repository root is the package `stacked_emotion`, not a package of tests.

Left alone, pytest imports the root's `__init__.py` a second time under the folder's name: its
classes would exist twice, and the Auto factories would hold the wrong ones.
"""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect the root as a plain folder."""
    if path == Path(__file__).resolve().parents[2]:
        return pytest.Dir.from_parent(parent, path=path)
    return None
