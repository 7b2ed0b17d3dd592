"""Tokenizer folders that are malformed, old, or lead out of themselves."""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stacked_emotion import StackedEmotionTokenizer
from stacked_emotion.alignment_stacked_emotion import AlignedBatchEncoder
from stacked_emotion.tokenizer_files_stacked_emotion import SETTINGS, read_tokenizers

TEXT = "كل سنه وانتي بخير 😍 abc @user https://t.co/x"


@pytest.fixture
def folder(tiny_stack_folder: Path, tmp_path: Path) -> Path:
    for name in [SETTINGS, *(f"tokenizers/{name}" for name in ("zeta", "alpha", "mid"))]:
        source, target = tiny_stack_folder / name, tmp_path / "stack" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)
    return tmp_path / "stack"


def change(folder: Path, **fields: Any) -> None:
    file = folder / SETTINGS
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"encoder_names": "zeta"}, "encoder_names must be a list"),
        ({"encoder_names": []}, "encoder_names must be a list"),
        ({"encoder_names": ["../../etc"]}, r"encoder_names has '\.\./\.\./etc'"),
        ({"encoder_names": ["/etc/passwd"]}, "encoder_names has '/etc/passwd'"),
        ({"encoder_names": ["zeta", "zeta"]}, "encoder_names has 'zeta'"),
        ({"encoder_names": [3]}, "encoder_names has 3"),
        ({"encoder_names": ["n" + str(i) for i in range(100)]}, "1 to 64 names"),
        ({"encoder_pad_ids": {"zeta": 0}}, "encoder_pad_ids"),
        ({"encoder_pad_ids": 5}, "encoder_pad_ids must be an object"),
        ({"encoder_pad_ids": {"zeta": -1, "alpha": 0, "mid": 0}}, r"encoder_pad_ids\['zeta'\]"),
        ({"encoder_pad_ids": {"zeta": "0", "alpha": 0, "mid": 0}}, r"encoder_pad_ids\['zeta'\]"),
        ({"encoder_pad_ids": {"zeta": 99_999, "alpha": 0, "mid": 0}}, "99999"),
        ({"encoder_prefixes": {"zeta": 3}}, r"encoder_prefixes\['zeta'\]"),
        ({"encoder_prefixes": {"zeta": "a" * 2_000}}, r"encoder_prefixes\['zeta'\]"),
        ({"encoder_prefixes": {"other": "a"}}, "encoder_prefixes has"),
        ({"encoder_prefixes": ["a"]}, "encoder_prefixes must be an object"),
        ({"placeholders": {"zeta": {"emoji": "x"}}}, r"placeholders\['zeta'\]"),
        ({"placeholders": {"zeta": {"user": 1}}}, r"placeholders\['zeta'\]"),
        ({"placeholders": {"zeta": "user"}}, r"placeholders\['zeta'\]"),
        ({"normalization": ["stem"]}, "normalization must be"),
        ({"normalization": [["diacritics"]]}, "normalization must be"),
        ({"normalization": "diacritics"}, "normalization must be"),
        ({"model_max_length": 0}, "model_max_length"),
        ({"model_max_length": -5}, "model_max_length"),
        ({"model_max_length": 10**30}, "model_max_length"),
        ({"model_max_length": "48"}, "model_max_length"),
        ({"model_max_length": True}, "model_max_length"),
        ({"model_max_length": None}, "model_max_length"),
        ({"vocab_sizes": {"zeta": 3}}, "vocab_sizes"),
        ({"vocab_sizes": [3]}, "vocab_sizes"),
    ],
)
def test_a_field_that_cannot_be_is_named(
    folder: Path, fields: dict[str, Any], message: str
) -> None:
    change(folder, **fields)
    with pytest.raises(OSError, match=message) as caught:
        StackedEmotionTokenizer.from_pretrained(folder)
    assert SETTINGS in str(caught.value)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"3", b"\xff\xfe", b"[" * 100_000, b" " * (1 << 21)]
)
@pytest.mark.parametrize("name", [SETTINGS, "tokenizers/mid/tokenizer.json"])
def test_a_file_that_is_something_else(folder: Path, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(OSError, match=name):
        StackedEmotionTokenizer.from_pretrained(folder)


def test_names_with_path_parts_are_refused_before_anything_is_written(
    tiny_stack: Any, tmp_path: Path
) -> None:
    backend = next(iter(tiny_stack[1].backends.values()))
    for name in ("../outside", "/outside", "a/b", "..", "a\\b", "A", ""):
        with pytest.raises(ValueError, match="encoder_names"):
            StackedEmotionTokenizer([name], {name: backend}, {name: 0})


@pytest.mark.parametrize("link", [SETTINGS, "tokenizers", "tokenizers/mid/tokenizer.json"])
def test_links_out_of_the_folder_are_refused(
    folder: Path, tmp_path: Path, link: str, tiny_stack: Any
) -> None:
    outside = tmp_path / "outside"
    shutil.move(folder / link, outside)
    os.symlink(outside, folder / link)
    with pytest.raises(OSError, match="leads out of the folder"):
        StackedEmotionTokenizer.from_pretrained(folder)
    with pytest.raises(ValueError, match="leads out of the folder"):
        tiny_stack[1].save_pretrained(folder)


def test_links_of_the_cache_are_followed(folder: Path, tmp_path: Path) -> None:
    snapshot, blobs = tmp_path / "models--a--b/snapshots/abc", tmp_path / "models--a--b/blobs"
    blobs.mkdir(parents=True)
    for number, file in enumerate(sorted(folder.rglob("*.json"))):
        target = snapshot / file.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, blobs / str(number))
        target.symlink_to(os.path.relpath(blobs / str(number), target.parent))
    assert StackedEmotionTokenizer.from_pretrained(snapshot).encoder_names[0] == "zeta"


