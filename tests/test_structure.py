"""The rules of the house: where modules lie, how large they are, and that there is one of each."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest
from tiny_models import ROOT

PACKAGES = ("common", "data", "inference", "trainer", "hub_card", "recipes")
MOST_MODULES = 14
MOST_LINES = 430
MODULES = sorted(
    [*ROOT.glob("*.py"), *(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))]
)
TESTS = ROOT / "tests"

# What there is one of: a construct that gives a second one away, its home, and where else the
# construct means something else.
ONE_OF_EACH: dict[str, tuple[str, str, dict[str, str]]] = {
    "sigmoid": (r"np\.exp\(-|1(\.0)? / \(1(\.0)? \+|expit\(", "common/numerics.py", {}),
    "expected Jaccard in numpy": (
        r"take_along_axis\([\s\S]{0,60}cumsum\(",
        "inference/decisions.py",
        {},
    ),
    "file digest": (
        r"hashlib\.",
        "common/files.py",
        {
            "data/labeled_texts.py": "hashes texts in memory, not a file",
            "trainer/data_collator.py": "hashes encoded texts in memory, not a file",
            "inference/bulk/rows.py": "hashes Arrow buffers in memory, not a file",
            "hub_card/repository.py": "hashes the lines that `sha256sum` prints for a repository",
        },
    ),
    "JSON reader": (
        r"json\.loads?\(\s*\w+\.read_text|json\.load\(|json\.loads\(\([\w / \"'.]+\)\.read_text",
        "common/files.py",
        {},
    ),
    "atomic write": (
        r"os\.(replace|rename)\(",
        "common/files.py",
        {
            "inference/bulk/job.py": "moves the joined output, written elsewhere, to its place",
            "trainer/running/checkpoints.py": "sets a damaged checkpoint aside",
            "trainer/tuning/search.py": "sets a damaged database aside",
        },
    ),
    "TrainingArguments builder": (
        r"(?<!class )\bTrainingArguments\(\n",
        "trainer/training_arguments.py",
        {},
    ),
    "length-sorted batch loop": (
        r"sorted\(range\(len\([^\n]*(len\(|lengths)|argsort\(-?(self\.)?lengths",
        "common/batching.py",
        {
            "inference/serving/handler.py": "is published alone, beside the remote code only",
            "trainer/data_collator.py": "a random order for training, sorted within windows",
        },
    ),
    "EncodedTexts": (r"class EncodedTexts\b", "trainer/data_collator.py", {}),
    "check_texts": (
        r"is \{type\(\w+\)\.__name__\} \(\{.*not str",
        "padding_stacked_emotion.py",
        {"inference/texts.py": "names the row by its index in pandas, and reads endless streams"},
    ),
}


def code_of(module: Path) -> str:
    """The module without docstrings, whose words are not code."""
    text = module.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            first = ast.get_docstring(node, clean=False)
            text = text.replace(first, "") if first else text
    return text


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_packages_are_small_enough_to_survey() -> None:
    loose: dict[str, int] = defaultdict(int)
    for module in MODULES:
        if module.parent != ROOT or not module.stem.endswith("_stacked_emotion"):
            loose[named(module.parent)] += 1
    full = {folder: count for folder, count in loose.items() if count > MOST_MODULES}
    assert not full, f"group the modules of {full} by concept"


def test_modules_are_short() -> None:
    lines = {named(path): len(path.read_text("utf-8").splitlines()) for path in MODULES}
    long = {name: count for name, count in lines.items() if count > MOST_LINES}
    assert not long, f"split {long}"


@pytest.mark.parametrize("thing", ONE_OF_EACH)
def test_there_is_one_of_each(thing: str) -> None:
    construct, home, exceptions = ONE_OF_EACH[thing]
    found = {named(path) for path in MODULES if re.search(construct, code_of(path))}
    assert home in found, f"the construct no longer finds the {thing} in {home}"
    assert exceptions.keys() <= found, f"no longer needed: {exceptions.keys() - found}"
    more = found - {home} - exceptions.keys()
    assert not more, f"a second {thing} in {sorted(more)}: use the one in {home}"


def test_every_package_has_its_folder_of_tests() -> None:
    folders = {module.parent for module in MODULES} - {ROOT}
    missing = [
        named(folder)
        for folder in sorted(folders)
        if not list((TESTS / folder.relative_to(ROOT)).glob("**/test_*.py"))
    ]
    assert not missing, f"no tests in the folders that mirror {missing}"


def test_folders_of_tests_mirror_packages_and_hold_tests_only() -> None:
    """Helpers are in `tests/support/`; `tests/model/` has the tests of the flat remote code."""
    packages = {module.parent.relative_to(ROOT) for module in MODULES} | {Path("model")}
    for path in sorted(TESTS.rglob("*.py")):
        inside = path.relative_to(TESTS)
        if inside.parts[0] == "support" or inside == Path("conftest.py"):
            continue
        assert path.name.startswith("test_"), f"{named(path)} belongs into tests/support/"
        assert inside.parent in packages, f"there is no package {inside.parent} that has tests"


def test_tests_of_one_module_lie_where_it_lies() -> None:
    """`test_x.py` may be about several modules; where one is called `x.py`, it lies beside it."""
    places: dict[str, set[Path]] = defaultdict(set)
    for module in MODULES:
        places[module.stem].add(module.parent.relative_to(ROOT))
    for path in sorted(TESTS.rglob("test_*.py")):
        folder = path.parent.relative_to(TESTS)
        stem = path.stem.removeprefix("test_")
        if folder == Path("model") and f"{stem}_stacked_emotion" in places:
            continue
        homes = places.get(stem)
        assert not homes or folder in homes, f"{named(path)} tests a module in {homes}"
