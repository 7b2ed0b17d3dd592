"""Text from others on a terminal: no control character reaches it."""

from __future__ import annotations

import json
import re
from typing import Any

# C0 and C1 controls, directional controls, line separators, and lone surrogates
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    r"""The text with control characters, directional controls and lone surrogates as `\x1b`.

    Neither an escape sequence nor a change of direction reaches the terminal.

    Example:
        >>> printable("a\x1b[31mb\u202e")
        'a\\x1b[31mb\\u202e'
    """
    return _UNSAFE.sub(lambda match: repr(match.group())[1:-1], text)


def json_line(value: Any) -> str:
    r"""One line of JSON, readable but for the characters of `printable`, as `\u001b`.

    Example:
        >>> json_line({"text": "حب\x1b"})
        '{"text": "حب\\u001b"}'
    """
    text = json.dumps(value, ensure_ascii=False)
    return _UNSAFE.sub(lambda match: f"\\u{ord(match.group()):04x}", text)