def test_the_former_spelling_of_normalization_is_read(folder: Path) -> None:
    change(folder, normalization=["diacritics", "elongation"])
    new = StackedEmotionTokenizer.from_pretrained(folder)
    fields = json.loads((folder / SETTINGS).read_text())
    fields["normalisation"] = fields.pop("normalization")
    (folder / SETTINGS).write_text(json.dumps(fields))
    old = StackedEmotionTokenizer.from_pretrained(folder)
    assert old.normalization == new.normalization == ["diacritics", "elongation"]
    assert old("جِدًّااااا")["input_ids"] == new("جِدًّااااا")["input_ids"]
    old.save_pretrained(folder)
    assert "normalisation" not in json.loads((folder / SETTINGS).read_text())


ODD_VALUES = st.sampled_from(
    [None, True, 0, -1, 1, 3.5, 10**30, "", "../x", "/abs", "\x00", "zeta", [], [0], {}, {"a": 1}]
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all values of a JSON document; of long lists and objects a few."""
    inner = list(value.items()) if isinstance(value, dict) else []
    inner = list(enumerate(value)) if isinstance(value, list) else inner
    found = [path] if path else []
    for key, part in inner[:12] + inner[12:][-3:]:
        found += places(part, (*path, key))
    return found


def mutate(document: Any, path: tuple[Any, ...], how: Callable[[Any, Any], None]) -> Any:
    document = copy.deepcopy(document)
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    how(parent, path[-1])
    return document


@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_mutated_files_load_or_give_one_error(folder: Path, data: st.DataObject) -> None:
    name = data.draw(
        st.sampled_from(
            [SETTINGS, *(f"tokenizers/{name}/tokenizer.json" for name in ("zeta", "alpha", "mid"))]
        )
    )
    whole = (folder / name).read_text(encoding="utf-8")
    document = json.loads(whole)
    path = data.draw(st.sampled_from(places(document)))
    value = data.draw(ODD_VALUES)
    how = data.draw(
        st.sampled_from(
            [
                lambda parent, key: parent.__setitem__(key, value),
                lambda parent, key: parent.pop(key),
                lambda parent, key: parent.__setitem__(key, [parent[key], value]),
            ]
        )
    )
    before = sorted(folder.parent.rglob("*"))
    message = name
    try:
        (folder / name).write_text(json.dumps(mutate(document, path, how)), encoding="utf-8")
        try:
            tokenizer = StackedEmotionTokenizer.from_pretrained(folder)
            encoding = tokenizer([TEXT, "", "\ud83d 日本"], padding=True, return_tensors="np")
            assert encoding["input_ids"].shape == encoding["word_index"].shape
            settings_of, backends = read_tokenizers(lambda file: str(folder / file), str(folder))
            AlignedBatchEncoder.from_settings(settings_of, backends).encode([TEXT], 48)
        except (OSError, ValueError) as error:
            message = str(error)
    finally:
        (folder / name).write_text(whole, encoding="utf-8")
    assert name in message or SETTINGS in message
    assert sorted(folder.parent.rglob("*")) == before
