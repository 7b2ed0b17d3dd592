"""The small campaign; `make test-faults` runs the whole one."""

from __future__ import annotations

import os
import subprocess
import sys

from tiny_models import ROOT


def test_small_campaign() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "faults", "--small"],
        env=os.environ | {"PYTHONPATH": str(ROOT / "tests" / "support")},
        capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    for attack, tries in (
        ("bits of a run", 2),
        ("kill -9 of bulk prediction", 1),
        ("fuzzed texts", 200),
        ("concurrent requests", 8),
    ):
        assert f"| {attack} | {tries} | {tries} |" in done.stdout
