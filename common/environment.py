"""Where a result was made: versions, hardware, the state of the code; and what is secret there."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .errors import counted

PACKAGES = ("torch", "transformers", "datasets", "evaluate", "accelerate", "huggingface-hub")

SECRET = re.compile(
    r"hf_[A-Za-z0-9]{16,}|hf_oauth_\w+|ghp_[A-Za-z0-9]{20,}|github_pat_\w{20,}|sk-[A-Za-z0-9_-]{20,}"
    r"|AKIA[A-Z0-9]{16}|xox[abps]-[\w-]{10,}|glpat-[\w-]{20,}|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
"""What looks like a token or a private key."""
SECRET_KEY = re.compile(
    r"(^|_)(token|api_?key|access_?key|key_?id|passw(or)?d|pass|secret|credential|auth)s?(_|$)",
    re.IGNORECASE,
)
"""Names of what is secret."""
_SHORTEST_SECRET = 6


def secret_variables() -> dict[str, str]:
    """The environment variables whose name or value is that of a secret."""
    found = {}
    for name, value in os.environ.items():
        random = re.fullmatch(r"[A-Za-z0-9_+=-]{20,}", value) and all(
            re.search(kind, value) for kind in ("[0-9]", "[a-z]", "[A-Z]")
        )
        named = SECRET_KEY.search(name) and not value.isdigit()
        if len(value) >= _SHORTEST_SECRET and (named or random):
            found[name] = value
    return found


def environment(recipe: str | Path | None = None) -> dict[str, Any]:
    """Versions, hardware and git state.

    Args:
        recipe: the recipe file, whose repository is recorded too, if it is in one.

    Returns:
        `versions` by package; `hardware`; `git`, the commit of the package's code, with `-dirty`
        where files differ from it; and `repositories`, `commit` and `dirty` of the `package` and of
        the `recipe`, null where there is no repository.
    """
    import torch

    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    threads = torch.get_num_threads()
    hardware = f"{platform.machine()}, {os.cpu_count()} CPU cores, {counted(threads, 'thread')}"
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
