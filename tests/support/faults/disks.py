"""Disks that are full in the middle of the work, and get room later."""

from __future__ import annotations

from pathlib import Path

import pytest
from bulk_files import write_rows
from small_disks import grow, mounted

from .campaign import CannotRun, Verdicts, World, attack, difference, run


@attack("disk full", tries=6, small=0, minutes=3)
def full_disks(world: World, tries: int) -> Verdicts:
    """Training and bulk prediction in turn, on disks of several sizes."""
    for number in range(tries):
        try:
            with mounted(world.folder(f"disk{number}"), "size=200k") as disk:
                if number % 2:
                    yield _training(world, disk, (400, 1500, 3000)[number // 2 % 3])
                else:
                    yield _bulk(world, disk, (64, 96, 128)[number // 2 % 3])
        except pytest.skip.Exception as error:
            raise CannotRun(str(error)) from error


def _training(world: World, disk: Path, kilobytes: int) -> str | None:
    grow(disk, f"{kilobytes}k")
    command = world.train(disk / "run")
    if problem := run(command).problem(2, f"The disk of {disk / 'run'}"):
        return problem
    grow(disk, "200m")
    return run(command).problem() or difference(disk / "run", world.trained)


def _bulk(world: World, disk: Path, kilobytes: int) -> str | None:
    folder = world.folder("disk_rows")
    rows = [row | {"more": f"{row['id']:04d}" * 1000} for row in world.rows()]
    given, whole = write_rows(folder / "in.jsonl", rows), folder / "whole.jsonl"
    if problem := run(world.predict(given, whole)).problem():
        return problem
    grow(disk, f"{kilobytes}k")
    command = world.predict(given, disk / "out.jsonl")
    if problem := run(command).problem(2, f"The disk of {disk} is full"):
        return problem
    grow(disk, "20m")
    if problem := run(command).problem():
        return problem
    same = (disk / "out.jsonl").read_bytes() == whole.read_bytes()
    return None if same else "another output than on a disk with room"
