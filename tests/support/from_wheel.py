"""The package from a wheel, and processes in which no other copy of it can be imported."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tiny_models import ROOT

_NOT_COPIED = (".git", ".venv*", "outputs", "build", "dist", "*.egg-info", "__pycache__", "tests",
               "benchmarks", ".typing", "docs", ".*_cache")  # fmt: skip
GUARD = """
import json, sys
from importlib.machinery import PathFinder
given = json.loads(sys.stdin.read())
class OnlyTheWrittenCopy:
    # First in line and final for this package: neither an editable install nor another folder.
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] != "stacked_emotion":
            return None
        places = path if "." in name else [given["package_in"]] if given["package_in"] else []
        found = PathFinder.find_spec(name, places)
        if found is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return found
sys.meta_path.insert(0, OnlyTheWrittenCopy)
for name in given["absent"]:
    sys.modules[name] = None
def give(value):
    for name, module in sorted(sys.modules.items()):
        if name.partition(".")[0] == "stacked_emotion" and module is not None:
            assert module.__file__.startswith(str(given["package_in"])), module.__file__
    print("\\n" + json.dumps(value))
"""


def run_isolated(
    folder: Path, code: str, package_in: Path | None = None, absent: tuple[str, ...] = (),
    **values: Any,
) -> Any:  # fmt: skip
    """Run code in a process that can import the package from one place alone, or not at all.

    Args:
        folder: working folder, and the place of the Hub's cache.
        code: Python source, indented as you like. It finds `values` as the dict `given` and hands
            back its result as JSON by calling `give(result)` once.
        package_in: the folder with `stacked_emotion/` in it; None for no such package.
        absent: other packages that cannot be imported.
        **values: what the code needs to know (JSON).

    Returns:
        What the code gave.

    Raises:
        AssertionError: the process failed, with what it wrote to stderr.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hf_home")}
    place = None if package_in is None else str(package_in.resolve())
    given = {**values, "package_in": place, "absent": list(absent)}
    process = subprocess.run(
        [sys.executable, "-c", GUARD + textwrap.dedent(code)],
        input=json.dumps(given), cwd=folder, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert process.returncode == 0, f"The process failed:\n{process.stderr[-4000:]}"
    return json.loads(process.stdout.strip().splitlines()[-1])


@pytest.fixture(scope="session")
def from_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `stacked_emotion/` as a wheel of this working tree installs it."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(*_NOT_COPIED))
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    command += ["--no-build-isolation", "--wheel-dir", str(folder), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder / "site")
    return folder / "site"
