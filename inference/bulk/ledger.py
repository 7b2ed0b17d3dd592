"""The folder of finished parts: what a killed run has done, and whether it may go on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ...common.errors import UserError, quoted
from .parts import replace_file, write_lines
from .rows import Problem

_HASHED_BYTES = 1 << 24


class Ledger:
    """Parts of an output that is being made, in `<output>.parts`.

    A part is there whole or not at all, so a run that is killed at any moment loses the parts in
    work and no other, and the same command does only what is missing.

    Args:
        target: the output.
        suffix: the format of the parts.
    """

    def __init__(self, target: Path, suffix: str) -> None:
        self.target, self.suffix = target, suffix
        self.folder = target.with_name(f"{target.name}.parts")
        self.finished = target.with_name(f"{target.name}.parts.finished")
        self.problems = target.with_name(f"{target.name}.problems.jsonl")

    def claim(self, facts: dict[str, Any], overwrite: bool) -> bool:
        """Take the folder for a run.

        Args:
            facts: JSON values, equal for two runs if and only if their outputs are.
            overwrite: give up what another run has left here.

        Returns:
            False if this very run had only its tidying up left to do, which is done now.

        Raises:
            UserError: an output, or parts of another run, are here already.
        """
        facts = json.loads(json.dumps(facts))
        if self.finished.exists():
            done = _facts(self.finished) == facts and self.target.exists()
            _remove(self.finished)
            if done and not self.folder.exists():
                return False
        found = _facts(self.folder)
        if self.folder.exists() and found != facts:
            if not overwrite and self._numbers():
                raise UserError(self._belongs_to_another(found, facts))
            _remove(self.folder)
        if self.target.exists() and not self.folder.exists() and not overwrite:
            raise UserError(
                f"{self.target} exists. Give another --output, or --overwrite to replace it."
            )
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(facts)]
        replace_file(self.folder / "run.json", lambda partial: write_lines(partial, lines))
        return True

    def _numbers(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob(f"[0-9]*{self.suffix}"))

    def _belongs_to_another(self, found: dict[str, Any], facts: dict[str, Any]) -> str:
        differing = [key for key in facts if found.get(key) != facts[key]]
        return (
            f"{self.folder} holds {len(self._numbers())} parts of another run (differing in "
            f"{quoted(differing)}). Finish that run by its own command, give another --output, or "
            "--overwrite to give the parts up."
        )

    def part(self, number: int) -> Path:
        """The path of a part."""
        return self.folder / f"{number:08d}{self.suffix}"

    def keep(
        self, number: int, problems: list[Problem], write: Callable[[Path], list[Problem]]
    ) -> None:
        """Write a part and what is to be told of it; the part comes last, whole or not at all.

        Args:
            number: of the part.
            problems: known beforehand.
            write: writes the part to a path and returns further problems.
        """

        def write_both(partial: Path) -> None:
            told = problems + write(partial)
            if told:
                lines = [problem.to_json() for problem in told]
                notes = self.folder / f"{number:08d}.problems"
                replace_file(notes, lambda path: write_lines(path, lines))

        replace_file(self.part(number), write_both)

    def noted(self, count: int) -> Iterator[str]:
        """The problems of the first parts as JSON lines, in order."""
        for number in range(count):
            path = self.folder / f"{number:08d}.problems"
            if path.exists():
                with path.open(encoding="utf-8") as stream:
                    yield from (line.rstrip("\n") for line in stream)

    def finish(self) -> None:
        """Remove the parts, once the output is in its place."""
        os.rename(self.folder, self.finished)
        _remove(self.finished)


def model_facts(model: str, commit: str | None) -> dict[str, Any]:
    """What tells two models apart: the commit on the Hub, or the files of the folder.

    Small files count by their content, weights by size and time of last change.
    """
    folder = Path(model)
    if not folder.is_dir():
        return {"id": model, "commit": commit}
    files: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".json", ".safetensors", ".onnx", ".data", ".xml", ".bin"):
            state = path.stat()
            if state.st_size <= _HASHED_BYTES:
                files[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
            else:
                files[str(path.relative_to(folder))] = [state.st_size, state.st_mtime_ns]
    return {"files": files}


def _facts(folder: Path) -> dict[str, Any]:
    marker = folder / "run.json"
    return json.loads(marker.read_text(encoding="utf-8")) if marker.exists() else {}


def _remove(folder: Path) -> None:
    """Remove a folder of files, what tells its run last."""
    for path in sorted(folder.iterdir(), key=lambda path: path.name == "run.json"):
        path.unlink()
    folder.rmdir()
