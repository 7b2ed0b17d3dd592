"""The folder of finished parts: what a killed run has done, and whether it may resume."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...common.errors import UserError, counted, shorten
from ...common.files import file_digest, fingerprint
from ...common.finished import OTHER_KEY, Form, find, finish
from .parts import write_lines
from .rows import Chunk, Problem

_RUN = "run.json"
_PARTIAL = "output.partial"
_OURS = re.compile(r"(run\.json|\d{8}\.(json|problems|csv|tsv|jsonl|parquet)|output)(\.partial)?")
_MODEL_FILES = (".json", ".safetensors", ".onnx", ".data", ".xml", ".bin")


class Ledger:
    """Parts of an output that is being made, in `<output>.parts`.

    A part counts once its record is there, which names its files with their digests and is written
    last. So a run that is killed at any moment loses the parts in work and no other, and the same
    command does only what is missing, damaged, or made from rows that have changed.

    Args:
        target: the output.
        suffix: the format of the parts.
        facts: JSON values, equal for two runs if and only if their outputs are.
    """

    def __init__(self, target: Path, suffix: str, facts: dict[str, Any]) -> None:
        self.target, self.suffix = target, suffix
        self.facts = json.loads(json.dumps(facts))
        self.key = fingerprint(self.facts)
        self.folder = parts_folder(target)
        self.problems = target.with_name(f"{target.name}.problems.jsonl")
        self.partial = self.folder / _PARTIAL

    def claim(self, overwrite: bool) -> bool:
        """Take the folder for this run; `overwrite` gives up what another run has left here.

        Returns:
            False if this very run had only its tidying up left to do, which is done now.

        Raises:
            UserError: an output, or parts of another run, are here already.
        """
        form = Form({"facts": dict, "tidying": {str: str}})
        found, damage = find(self.folder, None, _RUN, form)
        if damage is not None and not overwrite:
            raise UserError(
                f"{self.folder / _RUN} is damaged, so it is not known which run the parts beside "
                "it belong to. Give --overwrite to do them again, or another --output."
            )
        if found is not None and found.record["tidying"]:
            written = found.record["tidying"] == self._written()
            if found.key == self.key and self.target.exists() and not (written or overwrite):
                raise UserError(
                    f"{self.target} or {self.problems.name} is not as this run wrote it: changed "
                    "or damaged. Give --overwrite to write it again, or another --output."
                )
            self._remove()
            if found.key == self.key and written:
                return False
            found = None
        elif damage is not None or (found is not None and found.key != self.key):
            if found is not None and not overwrite and self._numbers():
                raise UserError(self._belongs_to_another(found.record["facts"]))
            self._remove()
            found = None
        if found is None:
            self._refuse_what_is_in_the_way(overwrite)
            self.folder.mkdir(parents=True, exist_ok=True)
            self._write_run(tidying={})
        return True

    def _written(self) -> dict[str, str]:
        """The digests of the output and the side file, as far as they exist."""
        files = [path for path in (self.target, self.problems) if path.exists()]
        return {path.name: file_digest(path) for path in files}

    def _write_run(self, tidying: dict[str, str]) -> None:
        finish(self.folder, self.key, {"facts": self.facts, "tidying": tidying}, [], _RUN)

    def _refuse_what_is_in_the_way(self, overwrite: bool) -> None:
        if self._numbers():
            raise UserError(
                f"{self.folder} holds files, but no {_RUN} that says which run they belong to. "
                "Move the folder away or give another --output."
            )
        for path in (self.target, self.problems):
            if path.exists() and not overwrite and not self._is_left_over(path):
                raise _exists(path)

    def _is_left_over(self, path: Path) -> bool:
        """Whether it is the side file of an output that was removed, as a prediction writes it."""
        if path != self.problems or self.target.exists():
            return False
        with suppress(OSError, ValueError), path.open(encoding="utf-8") as stream:
            lines = [json.loads(line) for line in stream]
            return bool(lines) and all(Problem.is_one(line) for line in lines)
        return False

    def _numbers(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob(f"[0-9]*{self.suffix}"))

    def _belongs_to_another(self, facts: dict[str, Any]) -> str:
        there, now = _options_apart(facts), _options_apart(self.facts)
        differing = [
            f"{key!r}" + (f": {shorten(there[key])} there" if _is_plain(there.get(key)) else "")
            for key in now
            if there.get(key) != now[key]
        ]
        return (
            f"{self.folder} holds {counted(self.count(), 'part')} of another run "
            f"(differing in {', '.join(differing)}). Finish that run with its own options, give "
            "another --output, or --overwrite to discard the parts."
        )

    def count(self) -> int:
        """How many parts are there; `has` says whether one is whole and of the same rows."""
        return len(self._numbers())

    def part(self, number: int) -> Path:
        """The path of a part."""
        return self.folder / f"{number:08d}{self.suffix}"

    def has(self, chunk: Chunk) -> bool:
        """Whether the part of these rows is finished; damage and changed rows are reported."""
        files = self.part(chunk.number).name, self._notes(chunk.number).name
        name, form = _record_name(chunk.number), Form(files=files)
        found, problem = find(self.folder, self._part_key(chunk), name, form)
        if problem is not None:
            reason = "was made from other rows" if problem == OTHER_KEY else problem
            print(f"{self.part(chunk.number)} {reason}. It is made again.", file=sys.stderr)
        return found is not None

    def _part_key(self, chunk: Chunk) -> str:
        return fingerprint(self.key, chunk.digest())

    def keep(
        self, chunk: Chunk, problems: list[Problem], write: Callable[[Path], list[Problem]]
    ) -> None:
        """Write a part and what is to be reported of it; its record comes last.

        `write` writes the part to a path and returns problems beside those known beforehand.
        """
        files = [self.part(chunk.number)]
        told = problems + write(files[0])
        notes = self._notes(chunk.number)
        write_lines(notes, [problem.to_json() for problem in told])
        finish(self.folder, self._part_key(chunk), {}, [*files, notes], _record_name(chunk.number))

    def _notes(self, number: int) -> Path:
        return self.folder / f"{number:08d}.problems"

    def noted(self, count: int) -> Iterator[str]:
        """The problems of the first parts as JSON lines, in order."""
        for number in range(count):
            with self._notes(number).open(encoding="utf-8") as stream:
                yield from (line.rstrip("\n") for line in stream)

    def finish(self) -> None:
        """Remove the parts, once the output is in its place."""
        self._write_run(tidying=self._written())
        self._remove()

    def _remove(self) -> None:
        """Remove the files of a run, what tells of it last, and the folder if nothing is left."""
        ours = [path for path in self.folder.iterdir() if _OURS.fullmatch(path.name)]
        for path in sorted(ours, key=lambda path: path.name == _RUN):
            path.unlink()
        if not any(self.folder.iterdir()):
            self.folder.rmdir()


def parts_folder(target: Path) -> Path:
    """Where the parts of an output are."""
    return target.with_name(f"{target.name}.parts")


def refuse_existing(target: Path) -> None:
    """Refuse an output that no run is at work on, before anything heavy is loaded.

    Raises:
        UserError: the output is there.
    """
    if target.exists() and not parts_folder(target).exists():
        raise _exists(target)


def _exists(path: Path) -> UserError:
    return UserError(f"{path} exists. Give another --output, or --overwrite to replace it.")


def _options_apart(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts of a run, each option of the predictor as one of them."""
    options = facts.get("predictor", {})
    return {key: value for key, value in facts.items() if key != "predictor"} | options


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int) and value != ""


def _record_name(number: int) -> str:
    return f"{number:08d}.json"


def model_facts(model: str, commit: str | None) -> dict[str, Any]:
    """What tells two models apart: the commit on the Hub, or the files of the folder."""
    folder = Path(model)
    if not folder.is_dir():
        return {"id": model, "commit": commit}
    files = sorted(path for path in folder.rglob("*") if path.suffix in _MODEL_FILES)
    return {"files": {path.relative_to(folder).as_posix(): file_digest(path) for path in files}}
