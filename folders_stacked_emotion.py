"""A model's folder may come from anyone: what is read and written there stays inside it."""

from __future__ import annotations

import json
import re
from pathlib import Path

WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"
_ADAPTER = "adapter_config.json"
_FILES = ("*.json", "*.safetensors", "*.py")
_MOST_INDEX_BYTES = 1 << 26
_SHARD = re.compile(r"[\w-][\w.-]*\.safetensors")


def leads_out(path: Path, folder: Path) -> bool:
    """Whether a file or link in a folder is somewhere else."""
    root = folder.resolve()
    if root.parent.name == "snapshots":  # the Hub's cache links a snapshot's files to its blobs
        root = root.parents[1]
    return not path.resolve().is_relative_to(root)


def refuse_links(folder: Path) -> None:
    """Refuse a folder in which a file that a model is read from or written to is elsewhere.

    Raises:
        ValueError: with the link.
    """
    for pattern in _FILES:
        for path in folder.glob(pattern):
            if leads_out(path, folder):
                raise ValueError(
                    f"{path} leads out of the folder; put the file itself there, or remove it."
                )


def check_weights(folder: Path) -> int:
    """Check which weights would be read from a model's folder, before they are.

    Returns:
        Their size in bytes.

    Raises:
        ValueError: a link that leads out of the folder, an adapter, no safetensors, or a malformed
            index.
    """
    refuse_links(folder)
    if (folder / _ADAPTER).exists():
        raise ValueError(
            f"{folder} has an {_ADAPTER}, which would put other weights into the model: remove it."
        )
    if (folder / WEIGHTS).is_file():
        return (folder / WEIGHTS).stat().st_size
    if not (folder / WEIGHTS_INDEX).is_file():
        raise ValueError(
            f"{folder} has no {WEIGHTS}. Pickled weights, such as pytorch_model.bin, are never "
            "loaded: save the model as safetensors."
        )
    return sum(path.stat().st_size for path in _shards(folder))


def _shards(folder: Path) -> list[Path]:
    """The files that the index names."""
    path, where = folder / WEIGHTS_INDEX, f"{WEIGHTS_INDEX} of {folder}"
    if path.stat().st_size > _MOST_INDEX_BYTES:
        raise ValueError(f"{where} is larger than {_MOST_INDEX_BYTES >> 20} MB.")
    text = path.read_text(encoding="utf-8")
    try:
        index = json.loads(text)
    except RecursionError:
        index = None
    except ValueError as error:
        raise ValueError(f"{where} is not JSON: {error}") from error
    metadata, names = (
        index.get(key) if isinstance(index, dict) else None for key in ("metadata", "weight_map")
    )
    if not isinstance(metadata, dict) or not isinstance(names, dict) or not names:
        raise ValueError(f"{where} must have the objects metadata and weight_map.")
    shards = []
    for name in sorted(set(map(str, names.values()))):
        if not _SHARD.fullmatch(name) or not (folder / name).is_file():
            raise ValueError(f"{where}: weight_map names {name!r:.80}, which is no file of it.")
        shards.append(folder / name)
    return shards
