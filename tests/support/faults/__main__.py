"""The campaign: every attack of the modules in this folder, and a table of what was survived.

`make test-faults` runs it; `make test-faults FAULTS="--only bits"` runs a part. A new attack is a
function with the decorator `attack` in a new module here; nothing has to be listed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from .campaign import ATTACKS, Attack, CannotRun, World


def main() -> int:
    """Run the attacks; the exit code is 1 unless all tries were survived."""
    options = _parser().parse_args()
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if not module.name.startswith("__"):
            importlib.import_module(f"faults.{module.name}")
    root = options.keep or Path(tempfile.mkdtemp(prefix="faults"))
    root.mkdir(parents=True, exist_ok=True)
    if options.one:
        print(json.dumps(_run(_chosen(options)[0], root, small=False)))
        return 0
    chosen, begin = _chosen(options), time.monotonic()
    if options.small:
        rows = [_run(attack, root, small=True) for attack in chosen]
    else:
        with ThreadPoolExecutor(options.processes) as pool:
            rows = list(pool.map(lambda attack: _apart(attack, root), chosen))
    rows.append({"name": "all", "note": "", "seconds": time.monotonic() - begin} | {
        key: sum(row[key] for row in rows) for key in ("tried", "survived")
    })  # fmt: skip
    print("| attack | tried | survived | seconds | |\n| --- | --- | --- | --- | --- |")
    print("\n".join(map(_line, rows)))
    if options.keep is None:
        shutil.rmtree(root, ignore_errors=True)
    return 0 if rows[-1]["tried"] and rows[-1]["tried"] == rows[-1]["survived"] else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("--small", action="store_true", help="the tries of the suite")
    parser.add_argument("--only", nargs="+", default=[], help="words in the names of attacks")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--keep", type=Path, help="work in this folder and keep it")
    parser.add_argument("--processes", type=int, default=2, help="attacks at a time; default: 2")
    return parser


def _chosen(options: argparse.Namespace) -> list[Attack]:
    """The attacks asked for, the longest first."""
    if options.one:
        return [attack for attack in ATTACKS if attack.name == options.one]
    found = [
        attack
        for attack in ATTACKS
        if (attack.small if options.small else attack.tries)
        and (not options.only or any(word in attack.name for word in options.only))
    ]
    return sorted(found, key=lambda attack: -attack.minutes)


def _apart(attack: Attack, root: Path) -> dict[str, Any]:
    """Run one attack in a process of its own; a crash of it is a try that was not survived."""
    command = [sys.executable, "-m", "faults", "--one", attack.name, "--keep", str(root)]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    last = done.stdout.splitlines()[-1:]
    crashed = {
        "name": attack.name, "tried": 1, "survived": 0, "seconds": 0.0,
        "note": f"the attack itself ended with {done.returncode}",
    }  # fmt: skip
    row: dict[str, Any] = json.loads(last[0]) if last and done.returncode == 0 else crashed
    print(_line(row), file=sys.stderr, flush=True)
    return row


def _run(attack: Attack, root: Path, small: bool) -> dict[str, Any]:
    """Run one attack here; what goes wrong is said at once."""
    world = World(root, attack.name.replace(" ", "_"))
    begin, tried, survived, note = time.monotonic(), 0, 0, ""
    try:
        for problem in attack.run(world, attack.small if small else attack.tries):
            tried, survived = tried + 1, survived + (problem is None)
            if problem is not None:
                print(f"{attack.name}: {problem}", file=sys.stderr, flush=True)
            elif os.environ.get("FAULTS_VERBOSE"):
                print(f"{attack.name}: {tried} survived", file=sys.stderr, flush=True)
    except CannotRun as reason:
        note = f"not tried further here: {reason}"
    seconds = time.monotonic() - begin
    return {"name": attack.name, "tried": tried, "survived": survived, "seconds": seconds,
            "note": note}  # fmt: skip


def _line(row: dict[str, Any]) -> str:
    return (
        f"| {row['name']} | {row['tried']:,} | {row['survived']:,} | {row['seconds']:.0f} | "
        f"{row['note']} |"
    )


if __name__ == "__main__":
    sys.exit(main())
