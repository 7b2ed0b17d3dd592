"""Tables of the benchmarks, printed and put into docs/performance.md."""

from __future__ import annotations

import datetime
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs/performance.md"


def publish(name: str, text: str, whole: bool = True) -> None:
    """Print a benchmark's result; put a whole one between its marks in docs/performance.md."""
    stamp = datetime.date.today().isoformat()
    text = f"{text}\n\n`python benchmarks/{name}.py`, {stamp}."
    print(text)
    if not whole:
        return
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(begin)
    _, after = rest.split(end)
    PAGE.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
