"""Plugins and fixtures of all tests. Test folders are no packages: helpers load from `tests/`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))

pytest_plugins = [
    "root_folder",
    "hub_server.fixtures",
    "tiny_models",
    "tiny_runs",
    "run_folders",
]
