"""README and docs: links lead somewhere, commands and options exist, imports and files too."""

from __future__ import annotations

import argparse
import ast
import importlib
import importlib.util
import itertools
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from browser import DESKTOP, MISSING, PHONE, chromium
from markdown_it import MarkdownIt

from stacked_emotion.cli import build_parser
from stacked_emotion.common.errors import UserError
from stacked_emotion.common.settings import checked
from stacked_emotion.trainer.arguments import TrainingRecipe
from stacked_emotion.trainer.recipe import make_recipe

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("recipes/**/*.md")]
)
MODULES = {
    "stacked_emotion.trainer.train": ["train"],
    "stacked_emotion.trainer.ablation": ["ablate"],
    "stacked_emotion.trainer.distillation": ["distill"],
    "stacked_emotion.cli": [],
}
OTHERS = {"--batch"}
"""Options of a benchmark."""
PLACES = "benchmarks|common|data|docs|hub_card|inference|recipes|tests|trainer"


def links(page: Path) -> list[str]:
    """The targets of the links and pictures of a page, those in HTML too."""
    found = []
    for block in MarkdownIt().enable("table").parse(page.read_text(encoding="utf-8")):
        for token in [block, *(block.children or [])]:
            target = token.attrGet("href") or token.attrGet("src")
            found += [str(target)] if target else []
            if token.type in ("html_block", "html_inline"):
                found += re.findall(r'(?:href|src)="([^"]+)"', token.content)
    return found


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    given: set[str] = set()
    tokens = MarkdownIt().parse(page.read_text(encoding="utf-8"))
    for opening, heading in itertools.pairwise(tokens):
        if opening.type != "heading_open":
            continue
        parts = [token.content for token in heading.children or []]
        name = re.sub(r"[^\w\- ]", "", "".join(parts).lower()).replace(" ", "-")
        number = sum(1 for other in given if re.fullmatch(rf"{re.escape(name)}(-\d+)?", other))
        given.add(f"{name}-{number}" if number else name)
    return given


def problems(page: Path) -> list[str]:
    """The relative links of a page that lead nowhere."""
    broken = []
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_somewhere(name: str) -> None:
    assert problems(ROOT / name) == []


def test_every_page_of_the_docs_is_linked_from_the_readme() -> None:
    missing = {name for name in PAGES if name.startswith("docs/")} - set(links(ROOT / "README.md"))
    assert missing == set()


def test_broken_links_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    (tmp_path / "other.md").write_text("# A `b`: c\n\n## Twice\n\n## Twice\n", encoding="utf-8")
    page.write_text(
        "[1](other.md#a-b-c) [2](other.md#twice-1) [3](other.md) [4](#here) <img src='x.png'>\n\n"
        '# Here\n\n[no](gone.md) [no](other.md#d) [no](#there) <img src="gone.png">\n\n'
        "| a |\n| --- |\n| [no](gone.txt) |\n\n`[code](gone.py)` https://example.org\n",
        encoding="utf-8",
    )
    assert problems(page) == ["gone.md", "other.md#d", "#there", "gone.png", "gone.txt"]


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page in one language."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def commands(script: str) -> list[list[str]]:
    """The words after `stacked-emotion` of each such command of a shell script."""
    found = []
    script = re.sub(r"<[^<>\n]+>", "PLACEHOLDER", script.replace("\\\n", " "))
    for line in script.splitlines():
        words = shlex.split(line, comments=True)
        for piece in " ".join(map(shlex.quote, words)).split(" '|' "):
            part = shlex.split(piece)
            part = part[: part.index(">") if ">" in part else None]
            if part[:1] == ["stacked-emotion"]:
                start, name = 1, []
            elif part[:2] == ["accelerate", "launch"] and "-m" in part:
                start = part.index("-m") + 2
                name = MODULES[part[start - 1]]
            else:
                continue
            found.append(name + [word for word in part[start:] if word != "…"])
    return found


def code_words(page: str) -> list[str]:
    """What a page has in backticks."""
    tokens = MarkdownIt().enable("table").parse((ROOT / page).read_text(encoding="utf-8"))
    inner = itertools.chain.from_iterable(token.children or [] for token in tokens)
    return [token.content for token in inner if token.type == "code_inline"]


def options() -> set[str]:
    """Every option of every command."""
    (actions,) = (
        entry for entry in build_parser()._actions if isinstance(entry, argparse._SubParsersAction)
    )
    return {name for parser in actions.choices.values() for name in parser._option_string_actions}


@pytest.mark.parametrize("name", PAGES)
def test_commands_parse(name: str) -> None:
    for words in itertools.chain.from_iterable(map(commands, blocks(name, "bash"))):
        try:
            build_parser().parse_args(words)
        except UserError as error:
            pytest.fail(f"stacked-emotion {shlex.join(words)}: {error}")


def test_commands_are_found() -> None:
    script = (
        "cat a.txt | stacked-emotion predict --model M > out.jsonl   # a comment\n"
        "accelerate launch --cpu -m stacked_emotion.trainer.ablation \\\n  r.yaml --seeds 0 …\n"
        "make demo\n"
    )
    assert commands(script) == [["predict", "--model", "M"], ["ablate", "r.yaml", "--seeds", "0"]]
    assert sum(len(commands(block)) for page in PAGES for block in blocks(page, "bash")) > 40


