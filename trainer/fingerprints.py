"""Digests of files and fingerprints of settings: how a result knows what it was made from."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

_CHUNK = 1 << 20
_KNOWN_DIGESTS: dict[tuple[str, int, int, int], str] = {}


def fingerprint(*parts: Any) -> str:
    """SHA-256 of JSON-able parts, as hex."""
    digest = hashlib.sha256()
    for part in parts:
        text = part if isinstance(part, str) else json.dumps(part, sort_keys=True)
        digest.update(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """BLAKE2b of a file's bytes, as hex.

    A file that has the size and the time of change it had when this process last read it is not
    read again.
    """
    found = path.stat()
    known = (str(path.resolve()), found.st_ino, found.st_size, found.st_mtime_ns)
    if known not in _KNOWN_DIGESTS:
        digest = hashlib.blake2b(digest_size=16)
        with path.open("rb", buffering=0) as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
        _KNOWN_DIGESTS[known] = digest.hexdigest()
    return _KNOWN_DIGESTS[known]
