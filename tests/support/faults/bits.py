"""One bit flipped in every kind of file that a run, a distillation and bulk prediction leave."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from bulk_files import write_rows
from damage import flip_bit

from stacked_emotion.common.finished import RECORD, find

from .campaign import Verdicts, World, attack, difference, live

_NUMBERS = re.compile(r"\d[\d.e+-]*")
_KINDS = ((r"\d+", "#"), (r"tiny_\w+|unigram|wordpiece|bytes", "NAME"), (r"\w+\.py$", "*.py"))


def kinds(folder: Path) -> list[Path]:
    """One file of each kind: numbers, encoders and modules of code do not make another kind."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and path.stat().st_size:
            kind = name
            for pattern, word in _KINDS:
                kind = re.sub(pattern, word, kind)
            found.setdefault(kind, Path(name))
    return list(found.values())


def recorded(folder: Path) -> set[Path]:
    """The files that a record answers for, records included."""
    files: set[Path] = set()
    for record in sorted(folder.rglob(RECORD)):
        found, _ = find(record.parent, None)
        assert found is not None
        files |= {record, *(record.parent / name for name in found.files)}
    return {file.relative_to(folder) for file in files}


def _flips(world: World, whole: Path, command: Callable[[Path], list[str]], tries: int) -> Verdicts:
    """Flip a bit and run the command again: it ends with what it ended with before.

    A file of a finished part is noticed and made again; the others are written anew anyway.
    """
    output = world.folder("bits") / "run"
    shutil.copytree(whole, output)
    files, parts = kinds(whole), recorded(whole)
    for number, name in enumerate(files[:: max(len(files) // tries, 1)][:tries]):
        flip_bit(output / name, seed=number)
        life = live(command(output), output.parent)
        problem = life.problem(words="made again" if name in parts else "")
        problem = problem or difference(output, whole) or _other_text(output, whole)
        yield None if problem is None else f"{name}: {problem}"


def _other_text(output: Path, whole: Path) -> str | None:
    """Which of the files for people says something else than before, numbers aside."""
    for name in ("results.json", "results.md", "recipe.yaml", "model/config.json"):
        texts = [
            _NUMBERS.sub("#", _text(folder / name).replace(str(folder), ""))
            for folder in (output, whole)
            if (folder / name).exists()
        ]
        if texts and texts[0] != texts[-1]:
            return f"{name} is not what it was"
    return None


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace")


@attack("bits of a run", tries=1000, small=2, minutes=6)
def flips_of_a_run(world: World, tries: int) -> Verdicts:
    """At most one try for each kind of file."""
    yield from _flips(world, world.trained, world.train, tries)


@attack("bits of a distillation", tries=1000, small=0, minutes=4)
def flips_of_a_distillation(world: World, tries: int) -> Verdicts:
    """At most one try for each kind of file."""
    yield from _flips(world, world.distilled, world.distill, tries)


@attack("bits of a bulk prediction", tries=1000, small=0, minutes=1)
def flips_of_a_bulk_prediction(world: World, tries: int) -> Verdicts:
    """At most one try for each kind of file that a killed one leaves, in four formats."""
    for suffix in (".csv", ".tsv", ".jsonl", ".parquet"):
        folder = world.folder(f"bulk{suffix}")
        rows = world.rows()
        rows[3]["text"] = ""  # a row without an answer, which the parts note
        given, whole = write_rows(folder / f"in{suffix}", rows), folder / f"whole{suffix}"
        if problem := live(world.predict(given, whole), folder).problem():
            raise RuntimeError(problem)
        output = folder / "killed" / f"out{suffix}"
        output.parent.mkdir()
        for moment in (11, 21, 26):  # among the parts, before and after the output is in its place
            shutil.rmtree(output.parent)
            output.parent.mkdir()
            if live(world.predict(given, output), folder, moment).code != -9:
                raise RuntimeError("the prediction was over before it was killed")
            for number, name in enumerate(kinds(output.parent)[:tries]):
                yield _bulk_flip(world, output.parent, name, number, given, whole)


def _bulk_flip(
    world: World, killed: Path, name: Path, number: int, given: Path, whole: Path
) -> str | None:
    folder = world.folder("flipped") / "out"
    shutil.copytree(killed, folder)
    flip_bit(folder / name, seed=number)
    output = folder / f"out{whole.suffix}"
    command = world.predict(given, output)
    life = live(command, folder.parent)
    if life.code == 2:  # what the parts belong to is not known: it says how to go on
        problem = life.problem(2, "--overwrite")
        problem = problem or live([*command, "--overwrite"], folder.parent).problem()
    else:
        problem = life.problem()
    for ending in ("", ".problems.jsonl"):
        made, expected = (path.with_name(f"{path.name}{ending}") for path in (output, whole))
        if problem is None and made.read_bytes() != expected.read_bytes():
            problem = f"another {made.name} than without a flipped bit"
    return None if problem is None else f"{name}: {problem}"
