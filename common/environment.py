"""Where a result was made: versions, hardware and the state of the code."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "transformers", "datasets", "evaluate", "accelerate", "huggingface-hub")


def environment(recipe: str | Path | None = None) -> dict[str, Any]:
    """Versions, hardware and git state.

    Args:
        recipe: the recipe file, whose repository is recorded too, if it is in one.

    Returns:
        `versions` by package; `hardware`; `git`, the commit of the package's code, with `-dirty`
        where files differ from it; and `repositories`, `commit` and `dirty` of the `package` and of
        the `recipe`, null where there is no repository.
    """
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    hardware = (
        f"{platform.machine()}, {os.cpu_count()} CPU cores, {torch.get_num_threads()} threads"
    )
    if torch.cuda.is_available():
        hardware += f", {torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}"
    root = Path(__file__).parent.parent
    own = git_state(root) if (root / ".git").exists() else None
    given = git_state(Path(recipe).parent) if recipe else None
    return {
        "versions": versions,
        "hardware": hardware,
        "git": None if own is None else f"{own['commit'][:12]}{'-dirty' if own['dirty'] else ''}",
        "repositories": {"package": own, "recipe": given},
    }


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit of the repository a folder is in, and whether tracked files differ from it.

    Returns:
        `commit` (40 hex digits) and `dirty`; None without git, a repository or a commit.
    """

    def ask(*words: str) -> str | None:
        command = ["git", "-C", str(folder), *words]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError:
            return None
        return answer.stdout.strip() if answer.returncode == 0 else None

    commit = ask("rev-parse", "HEAD")
    if not commit:
        return None
    return {"commit": commit, "dirty": bool(ask("status", "--porcelain", "--untracked-files=no"))}
