"""The door of `from_pretrained` and `save_pretrained`, as remote code has it: inside the folder."""

from __future__ import annotations

import json
import os
import pickle
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from stacked_emotion import StackedEmotionForSequenceClassification, StackedEmotionTokenizer
from stacked_emotion.checks_stacked_emotion import most_weights
from stacked_emotion.inference import ModelError, StackedEmotionPredictor

INDEX = "model.safetensors.index.json"
SHARD = "model-00001-of-00001.safetensors"


@pytest.fixture
def folder(tiny_stack_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_stack_folder, tmp_path / "stack"))


@pytest.fixture
def outside(tiny_stack_folder: Path, tmp_path: Path) -> Path:
    """A whole model elsewhere, that a link or an index may name."""
    return Path(shutil.copytree(tiny_stack_folder, tmp_path / "outside"))


def load(folder: Path) -> StackedEmotionForSequenceClassification:
    return StackedEmotionForSequenceClassification.from_pretrained(folder)


def predict(folder: Path) -> StackedEmotionPredictor:
    return StackedEmotionPredictor.from_pretrained(folder, dtype="float32", backend="torch")


def change(file: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    content = json.loads(file.read_text(encoding="utf-8"))
    edit(content)
    file.write_text(json.dumps(content), encoding="utf-8")


def shard(folder: Path, index: Any) -> None:
    """Put the weights into one shard, with this index."""
    os.replace(folder / "model.safetensors", folder / SHARD)
    (folder / INDEX).write_text(index if isinstance(index, str) else json.dumps(index))


def weight_map(folder: Path, name: Any) -> dict[str, Any]:
    names = load_file(folder / "model.safetensors")
    return {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(names, name)}


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", INDEX, "generation_config.json"]
)
def test_links_that_leave_the_folder_are_not_read(folder: Path, outside: Path, name: str) -> None:
    shutil.copyfile(outside / "config.json", outside / "generation_config.json")
    (outside / INDEX).write_text("{}")
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(outside / name)
    with pytest.raises(ValueError, match=rf"{name} leads out of the folder"):
        load(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", INDEX, "modeling_x.py"])
def test_links_that_leave_the_folder_are_not_written(
    folder: Path, outside: Path, tmp_path: Path, name: str
) -> None:
    model, target = load(folder), tmp_path / "target"
    (outside / name).write_bytes(b"of others")
    target.mkdir()
    (target / name).symlink_to(outside / name)
    with pytest.raises(ValueError, match=rf"{name} leads out of the folder"):
        model.save_pretrained(target)
    assert (outside / name).read_bytes() == b"of others"
    assert [path.name for path in target.iterdir()] == [name]


def test_links_inside_the_folder_stay(folder: Path) -> None:
    os.replace(folder / "model.safetensors", folder / "weights.safetensors")
    (folder / "model.safetensors").symlink_to("weights.safetensors")
    load(folder).save_pretrained(folder)
    assert load(folder)


def test_a_shard_of_the_folder_is_read(folder: Path) -> None:
    whole = load(folder).state_dict()
    shard(folder, weight_map(folder, SHARD))
    assert all((value == whole[name]).all() for name, value in load(folder).state_dict().items())


@pytest.mark.parametrize(
    "name", ["../outside/model.safetensors", "/etc/passwd", 7, None, "x.bin", ""]
)
def test_shards_elsewhere_are_refused(folder: Path, outside: Path, name: Any) -> None:
    shard(folder, weight_map(folder, name))
    with pytest.raises(ValueError, match=f"{INDEX} of .*: weight_map names"):
        load(folder)
    with pytest.raises(ModelError, match=f"{INDEX} of .*weight_map names"):
        predict(folder)


@pytest.mark.parametrize(
    "index",
    ["", "{", "[]", "null", "7", "[" * 100_000, "{}", '{"weight_map": []}', '{"weight_map": {}}',
     '{"metadata": {}, "weight_map": {}}',
     '{"metadata": 7, "weight_map": {"a": "model-00001-of-00001.safetensors"}}'],
)  # fmt: skip
def test_a_malformed_index_is_one_error(folder: Path, index: str) -> None:
    shard(folder, index)
    for door in (load, predict):
        with pytest.raises(ValueError, match=INDEX) as caught:
            door(folder)
        assert len(str(caught.value)) < 700


class Exploding:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize(
    "names", [["pytorch_model.bin"], ["pytorch_model.bin.index.json", "pytorch_model-1.bin"]]
)
def test_pickles_are_not_even_tried(
    folder: Path, tmp_path: Path, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(*arguments: Any, **options: Any) -> None:
        raise AssertionError("a pickle was read")

    monkeypatch.setattr("torch.load", opened)
    (folder / "model.safetensors").unlink()
    for name in names:
        (folder / name).write_bytes(pickle.dumps(Exploding(tmp_path / "exploded")))
    if len(names) > 1:
        (folder / names[0]).write_text(json.dumps({"metadata": {}, "weight_map": {"a": names[1]}}))
    with pytest.raises(ValueError, match="Pickled weights"):
        load(folder)
    assert not (tmp_path / "exploded").exists()


def test_an_adapter_is_not_put_on_top(folder: Path, outside: Path) -> None:
    """transformers would load its weights, or the model it names, instead."""
    (folder / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": str(outside)})
    )
    for door in (load, predict):
        with pytest.raises(ValueError, match=r"adapter_config\.json"):
            door(folder)


@pytest.mark.parametrize(
    "edit",
    [
        lambda config: config["encoders"]["zeta"].update(vocab_size=9_000_000),
        lambda config: config["encoders"]["zeta"].update(max_position_embeddings=9_000_000),
        lambda config: config["encoders"]["zeta"].update(intermediate_size=1_000_000),
        lambda config: config.update(meta_hidden_size=60_000, lstm_hidden_size=60_000),
    ],
)
def test_sizes_beyond_the_weights_take_no_memory(folder: Path, edit: Any) -> None:
    change(folder / "config.json", edit)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for door in (load, predict):
        with pytest.raises(ValueError, match=r"config\.json: it asks for [\d,]+ weights"):
            door(folder)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000, "kB"


@pytest.mark.parametrize("layers", [3, 900])
def test_layers_that_the_weights_do_not_have_are_refused(folder: Path, layers: int) -> None:
    def deeper(config: dict[str, Any]) -> None:
        config["encoders"]["zeta"]["num_hidden_layers"] = layers

    change(folder / "config.json", deeper)
    for door in (load, predict):
        with pytest.raises(ValueError, match=r"lack [\d,]+ of the [\d,]+ weights .* 'zeta'"):
            door(folder)


def test_the_bound_of_the_weights_is_one(folder: Path) -> None:
    model = load(folder)
    assert most_weights(model.config) >= sum(weight.numel() for weight in model.parameters())


def test_damaged_weights_are_one_error(folder: Path) -> None:
    weights = folder / "model.safetensors"
    for content in (b"", b"\0" * 8, weights.read_bytes()[:-4], b"\xff" * 64):
        weights.write_bytes(content)
        with pytest.raises(ValueError, match="are not whole"):
            load(folder)


def test_the_tokenizer_writes_into_its_folder_alone(
    folder: Path, outside: Path, tmp_path: Path
) -> None:
    tokenizer, target = StackedEmotionTokenizer.from_pretrained(folder), tmp_path / "target"
    (target / "tokenizers").mkdir(parents=True)
    (target / "tokenizers" / "zeta").symlink_to(outside / "tokenizers" / "zeta")
    place = outside / "tokenizers/zeta/tokenizer.json"
    place.write_text("of others")
    with pytest.raises(ValueError, match="leads out of the folder"):
        tokenizer.save_pretrained(target)
    assert place.read_text() == "of others"
