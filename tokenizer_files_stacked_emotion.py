"""The files of a stacked tokenizer: its settings, and one `tokenizer.json` per encoder."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tokenizers

from .folders_stacked_emotion import leads_out
from .words_stacked_emotion import NORMALIZATIONS, PLACEHOLDERS

SETTINGS = "tokenizer_config.json"
MOST_POSITIONS = 1 << 20
MOST_ENCODERS = 64
MOST_PREFIX_CHARACTERS = 1000
_MOST_BYTES = {SETTINGS: 1 << 20, "tokenizer.json": 1 << 29}
_NAME = re.compile(r"[a-z][a-z0-9_]*")
# Every sub-word model meets a letter, a number, an emoji and a character that no vocabulary has.
_PROBE = "a 1 \U0001f600 \U000ffff0"


def check_settings(settings: Any) -> dict[str, Any]:
    """The arguments of `StackedEmotionTokenizer` in plain form, checked.

    Args:
        settings: the arguments, or the content of `tokenizer_config.json`. Other keys are left
            out. `normalisation` is read as `normalization`, which it was called before.

    Raises:
        ValueError: names the field that is missing or has a value that cannot be.
    """
    if not isinstance(settings, Mapping):
        raise ValueError(f"it must be an object with encoder_names, not {_short(settings)}.")
    names = settings.get("encoder_names")
    if not isinstance(names, list) or not names or len(names) > MOST_ENCODERS:
        raise ValueError(
            f"encoder_names must be a list of 1 to {MOST_ENCODERS} names, not {_short(names)}."
        )
    for name in names:
        if not isinstance(name, str) or not _NAME.fullmatch(name) or names.count(name) > 1:
            raise ValueError(
                f"encoder_names has {_short(name)}; names must differ, start with a letter a-z "
                "and continue with a-z, 0-9 and _."
            )
    length: Any = settings.get("model_max_length")
    if not _is_int(length) or not 2 <= length <= MOST_POSITIONS:
        raise ValueError(
            f"model_max_length must be an integer from 2 to {MOST_POSITIONS}, not {_short(length)}."
        )
    pad_ids = _by_name(settings, "encoder_pad_ids", names)
    if set(pad_ids) != set(names):
        raise ValueError(f"encoder_pad_ids is given for {sorted(pad_ids)}, but needed for {names}.")
    prefixes = _by_name(settings, "encoder_prefixes", names)
    placeholders = _by_name(settings, "placeholders", names)
    for name in names:
        _check_encoder(name, pad_ids[name], prefixes.get(name), placeholders.get(name))
    normalization = settings.get("normalization", settings.get("normalisation")) or []
    if not isinstance(normalization, list | tuple) or any(
        rule not in NORMALIZATIONS for rule in normalization
    ):
        raise ValueError(
            f"normalization must be a list of {list(NORMALIZATIONS)}, not {_short(normalization)}."
        )
    return {
        "encoder_names": list(names),
        "encoder_prefixes": {name: prefixes[name] for name in names if prefixes.get(name)},
        "placeholders": {
            name: dict(placeholders[name]) for name in names if placeholders.get(name)
        },
        "normalization": list(normalization),
        "encoder_pad_ids": {name: int(pad_ids[name]) for name in names},
        "model_max_length": int(length),
    }


def _by_name(settings: Mapping[str, Any], field: str, names: list[str]) -> Mapping[str, Any]:
    values = settings.get(field) or {}
    if not isinstance(values, Mapping):
        raise ValueError(
            f"{field} must be an object with a value per encoder, not {_short(values)}."
        )
    if unknown := sorted(set(values) - set(names)):
        raise ValueError(f"{field} has {_short(unknown)}, which are not among {names}.")
    return values


def _check_encoder(name: str, pad_id: Any, prefix: Any, placeholders: Any) -> None:
    if not _is_int(pad_id) or not 0 <= pad_id < 1 << 31:
        raise ValueError(f"encoder_pad_ids[{name!r}] must be a token id, not {_short(pad_id)}.")
    if not isinstance(prefix, str | None) or len(prefix or "") > MOST_PREFIX_CHARACTERS:
        raise ValueError(
            f"encoder_prefixes[{name!r}] must be a text of at most {MOST_PREFIX_CHARACTERS} "
            f"characters, not {_short(prefix)}."
        )
    if not isinstance(placeholders, Mapping | None) or any(
        kind not in PLACEHOLDERS or not isinstance(value, str)
        for kind, value in (placeholders or {}).items()
    ):
        raise ValueError(
            f"placeholders[{name!r}] must be an object of texts for {sorted(PLACEHOLDERS)}, not "
            f"{_short(placeholders)}."
        )


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


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
    folder: Path, settings: Mapping[str, Any] | None, backends: Mapping[str, tokenizers.Tokenizer]
) -> list[Path]:
    """Write `tokenizers/<name>/tokenizer.json` of each encoder and the settings, if given.

    Returns:
        The paths of the files written.

    Raises:
        ValueError: a link in the folder leads out of it.
    """
    contents = {_file_of(name): backend.to_str() for name, backend in backends.items()}
    if settings is not None:
        text = json.dumps(settings, indent=2, ensure_ascii=False, sort_keys=True)
        contents[SETTINGS] = f"{text}\n"
    for name, content in contents.items():
        target = folder / name
        if leads_out(target, folder):
            raise ValueError(f"{target} leads out of the folder; remove the link.")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content, encoding="utf-8")
    return [folder / name for name in contents]


def read_tokenizers(
    fetch: Callable[[str], str], location: str
) -> tuple[dict[str, Any], dict[str, tokenizers.Tokenizer]]:
    """Read what `write_tokenizers` wrote.

    Args:
        fetch: the path of a file on this machine, given its name in the repository.
        location: the folder or Hub ID, for messages.

    Returns:
        The arguments of the tokenizer class, and the backend of each encoder.

    Raises:
        OSError: a file is missing, leads out of the folder, or is not what `write_tokenizers`
            wrote; the message names the file and the field.
    """
    try:
        raw = json.loads(_read_text(fetch, SETTINGS, location))
        settings = check_settings(raw)
    except (ValueError, RecursionError) as error:
        raise OSError(
            f"{SETTINGS} of {location} is not that of a StackedEmotionTokenizer: {error}"
        ) from error
    sizes = raw.get("vocab_sizes") or {}
    backends = {}
    for name, pad_id in settings["encoder_pad_ids"].items():
        file = _file_of(name)
        text = _read_text(fetch, file, location)
        try:
            backends[name] = _parse_backend(text)
        except ValueError as error:
            raise OSError(
                f"{file} of {location} cannot be read ({error}); download or save it again."
            ) from error
        size = backends[name].get_vocab_size()
        if not isinstance(sizes, Mapping) or sizes.get(name, size) != size:
            raise OSError(
                f"{file} of {location} has {size} tokens, but {SETTINGS} says vocab_sizes: "
                f"{_short(sizes)}; download or save them again."
            )
        if backends[name].id_to_token(pad_id) is None:
            raise OSError(
                f"{SETTINGS} of {location}: encoder_pad_ids[{name!r}] is {pad_id}, which {file} "
                "does not have."
            )
    return settings, backends


def _file_of(name: str) -> str:
    return f"tokenizers/{name}/tokenizer.json"


def _read_text(fetch: Callable[[str], str], name: str, location: str) -> str:
    """A file's text; a local one must lie in its folder, and none may be of absurd size."""
    path, folder = Path(fetch(name)), Path(location)
    if folder.is_dir() and leads_out(path, folder):
        raise OSError(f"{name} of {location} leads out of the folder; put the file itself there.")
    if path.stat().st_size > _MOST_BYTES[Path(name).name]:
        raise OSError(f"{name} of {location} has {path.stat().st_size} bytes, which is too many.")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise OSError(f"{name} of {location} is not UTF-8 text: {error}") from error


def _parse_backend(text: str) -> tokenizers.Tokenizer:
    """A tokenizer that can encode.

    Raises:
        ValueError: with what the Rust library says, which raises bare exceptions, or panics.
    """
    try:
        backend = tokenizers.Tokenizer.from_str(text)
        backend.no_truncation()
        backend.no_padding()
        for probe in ("", _PROBE):
            backend.encode(probe)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        raise ValueError(str(error)) from error
    return backend
