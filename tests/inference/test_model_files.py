"""Model folders from anyone: read only inside, never unpickled, one error for what is malformed."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import ACTIONS, KEYS, ODD, mutated, places
from safetensors.torch import load_file, save_file

from stacked_emotion import StackedEmotionForSequenceClassification
from stacked_emotion.common.errors import UserError
from stacked_emotion.inference import ModelError, StackedEmotionPredictor
from stacked_emotion.inference.model_files import MAX_SIZE, ModelFiles, local_folder

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "200"))
"""Mutated folders to try; more than the default are drawn anew each time."""
FILES = ("config.json", "tokenizer_config.json", "tokenizers/zeta/tokenizer.json")


@pytest.fixture
def folder(tiny_stack_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_stack_folder, tmp_path / "stack"))


def load(folder: Path | str, **options: Any) -> StackedEmotionPredictor:
    return StackedEmotionPredictor.from_pretrained(
        folder, **{"dtype": "float32", "device": "cpu", "backend": "torch"} | options
    )


def change(file: Path, **fields: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def test_a_run_folder_works_as_its_model_does(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(folder, run / "model")
    assert ModelFiles(run).folder == run / "model"
    assert load(run).predict("نص") == load(str(folder)).predict("نص")


@pytest.mark.parametrize(
    "wrong", ["./runs/mine", "/nowhere/at/all", "runs/a/b", "~/nothing", "../x", "not a name", ""]
)
def test_a_wrong_path_is_told_at_once(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*arguments: Any, **options: Any) -> None:
        raise AssertionError("the Hub was asked")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", asked)
    begin = time.monotonic()
    with pytest.raises(UserError, match=r"[Nn]o such folder|has no config"):
        load(wrong)
    assert time.monotonic() - begin < 1


def test_hub_ids_and_paths_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    assert local_folder("user/name") is None
    assert local_folder("bert-base-uncased") is None
    with pytest.raises(ModelError, match="no such folder: runs/mnie"):
        local_folder("runs/mnie")
    assert local_folder("runs/mnie", revision="main") is None
    (tmp_path / "file").write_text("x")
    with pytest.raises(ModelError, match="is a file"):
        local_folder("file")


@pytest.mark.parametrize(
    ("file", "fields", "named"),
    [
        ("config.json", {"thresholds": [0.5, float("nan"), 0.5]}, "thresholds"),
        ("config.json", {"thresholds": [0.5]}, "thresholds"),
        ("config.json", {"decision": "vote"}, "decision"),
        ("config.json", {"id2label": {"0": "joy"}}, "config.json"),
        ("config.json", {"id2label": ["joy"]}, "id2label"),
        ("config.json", {"encoders": ["zeta"]}, "encoders"),
        ("config.json", {"model_type": "bert"}, "model_type"),
        ("config.json", {"lstm_hidden_size": MAX_SIZE + 1}, "lstm_hidden_size"),
        ("config.json", {"lstm_hidden_size": -4}, "lstm_hidden_size"),
        ("config.json", {"encoder_names": ["../zeta"]}, "encoder_names"),
        ("config.json", {"_attn_implementation": "user/kernel"}, "attn_implementation"),
        ("tokenizer_config.json", {"encoder_names": ["../../zeta"]}, "zeta"),
        ("tokenizer_config.json", {"encoder_names": 7}, "tokenizer"),
        ("tokenizer_config.json", {"model_max_length": "many"}, "tokenizer"),
        ("tokenizer_config.json", {"encoder_pad_ids": {}}, "encoder_pad_ids"),
    ],
)
def test_a_malformed_field_is_named(
    folder: Path, file: str, fields: dict[str, Any], named: str
) -> None:
    change(folder / file, **fields)
    with pytest.raises(UserError, match=named) as caught:
        load(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("file", [*FILES, "model.safetensors"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe\x00", b"7"])
def test_a_damaged_file_is_named(folder: Path, file: str, content: bytes) -> None:
    (folder / file).write_bytes(content)
    with pytest.raises(UserError, match=file.split("/")[-1].replace(".", r"\.")):
        load(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_that_are_not_finite_are_refused(folder: Path, value: float, dtype: str) -> None:
    state = load_file(folder / "model.safetensors")
    name = sorted(key for key in state if "encoder_zeta" in key)[3]
    state[name].view(-1)[-1] = value
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=rf"{name} holds NaN or infinity"):
        load(folder, dtype=dtype)


class Exploding:
    """What a hostile pickle holds: reading it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_pickles_are_never_loaded(folder: Path, tmp_path: Path, dtype: str) -> None:
    (folder / "model.safetensors").unlink()
    for name in ("pytorch_model.bin", "model.safetensors.bin", "adapter_model.bin"):
        (folder / name).write_bytes(pickle.dumps(Exploding(tmp_path / "exploded")))
    with pytest.raises(ModelError, match="Pickled weights"):
        load(folder, dtype=dtype)
    index = {"weight_map": {"stacked.x": "pytorch_model.bin"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match=r"weight_map names 'pytorch_model\.bin'"):
        load(folder, dtype=dtype)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "name", ["../other.safetensors", "/etc/passwd", "a/../../other.safetensors", "x\\y.safetensors"]
)
def test_shards_outside_the_folder_are_refused(folder: Path, name: str, dtype: str) -> None:
    shutil.move(folder / "model.safetensors", folder.parent / "other.safetensors")
    keys = load_file(folder.parent / "other.safetensors")
    index = {"metadata": {}, "weight_map": dict.fromkeys(keys, name)}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ModelError, match="weight_map names"):
        load(folder, dtype=dtype)


def test_links_out_of_the_folder_are_refused_but_not_those_of_the_hubs_cache(
    folder: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "hub/models--user--name"
    snapshot = cache / "snapshots" / ("0" * 40)
    shutil.copytree(folder, snapshot)
    (cache / "blobs").mkdir()
    for file in ("model.safetensors", "config.json"):
        shutil.move(snapshot / file, cache / "blobs" / file)
        (snapshot / file).symlink_to(f"../../blobs/{file}")
    assert load(snapshot).labels == load(folder).labels
    for name in ("tokenizers/zeta/tokenizer.json", "config.json", "model.safetensors"):
        outside = shutil.move(folder / name, tmp_path / "elsewhere")
        (folder / name).symlink_to(outside)
        with pytest.raises(ModelError, match="outside the model's folder"):
            load(folder)
        (folder / name).unlink()
        shutil.move(outside, folder / name)


# Mutations of every JSON file: whatever they are, the model loads or one error says why it does not


def test_mutated_folders_load_or_say_why(tiny_stack_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_stack_folder, tmp_path / "inside/stack"))
    originals = {name: json.loads((folder / name).read_text()) for name in FILES}
    before, told = sorted(tmp_path.rglob("*")), []
    at = [(name, path) for name in FILES for path in places(originals[name]) if path]

    @settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=EXAMPLES == 200)
    @given(st.sampled_from(at), ACTIONS, ODD, KEYS)
    def check(place: tuple[str, tuple[Any, ...]], action: str, odd: Any, key: str) -> None:
        file, path = place
        (folder / file).write_text(json.dumps(mutated(originals[file], path, action, odd, key)))
        try:
            load(folder).predict(["نص قصير 😍", ""])
        except UserError as error:
            told.append(str(error))
        assert sorted(tmp_path.rglob("*")) == before
        (folder / file).write_text(json.dumps(originals[file]))

    check()
    assert len(told) > 20
    assert all(str(folder) in message for message in told)
    assert isinstance(load(folder).model, StackedEmotionForSequenceClassification)
    assert torch.isfinite(load(folder).model.classifier.output.bias).all()
