"""Text from others on a terminal and in spreadsheets."""

from __future__ import annotations

import json
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stacked_emotion.common.command_line import run_command
from stacked_emotion.common.errors import UserError
from stacked_emotion.common.inert_text import in_spreadsheet, json_line, printable


@given(st.text(st.characters(), max_size=30))
def test_no_control_character_reaches_a_terminal(text: str) -> None:
    unsafe = {"\x1b", "\x9b", "\x07", "\r", "\n", "\u202e", "\u2066", "\u200f", "\u2028"}
    hostile = f"{text}\x1b[31m\x9b\r\u202e\u2066\ud83d"
    shown = printable(hostile)
    assert not unsafe & set(shown)
    shown.encode("utf-8")
    assert printable("حب 😍 plain") == "حب 😍 plain"
    line = json_line({"text": hostile})
    assert not unsafe & set(line)
    line.encode("utf-8")
    assert json.loads(line) == {"text": hostile}


def test_nothing_that_a_command_prints_controls_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    hostile = "a\x1b[2J\x9b31m\u202e\u2066\x07\x00\u2028\ud83d b\r"

    def command() -> int:
        print(json.dumps({"text": hostile}, ensure_ascii=False))
        print("حب\t\u2068حب\u2069")
        for stream in (sys.stdout, sys.stderr):
            stream.write(f"\rbar {hostile}")
            stream.write("\n\n\x1b[A\x1b[A")
        raise UserError(f"The file {hostile} is missing.\nSecond line.")

    assert run_command(command, ["predict"], "predict") == 2
    shown = capsys.readouterr()
    for text in (shown.out, shown.err):
        text.encode()
        bar = text.index("\rbar")
        moved = text.replace("\r", "", 1).replace("\n\n\x1b[A\x1b[A", "", 1)
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066\u2067\u2028]", moved)
        assert r"\u001b[2J\u009b31m" in text[bar:]
    first, second = shown.out.split("\n")[:2]
    assert json.loads(first) == {"text": hostile}, "JSON stays right"
    assert second == "حب\t\u2068حب\u2069"
    assert shown.err.endswith("is missing.\nSecond line.\n")


@pytest.mark.parametrize(
    "formula",
    ["=1+1", "+cmd", "-cmd|x", "@SUM(1)", " =1", "\t=1", "\rx", "\nx", "\x00=1", "\ufeff=1", "＝1",
     "-1+1", "＠x", "=", "--1"],
)  # fmt: skip
def test_no_cell_is_a_formula(formula: str) -> None:
    assert in_spreadsheet(formula) == f"'{formula}"


@pytest.mark.parametrize("cell", ["", "-1", "+1.5e-7", "-,5", "12 %", "a=b", "نص", "1-2", "'=1"])
def test_other_cells_stay(cell: str) -> None:
    assert in_spreadsheet(cell) == cell
