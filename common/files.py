"""Files: digests, JSON, and replacing a file or folder in one step."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from .errors import UserError

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


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that the file is either the old one or the whole new one."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(partial, path)


def replace_folder(partial: Path, folder: Path) -> None:
    """Put a finished folder in the place of another one."""
    old = folder.with_name(f"{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)
    os.replace(partial, folder)
    shutil.rmtree(old, ignore_errors=True)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read ({error}); what wrote it has to run again."
        ) from error
