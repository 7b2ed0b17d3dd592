"""The examples of label cells in the documentation are read as it says."""

from __future__ import annotations

import re

import pytest
from labeled_files import LABELS, write_csv
from tiny_models import ROOT

from stacked_emotion.data.arguments import DataArguments
from stacked_emotion.data.inspection import inspect_table

TABLE = (ROOT / "docs" / "data.md").read_text(encoding="utf-8").split("## Label cells")[1]
ROWS = re.findall(r"^\| `(names|multi_hot|ids)` \| (.*?) \|$", TABLE, re.MULTILINE)
EXAMPLES = [
    (kind, cell.replace("\\|", "|"))
    for kind, examples in ROWS
    for cell in re.findall(r"`([^`]+)`", examples) if not cell.startswith("--")
]  # fmt: skip


@pytest.mark.parametrize(("kind", "cell"), EXAMPLES)
def test_examples_of_label_cells(tmp_path, kind, cell):
    other = {"names": "hope", "multi_hot": "[0, 0, 0]", "ids": "1"}[kind]
    path = write_csv(tmp_path / "a.csv", [["text", "labels"], ["a", cell], ["b", other]])
    options = {} if kind == "names" else {"label_names": LABELS}
    found = inspect_table(str(path), DataArguments(**options))
    assert not found.problems
    assert found.inventory.label_format == kind
    assert found.rows(1)[0]["labels"]


def test_there_are_examples():
    assert {kind for kind, _ in EXAMPLES} == {"names", "multi_hot", "ids"}
    assert len(EXAMPLES) >= 15
