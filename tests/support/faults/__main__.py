"""The campaign: every attack of the modules in this folder, and a table of what was survived.

`make test-faults` runs it. A new attack is a function with the decorator `attack` in a new module
here; nothing has to be listed.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import shutil
import sys
import tempfile
import time
from pathlib import Path


def main() -> int:
    """Run the attacks; the exit code is 1 unless all tries were survived."""
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("--small", action="store_true", help="the tries of the suite")
    parser.add_argument("--only", nargs="+", default=[], help="words in the names of attacks")
    parser.add_argument("--keep", type=Path, help="work in this folder and keep it")
    options = parser.parse_args()
    campaign = importlib.import_module("faults.campaign")
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if not module.name.startswith("__"):
            importlib.import_module(f"faults.{module.name}")
    root = options.keep or Path(tempfile.mkdtemp(prefix="faults"))
    world = campaign.World(root)
    lines, failed = [], 0
    for attack in campaign.ATTACKS:
        tries = attack.small if options.small else attack.tries
        if not tries or (options.only and not any(word in attack.name for word in options.only)):
            continue
        begin, tried, survived, note = time.monotonic(), 0, 0, ""
        try:
            for problem in attack.run(world, tries):
                tried, survived = tried + 1, survived + (problem is None)
                if problem is not None:
                    print(f"{attack.name}: {problem}", file=sys.stderr, flush=True)
        except campaign.CannotRun as reason:
            note = f"not tried further here: {reason}"
        seconds = time.monotonic() - begin
        failed += tried - survived
        lines.append(f"| {attack.name} | {tried} | {survived} | {seconds:.0f} | {note} |")
        print(lines[-1], file=sys.stderr, flush=True)
    print("| attack | tried | survived | seconds | |\n| --- | --- | --- | --- | --- |")
    print("\n".join(lines))
    if options.keep is None:
        shutil.rmtree(root, ignore_errors=True)
    return 1 if failed or not lines else 0


if __name__ == "__main__":
    sys.exit(main())
