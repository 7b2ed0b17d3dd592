"""The README's Python runs, and every link in the README and the docs leads somewhere."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PREDICT, TRAIN = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("recipes/**/*.md")]
)


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


def test_blocks_are_short_enough_to_read() -> None:
    assert len(PREDICT.splitlines()) <= 10
    assert len(TRAIN.splitlines()) <= 40


def test_readme_runs(tmp_path: Path) -> None:
    trained = _run(TRAIN + "\nprint(len(run.results['labels']))\n", tmp_path)
    assert re.search(r"^ +stack +0\.\d+", trained, re.MULTILINE), trained
    assert trained.endswith("11\n")
    made = tmp_path / "outputs/readme"
    assert (made / "model/modeling_stacked_emotion.py").exists()
    assert (made / "results.md").exists()
    assert (made / "repository/README.md").exists()  # what `publish` gathers

    shutil.copytree(made / "model", tmp_path / "outputs/demo/model")
    answers = _run(PREDICT, tmp_path).splitlines()
    assert len(answers) == 2
    assert all(re.fullmatch(r"\[(\('\w+', [01]\.\d+\)(, )?)*\]", line) for line in answers), answers


def _run(code: str, folder: Path) -> str:
    """What the code prints, in a fresh process."""
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 0, answer.stderr[-3000:]
    return answer.stdout
