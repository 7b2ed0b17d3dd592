"""Model folders from strangers: every JSON file of valid ones, mutated by its structure."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import (
    ACTIONS,
    HOSTILE_MODULE,
    KEYS,
    ODD,
    SPOILED,
    json_files,
    mutated,
    places,
    written,
)

from stacked_emotion import StackedEmotionForSequenceClassification, StackedEmotionTokenizer
from stacked_emotion.cli import main
from stacked_emotion.inference import export_onnx

from .campaign import Verdicts, World, attack

TEXTS = ["نص قصير 😍", "a b c"]
_FORBIDDEN = (
    "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect",
)  # fmt: skip


class Watch:
    """What this process does that reading a model must not, seen by an audit hook.

    Args:
        allowed: the folders it may write to.
    """

    def __init__(self, *allowed: Path) -> None:
        self.allowed = (*(f"{path}{os.sep}" for path in allowed), "/dev/", "/proc/")
        self.on = False
        self.seen: list[str] = []
        sys.addaudithook(self._event)

    def _event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event in _FORBIDDEN:
            self.seen.append(f"{event} {arguments!r:.200}")
        elif event == "open":
            path, _, flags = arguments
            writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) if flags else False
            if writes and isinstance(path, str) and not path.startswith(self.allowed):
                self.seen.append(f"writes {path!r}")

    @contextmanager
    def watching(self) -> Iterator[list[str]]:
        """Yields what is seen within."""
        self.seen, self.on = [], True
        try:
            yield self.seen
        finally:
            self.on = False


def command_line(folder: Path) -> tuple[int, str]:
    """`predict`, with what it prints."""
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        code = main(["predict", "--model", str(folder), "--dtype", "float32", *TEXTS])
    return code, said.getvalue()


def classes(folder: Path) -> tuple[int, str]:
    """The classes that `trust_remote_code` loads; they say what is wrong by a usual error."""
    try:
        tokenizer = StackedEmotionTokenizer.from_pretrained(folder)
        model = StackedEmotionForSequenceClassification.from_pretrained(folder)
        tokenizer.check_model(model.config)
        model(**tokenizer(TEXTS, padding=True, return_tensors="pt"))
    except (ValueError, OSError) as error:
        return 2, str(error)
    return 0, ""


def _problem(door: Callable[[Path], tuple[int, str]], folder: Path) -> str | None:
    try:
        code, said = door(folder)
    except Exception as error:
        return f"{door.__name__} raises {type(error).__name__}: {str(error)[:300]}"
    if code not in (0, 2) or "Traceback" in said or "This is a bug" in said:
        return f"exit {code}: {said[-400:]}"
    if code == 2 and door is command_line and str(folder) not in said:
        return f"the folder is not named: {said[-400:]}"
    return None


def valid_folders(world: World) -> list[Path]:
    """The trained stack: whole with an export, and in shards."""

    def make(folder: Path) -> None:
        shutil.copytree(world.trained / "model", folder / "exported")
        export_onnx(folder / "exported")
        shutil.copytree(world.trained / "model", folder / "shards")
        model = StackedEmotionForSequenceClassification.from_pretrained(folder / "shards")
        (folder / "shards/model.safetensors").unlink()
        model.save_pretrained(folder / "shards", max_shard_size="100KB")

    root = world.shared("folders", make)
    return [root / "exported", root / "shards"]


@attack("mutated model folders", tries=2000, small=0, minutes=6)
def mutated_folders(world: World, tries: int) -> Verdicts:
    """One change, or two, of one JSON file; by the command line and by the classes."""
    work = world.folder("work")
    folders = [Path(shutil.copytree(one, work / one.name)) for one in valid_folders(world)]
    ran = work / "ran"
    for folder in folders:
        code = f"open({str(ran)!r}, 'w')\nclass Any: pass\n"
        (folder / f"{HOSTILE_MODULE}.py").write_text(code)
    sources = [(folder, name) for folder in folders for name in json_files(folder)]
    originals = {source: json.loads((source[0] / source[1]).read_text()) for source in sources}
    paths = {source: [*places(value)][1:] for source, value in originals.items()}
    before = sorted(work.rglob("*"))
    watch, verdicts = Watch(Path("/nowhere")), list[str | None]()

    @settings(max_examples=tries, deadline=None, database=None, derandomize=True,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(st.sampled_from(sources), st.data())
    def one(source: tuple[Path, str], data: Any) -> None:
        value, steps = originals[source], []
        for _ in range(data.draw(st.integers(1, 2))):
            step = (data.draw(st.sampled_from(paths[source])), data.draw(ACTIONS),
                    data.draw(ODD), data.draw(KEYS))  # fmt: skip
            try:
                value = mutated(value, *step)
            except (
                KeyError,
                IndexError,
                TypeError,
                AttributeError,
            ):  # the first change took the place away
                continue
            steps.append(step)
        spoiled = data.draw(SPOILED)
        folder, name = source
        file = folder / name
        whole = file.read_bytes()
        file.write_text(written(value, spoiled), encoding="utf-8", errors="surrogatepass")
        doors = (command_line, classes) if len(verdicts) % 4 == 0 else (command_line,)
        try:
            with watch.watching() as seen:
                problem = next(filter(None, (_problem(door, folder) for door in doors)), None)
        finally:
            file.write_bytes(whole)
        if problem is None and (seen or ran.exists() or sorted(work.rglob("*")) != before):
            problem = f"something was run or written: {seen}"
            ran.unlink(missing_ok=True)
        shown = f"{folder.name}/{name} {steps!r:.300} {spoiled}"
        verdicts.append(None if problem is None else f"{shown}: {problem}")

    while len(verdicts) < tries:
        one()
    yield from verdicts[:tries]
