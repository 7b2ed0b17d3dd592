"""Fresh starts of the command line that end by SIGKILL at a random moment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bulk_files import write_rows

from .campaign import Verdicts, World, attack, difference, run

FORMATS = (".csv", ".tsv", ".jsonl", ".parquet")


def _kills(
    world: World,
    tries: int,
    command: Callable[[Path], list[str]],
    compare: Callable[[Path], str | None],
) -> Verdicts:
    """Kill until the work is done, then begin anew; what comes out is that of no kill.

    A kill after the last step, while Python ends, leaves bulk prediction nothing to do but to say
    that the output exists.
    """
    longest = run(command(world.folder("kills_timed") / "out")).seconds
    killed, round_, waiting = 0, 0, 0
    output = world.folder("kills0") / "out"
    while killed < tries or waiting:
        last = killed >= tries
        life = run(command(output), None if last else world.chance.uniform(0.2, 1.0) * longest)
        if life.code == -9:
            killed, waiting = killed + 1, waiting + 1
            continue
        done = waiting and life.code == 2 and "exists. Give another" in life.said
        if not waiting:  # over before it could be killed: the machine is faster than it was
            longest = life.seconds
        problem = (None if done else life.problem()) or compare(output)
        yield from [problem] * waiting
        waiting, round_ = 0, round_ + 1
        output = world.folder(f"kills{round_}") / "out"


@attack("kill -9 of training", tries=20, small=0, minutes=9)
def kills_of_training(world: World, tries: int) -> Verdicts:
    """Every stage, `joint` included."""
    yield from _kills(world, tries, world.train, lambda run: difference(run, world.trained))


@attack("kill -9 of distillation", tries=8, small=0, minutes=4)
def kills_of_distillation(world: World, tries: int) -> Verdicts:
    """Teacher's scores, students, the end."""
    yield from _kills(world, tries, world.distill, lambda run: difference(run, world.distilled))


@attack("kill -9 of bulk prediction", tries=20, small=1, minutes=5)
def kills_of_bulk(world: World, tries: int) -> Verdicts:
    """Four formats in turn."""
    for place, suffix in enumerate(FORMATS):
        share = tries // 4 + (place < tries % 4)
        if not share:
            continue
        folder = world.folder(f"bulk{suffix}")
        given, whole = write_rows(folder / f"in{suffix}", world.rows()), folder / f"whole{suffix}"
        if problem := run(world.predict(given, whole)).problem():
            raise RuntimeError(problem)

        def command(output: Path, given: Path = given, suffix: str = suffix) -> list[str]:
            return world.predict(given, output.with_suffix(suffix))

        def compare(output: Path, whole: Path = whole, suffix: str = suffix) -> str | None:
            found = output.with_suffix(suffix)
            if [path.name for path in found.parent.iterdir()] != [found.name]:
                return f"left: {sorted(path.name for path in found.parent.iterdir())}"
            same = found.read_bytes() == whole.read_bytes()
            return None if same else f"another {suffix} than without a kill"

        yield from _kills(world, share, command, compare)
