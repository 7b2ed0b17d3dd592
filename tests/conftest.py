"""Plugins and fixtures of all tests.

Test folders are not packages; helpers are imported from `tests/support/`.
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent / "support"))

pytest_plugins = [
    "root_folder",
    "hub_server.fixtures",
    "tiny_models",
    "tiny_runs",
    "lexical",
    "run_folders",
    "from_wheel",
]


def pytest_collection_finish(session: Any) -> None:
    """Leave what is imported by now out of the garbage collections that each training does."""
    gc.collect()
    gc.freeze()
