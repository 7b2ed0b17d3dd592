"""Damage to files, as disks and copies do it."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

from stacked_emotion.common.files import fingerprint


def flip_bit(path: Path, seed: int = 0, keep_time: bool = True) -> None:
    """Flip one bit of a file; its size, and by default its time of change, stay the same."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    chance = random.Random(f"{seed} {path.name}")
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(bytes(data))
    if keep_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def forge(path: Path, fields: dict[str, Any] | None = None, /, **changes: Any) -> None:
    """Change the record of finished work as somebody would who makes its digest fit.

    Args:
        path: the file.
        fields: what the work says of itself, in place of its own fields of these names.
        **changes: parts of the file, such as `files`.
    """
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["digest"]
    content["record"] |= fields or {}
    content |= changes
    path.write_text(json.dumps(content | {"digest": fingerprint(content)}), encoding="utf-8")
