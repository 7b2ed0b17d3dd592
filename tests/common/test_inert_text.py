"""Text from others on a terminal."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from stacked_emotion.common.inert_text import json_line, printable


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