@pytest.mark.parametrize("name", PAGES)
def test_options_exist(name: str) -> None:
    known = options() | OTHERS
    for word in code_words(name):
        if not re.match("--[a-z]|stacked-emotion ", word):
            continue
        for option in re.findall(r"(?<![\w-])--[a-z][\w.-]*", word):
            if "." in option:
                build_parser().parse_args(["train", *shlex.split(word)])
            else:
                assert option in known, f"{option} in {word!r}"


@pytest.mark.parametrize("name", PAGES)
def test_files_exist(name: str) -> None:
    for word in code_words(name):
        if re.fullmatch(rf"({PLACES})/[\w./]+|\w+_stacked_emotion\.py", word):
            assert (ROOT / word).exists(), word


@pytest.mark.parametrize("name", PAGES)
def test_python_blocks_import_what_exists(name: str) -> None:
    for block in blocks(name, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("stacked_emotion"):
                module = importlib.import_module(str(node.module))
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"


@pytest.mark.parametrize("name", PAGES)
def test_yaml_blocks_are_parts_of_recipes(name: str) -> None:
    for block in blocks(name, "yaml"):
        assert checked(TrainingRecipe, yaml.safe_load(block), f"{name}: ")


def test_the_recipe_in_the_docs_is_one() -> None:
    text, lexical, related = blocks("docs/training.md", "yaml")
    recipe = make_recipe(checked(TrainingRecipe, yaml.safe_load(text), "docs: "), None)
    assert recipe.encoders["marbert"].epochs == 7
    assert recipe.encoders["arabert"].epochs == 5
    assert recipe.head.training_arguments == {"lr_scheduler_type": "cosine"}
    recipe = make_recipe(checked(TrainingRecipe, yaml.safe_load(lexical), "docs: "), None)
    assert recipe.encoders["lexical"].ngrams == [2, 5]
    recipe = make_recipe(checked(TrainingRecipe, yaml.safe_load(related), "docs: "), None)
    assert [len(recipe.encoders[name].pretraining) for name in ("e5", "arabert")] == [1, 0]


class _NavLoader(yaml.SafeLoader):
    """Reads mkdocs.yml, in which one value is a Python function."""


_NavLoader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)


def pages_of(nav: Any) -> Iterator[str]:
    for entry in nav:
        for inside in entry.values():
            yield from [inside] if isinstance(inside, str) else pages_of(inside)


def test_the_site_lists_every_page() -> None:
    nav = yaml.load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"), _NavLoader)["nav"]
    listed = list(pages_of(nav))
    made = {"index.md", "contributing.md", "security.md", "changelog.md"}
    in_docs = [page for page in listed if page not in made and not page.startswith("reference/")]
    assert sorted(in_docs) == [
        page.removeprefix("docs/") for page in PAGES if page.startswith("docs/")
    ]
    assert len(listed) == len(set(listed))


def test_the_reference_has_every_public_name() -> None:
    pytest.importorskip("mkdocstrings", reason="needs the extra docs")
    spec = importlib.util.spec_from_file_location("site_hooks", ROOT / "docs/site_hooks.py")
    assert spec
    assert spec.loader
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    entries = " ".join(names for *_, names in hooks.REFERENCE.values()).split()
    shown = {name.rsplit(".", 1)[-1] for name in entries}
    for module in ("", ".inference", ".trainer", ".trainer.metrics", ".hub_card"):
        public = set(importlib.import_module(f"stacked_emotion{module}").__all__)
        assert public - shown == {name for name in public if name.isupper() or name[0] == "_"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocstrings", reason="needs the extra docs")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_the_site_builds_and_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:script|img|iframe)[^>]*\bsrc="?([^" >]+)', text)
        loaded += re.findall(r'<link[^>]*\bhref="?([^" >]+)', text)
        assert [target for target in loaded if re.match(r"(https?:)?//", target)] == [], page
    runs = (site / "reference/runs.html").read_text(encoding="utf-8")
    assert 'id="stacked_emotion.train"' in runs
    prediction = (site / "reference/inference.html").read_text(encoding="utf-8")
    assert 'id="stacked_emotion.inference.text_predictor.TextPredictor.predict_proba"' in prediction
    start = (site / "index.html").read_text(encoding="utf-8")
    assert not re.search(r'(href|src)="?docs/', start)
    assert 'src="images/space_arabic_desktop.png"' in start
    assert "--train_file FILE" in (site / "reference/command_line.html").read_text("utf-8")


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=MISSING)
def test_no_page_of_the_site_is_wider_than_the_screen(site: Path) -> None:
    with chromium() as browser:
        for size in (PHONE, DESKTOP):
            page, asked = browser.new_context(**size).new_page(), []
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            for file in sorted(site.rglob("*.html")):
                page.goto(file.as_uri())
                wide, screen = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
                assert wide <= screen, f"{file.name} at {screen} px"
            assert [url for url in asked if not url.startswith("file:")] == []
