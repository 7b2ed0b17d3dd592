"""What the figures of a run were made from: encoders as they were, and settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache
from transformers import AutoModel

from ...common.errors import UserError
from ...common.files import file_digest, fingerprint
from ...common.privacy import is_hub_id, public_values
from ...common.settings import read_yaml
from ...folders_stacked_emotion import WEIGHTS, WEIGHTS_INDEX
from ...inference.model_files import CONFIG, ModelError, hub_file

_SOURCE_FILES = (
    "*.safetensors", "*.json", "*.txt", "*.model", "*.codes", "*.vocab", "*.tiktoken",
    "tokenizers/*/*.json",
)  # fmt: skip
_KEYED = re.compile(r"config\.json|(model|pytorch_model)(-\d+-of-\d+)?\.(safetensors|bin)")


def source_state(source: str, revision: str | None = None) -> dict[str, Any]:
    """Which state of an encoder's source is there now.

    Args:
        source: a folder or a Hub ID.
        revision: branch, tag or commit of a Hub ID.

    Returns:
        `commit`, that of the Hub, which its local cache knows too; or `files`, the SHA-256 of
        weights, configuration and tokenizer files in a folder. The value is null or empty where
        nothing is known.
    """
    if Path(source).is_dir():
        return {"files": _digests(Path(source))}
    try:
        config = hub_file(source, CONFIG, revision)
    except ModelError:
        return {"commit": None}  # the loading of the encoder says what is wrong
    return {"commit": Path(config).parent.name}


def used_state(source: str, state: dict[str, Any]) -> dict[str, Any]:
    """A source's state after it was loaded: with the files that the Hub's cache holds by now.

    Args:
        source: a folder or a Hub ID.
        state: what `source_state` returned before the loading.
    """
    if not state.get("commit"):
        return state
    config = try_to_load_from_cache(source, "config.json", revision=state["commit"])
    return state | {"files": _digests(Path(config).parent)} if isinstance(config, str) else state


def keyed_state(source: str, state: dict[str, Any]) -> dict[str, Any]:
    """A source's state for keys: with digests of weights and configuration, of the Hub too.

    What else the Hub's cache holds may differ between two runs of the same.

    Args:
        source: a folder or a Hub ID.
        state: what `source_state` returned.
    """
    if not state.get("commit"):
        return state
    if len(files := _keyed_files(source, state)) < 2:
        # into the cache, where the training finds it again
        AutoModel.from_pretrained(source, revision=state["commit"])
        files = _keyed_files(source, state)
    return state | {"files": files}


def _keyed_files(source: str, state: dict[str, Any]) -> dict[str, str]:
    files = used_state(source, state).get("files") or {}
    return {name: digest for name, digest in files.items() if _KEYED.fullmatch(name)}


def _digests(folder: Path) -> dict[str, str]:
    """SHA-256 of weights, configuration and tokenizer files by relative path."""
    patterns = list(_SOURCE_FILES)
    whole = any((folder / name).is_file() for name in (WEIGHTS, WEIGHTS_INDEX))
    if not whole or (folder / "adapter_config.json").is_file():
        patterns.append("*.bin")  # else transformers does not read them
    files = sorted(path for pattern in patterns for path in folder.glob(pattern))
    return {path.relative_to(folder).as_posix(): file_digest(path) for path in files}


def public_results(results: Mapping[str, Any]) -> dict[str, Any]:
    """The content of `results.json`: without local paths, names of this machine, and secrets.

    The settings with their paths are in `recipe.yaml` alone; see `settings_of`.

    Args:
        results: all figures, with the settings as `recipe`.
    """
    recipe, encoders = results["recipe"], results["encoders"]
    sources = [(entry["source"], entry.get("source_state")) for entry in encoders.values()]
    teacher = results.get("teacher") or {}
    sources += [(teacher.get("source"), teacher.get("source_state"))]
    sources += [(recipe.get("dataset_name"), None)]
    local = [source for source, state in sources if source and not is_hub_id(source, state)]
    kept = {*results["labels"], *encoders, *results["systems"]}
    return public_values(results, local, kept) | {"recipe_digest": _recipe_digest(recipe)}


def settings_of(folder: Path, results: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run, with their paths where its `recipe.yaml` is still the same.

    Args:
        folder: of the run.
        results: the content of its `results.json`.
    """
    public, file = dict(results.get("recipe") or {}), folder / "recipe.yaml"
    with suppress(UserError):
        found = read_yaml(file) if file.is_file() else {}
        if _recipe_digest(public | found) == results.get("recipe_digest"):
            return public | found
    return public


def _recipe_digest(recipe: Mapping[str, Any]) -> str:
    return fingerprint({key: value for key, value in recipe.items() if key != "output_dir"})
