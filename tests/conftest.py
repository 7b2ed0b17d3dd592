"""Plugins and fixtures of all tests.

Test folders are not packages; helpers are imported from `tests/support/`.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent / "support"))

with contextlib.suppress(ImportError):
    from absl import logging as absl_logging  # tensorboard brings it

    # Where logging is set up again, its handler closes the stream that it found: that of pytest.
    absl_logging.get_absl_handler().python_handler.stream = sys.__stderr__

pytest_plugins = [
    "root_folder",
    "hub_server.fixtures",
    "tiny_models",
    "tiny_runs",
    "lexical",
    "run_folders",
    "from_wheel",
]


_LONG = (
    "test_fault_campaign.py", "test_onnx.py", "test_readme.py", "test_publishing.py",
    "test_from_wheel.py", "test_check.py", "test_changed_encoders.py", "test_damage.py",
    "test_search.py", "test_ablation.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Long files first, so that none of them keeps one worker busy when the other has finished."""
    items.sort(key=lambda item: item.path.name not in _LONG)


def pytest_collection_finish(session: Any) -> None:
    """Leave what is imported by now out of the garbage collections that each training does."""
    gc.collect()
    gc.freeze()
