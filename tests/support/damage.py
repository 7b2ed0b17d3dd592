"""Damage to files, as disks and copies do it."""

from __future__ import annotations

import os
import random
from pathlib import Path


def flip_bit(path: Path, seed: int = 0, keep_time: bool = True) -> None:
    """Flip one bit of a file; its size, and by default its time of change, stay the same."""
    before = path.stat()
    data = bytearray(path.read_bytes())
    chance = random.Random(f"{seed} {path.name}")
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(bytes(data))
    if keep_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
