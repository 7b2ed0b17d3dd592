"""One bit flipped in every kind of file that a run and a distillation leave."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from damage import flip_bit

from stacked_emotion.common.finished import RECORD, find

from .campaign import Verdicts, World, attack, difference, run


def covered(folder: Path) -> list[Path]:
    """One file of each kind that a record answers for, records included."""
    kinds: dict[str, Path] = {}
    for record in sorted(folder.rglob(RECORD)):
        found, _ = find(record.parent, None)
        assert found is not None
        for path in (record, *(record.parent / name for name in found.files)):
            kind = re.sub(r"\d+", "#", path.relative_to(folder).as_posix())
            kinds.setdefault(kind, path.relative_to(folder))
    return list(kinds.values())


def _flips(world: World, whole: Path, command: Callable[[Path], list[str]], tries: int) -> Verdicts:
    output = world.folder("bits") / "run"
    shutil.copytree(whole, output)
    kinds = covered(whole)
    for number in range(min(tries, len(kinds))):
        name = kinds[(number * 7) % len(kinds)] if tries < len(kinds) else kinds[number]
        flip_bit(output / name, seed=number)
        life = run(command(output))
        problem = life.problem(words="made again") or difference(output, whole)
        yield None if problem is None else f"{name}: {problem}"


@attack("a bit flipped in a run", tries=1000, small=1)
def flips_of_a_run(world: World, tries: int) -> Verdicts:
    """At most one try for each kind of file."""
    yield from _flips(world, world.trained, world.train, tries)


@attack("a bit flipped in a distillation", tries=1000, small=0)
def flips_of_a_distillation(world: World, tries: int) -> Verdicts:
    """At most one try for each kind of file."""
    yield from _flips(world, world.distilled, world.distill, tries)
