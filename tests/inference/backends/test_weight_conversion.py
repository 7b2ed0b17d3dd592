"""Weights in another number format: the same as torch's own conversion, refused where not whole."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from stacked_emotion import StackedEmotionForSequenceClassification
from stacked_emotion.inference import StackedEmotionPredictor
from stacked_emotion.inference.backends import weight_conversion as module
from stacked_emotion.inference.backends.weight_conversion import converted_weights
from stacked_emotion.inference.model_files import ModelError, ModelFiles


@pytest.fixture
def folder(tiny_stack_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_stack_folder, tmp_path / "stack"))


def test_equal_to_a_plain_conversion(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE_BYTES", 64)  # most tensors take several pieces
    plain = load_file(folder / "model.safetensors")
    for dtype in (torch.bfloat16, torch.float16):
        found = converted_weights(ModelFiles(folder), dtype)
        assert found is not None
        assert set(found) == set(plain)
        for name, tensor in plain.items():
            wanted = tensor.to(dtype) if tensor.is_floating_point() else tensor
            assert found[name].dtype == wanted.dtype
            assert torch.equal(found[name], wanted), name


def test_nothing_to_convert(folder: Path) -> None:
    assert converted_weights(ModelFiles(folder), torch.float32) is None
    with pytest.raises(ModelError, match=r"no model\.safetensors"):
        converted_weights(ModelFiles(folder.parent), torch.bfloat16)


def test_predictor_has_the_models_weights_whole_or_sharded(folder: Path) -> None:
    by_transformers = StackedEmotionForSequenceClassification.from_pretrained(
        folder, dtype=torch.bfloat16
    )
    sharded = folder.parent / "sharded"
    shutil.copytree(folder, sharded, ignore=shutil.ignore_patterns("model.safetensors"))
    StackedEmotionForSequenceClassification.from_pretrained(folder).save_pretrained(
        sharded, max_shard_size="100KB"
    )
    assert (sharded / "model.safetensors.index.json").is_file()
    for place in (folder, sharded):
        predictor = StackedEmotionPredictor.from_pretrained(
            str(place), dtype="bfloat16", backend="torch", device="cpu"
        )
        assert not predictor.model.training
        state = predictor.model.state_dict()
        for name, tensor in by_transformers.state_dict().items():
            assert torch.equal(state[name], tensor), name


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_that_are_not_whole_are_refused(folder: Path, dtype: str) -> None:
    file = folder / "model.safetensors"
    state = load_file(file)
    state.pop(sorted(name for name in state if name.startswith("stacked.encoder_"))[0])
    save_file(state, file, metadata={"format": "pt"})
    with pytest.raises(OSError, match=r"lack 1 (tensors|of the .*), such as stacked\.encoder_"):
        StackedEmotionPredictor.from_pretrained(str(folder), dtype=dtype, backend="torch")


def test_a_cut_file_is_named(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(OSError, match=r"model\.safetensors is not a whole safetensors file"):
        StackedEmotionPredictor.from_pretrained(str(folder), dtype="bfloat16", backend="torch")
