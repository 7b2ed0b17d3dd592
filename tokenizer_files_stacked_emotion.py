"""The files of a stacked tokenizer: its settings, and one `tokenizer.json` an encoder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tokenizers

SETTINGS = "tokenizer_config.json"
_NOT_ARGUMENTS = {"tokenizer_class", "auto_map", "vocab_sizes", "pad_token"}


def take_backend(name: str, tokenizer: Any) -> tuple[tokenizers.Tokenizer, int]:
    """A copy of what a fast tokenizer runs on, and its padding id.

    Args:
        name: the encoder's name, for messages.
        tokenizer: a fast tokenizer of transformers.

    Raises:
        ValueError: the tokenizer is not a fast one, or has no padding token.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ValueError(
            f"The tokenizer of {name!r} ({type(tokenizer).__name__}) is not a fast one; "
            "convert it so that it has a tokenizer.json."
        )
    if tokenizer.pad_token_id is None:
        raise ValueError(
            f"The tokenizer of {name!r} has no padding token; set pad_token before stacking it."
        )
    return tokenizers.Tokenizer.from_str(backend.to_str()), tokenizer.pad_token_id


def write_tokenizers(
    folder: Path, settings: Mapping[str, Any], backends: Mapping[str, tokenizers.Tokenizer]
) -> list[Path]:
    """Write `tokenizers/<name>/tokenizer.json` of each encoder and the settings.

    Returns:
        The paths of the files written.
    """
    written = []
    for name, backend in backends.items():
        target = folder / "tokenizers" / name / "tokenizer.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(backend.to_str(pretty=False), encoding="utf-8")
        written.append(target)
    target = folder / SETTINGS
    target.write_text(
        json.dumps(settings, indent=2, ensure_ascii=False, sort_keys=True) + "\n",
        encoding="utf-8",
    )
    return [*written, target]


def read_tokenizers(
    fetch: Callable[[str], str], location: str
) -> tuple[dict[str, Any], dict[str, tokenizers.Tokenizer]]:
    """Read what `write_tokenizers` wrote.

    Args:
        fetch: the path of a file on this machine, given its name in the repository.
        location: the folder or Hub id, for messages.

    Returns:
        The arguments of the tokenizer class, and the backend of each encoder.

    Raises:
        OSError: a file is not what `write_tokenizers` wrote.
    """
    try:
        settings = json.loads(Path(fetch(SETTINGS)).read_text(encoding="utf-8"))
        names = settings["encoder_names"]
    except (ValueError, KeyError) as error:
        raise OSError(
            f"{SETTINGS} of {location} is not that of a StackedEmotionTokenizer "
            f"({type(error).__name__}: {error})."
        ) from error
    backends = {}
    for name in names:
        file = fetch(f"tokenizers/{name}/tokenizer.json")
        try:
            backends[name] = tokenizers.Tokenizer.from_file(file)
        except Exception as error:  # the Rust library raises bare Exception
            raise OSError(
                f"tokenizers/{name}/tokenizer.json of {location} cannot be read ({error}); "
                "download or save it again."
            ) from error
    return {key: settings[key] for key in set(settings) - _NOT_ARGUMENTS}, backends
