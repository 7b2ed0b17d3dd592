"""The feature cache: resumed filling, several ranks, and files that are not what they should be."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cache_filling import KEY, fill_and_open, fill_twice, layout_of, tiny_texts
from tiny_models import build_stack
from training_processes import run_ranks

from stacked_emotion.common.finished import finish
from stacked_emotion.trainer import UserError
from stacked_emotion.trainer.features import writer as feature_cache_writer
from stacked_emotion.trainer.features.cache import FILES, CacheLayout, FeatureCache, open_cache
from stacked_emotion.trainer.features.writer import FeatureCacheWriter


@pytest.fixture(scope="module")
def folders(tiny_encoder_folders: dict[str, Path]) -> dict[str, str]:
    return {name: str(tiny_encoder_folders[name]) for name in ("zeta", "alpha")}


@pytest.fixture(scope="module")
def stack(folders: dict[str, str]) -> tuple[Any, Any]:
    return build_stack({name: Path(folder) for name, folder in folders.items()})


@pytest.fixture(scope="module")
def whole(
    stack: tuple[Any, Any], sample_texts: list[str], tmp_path_factory: pytest.TempPathFactory
) -> FeatureCache:
    folder = tmp_path_factory.mktemp("cache") / "train"
    return fill_and_open(folder, *stack, sample_texts[:31])


def fresh_copy(whole: FeatureCache, folder: Path) -> Path:
    shutil.copytree(whole.folder, folder / "copy")
    return folder / "copy"


def test_rows_are_what_the_encoders_say(
    whole: FeatureCache, stack: tuple[Any, Any], sample_texts: list[str]
) -> None:
    model, tokenizer = stack
    batch = tokenizer(sample_texts[7:8], return_tensors="pt")
    words, _, logits, *_ = model.stacked.encode(*(batch[k] for k in tokenizer.model_input_names))
    np.testing.assert_allclose(whole[7]["word_embeddings"], words[0].detach(), atol=5e-3)
    np.testing.assert_allclose(whole[7]["encoder_logits"], logits[0].detach(), atol=1e-5)
    some = whole.select([7, 3])
    assert len(some) == 2
    assert some.lengths.tolist() == [
        len(whole[7]["word_embeddings"]),
        len(whole[3]["word_embeddings"]),
    ]
    np.testing.assert_array_equal(some.select([1])[0]["encoder_logits"], whole.logits[3])


def test_filling_goes_on_where_it_was_killed(
    whole: FeatureCache, stack: tuple[Any, Any], sample_texts: list[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    model, tokenizer = stack
    texts = tiny_texts(tokenizer, sample_texts[:31])
    monkeypatch.setattr(feature_cache_writer, "JOURNAL_SECONDS", 0.0)
    encode, calls = model.stacked.encode, 0

    def dying(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return encode(*arguments)

    monkeypatch.setattr(model.stacked, "encode", dying)
    folder, rows = tmp_path / "train", np.arange(31)
    with pytest.raises(KeyboardInterrupt):
        FeatureCacheWriter(folder, layout_of(model, texts), KEY).fill(
            model, texts, rows, batch_tokens=200
        )
    assert not folder.exists()
    assert open_cache(folder, layout_of(model, texts), KEY) is None
    again = fill_and_open(folder, model, tokenizer, sample_texts[:31])
    batches = calls - 1
    np.testing.assert_array_equal(np.array(again.words), np.array(whole.words))
    np.testing.assert_array_equal(np.array(again.logits), np.array(whole.logits))
    calls = 10
    fill_and_open(tmp_path / "other", model, tokenizer, sample_texts[:31])
    assert calls - 10 == batches  # none was done twice
    assert sorted(path.name for path in folder.iterdir()) == [
        "done.json", "logits.bin", "words.bin",
    ]  # fmt: skip


def test_what_belongs_to_other_settings_is_not_gone_on_with(
    whole: FeatureCache, stack: tuple[Any, Any], sample_texts: list[str], tmp_path: Path
) -> None:
    model, tokenizer = stack
    texts = tiny_texts(tokenizer, sample_texts[:31])
    writer = FeatureCacheWriter(tmp_path / "train", layout_of(model, texts), "of other weights")
    writer.fill(model, texts, np.arange(31), batch_tokens=200)
    writer.words[:] = 7.0
    again = fill_and_open(tmp_path / "train", model, tokenizer, sample_texts[:31])
    np.testing.assert_array_equal(np.array(again.words), np.array(whole.words))


def truncate(folder: Path) -> None:
    (folder / "words.bin").write_bytes((folder / "words.bin").read_bytes()[:-2])


def alter(folder: Path) -> None:
    data = bytearray((folder / "logits.bin").read_bytes())
    data[5] ^= 1
    (folder / "logits.bin").write_bytes(bytes(data))


def remove(folder: Path) -> None:
    (folder / "logits.bin").unlink()


def foreign(folder: Path) -> None:
    finish(folder, "another", {}, [folder / name for name in FILES])


def half_record(folder: Path) -> None:
    (folder / "done.json").write_text('{"key": "')


def list_record(folder: Path) -> None:
    (folder / "done.json").write_text("[1]")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, "damaged: words.bin has"),
        (alter, "damaged: the bytes of logits.bin"),
        (remove, "damaged: logits.bin is missing"),
        (foreign, "belongs to other"),
        (half_record, "damaged: done.json cannot be read"),
        (list_record, "damaged: done.json cannot be read"),
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_noticed(
    damage: Callable[[Path], None], message: str, whole: FeatureCache, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    folder = fresh_copy(whole, tmp_path)
    assert open_cache(folder, whole.layout, KEY) is not None
    damage(folder)
    assert open_cache(folder, whole.layout, KEY) is None
    assert message in capsys.readouterr().err


def test_the_size_is_told_first_and_a_full_disk_refused(
    stack: tuple[Any, Any], sample_texts: list[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    base = CacheLayout(np.full(10, 28), (768, 768, 768), 11)
    assert base.nbytes / 10 == pytest.approx(130e3, rel=0.01)  # about 28 words a tweet
    layout = layout_of(stack[0], tiny_texts(stack[1], sample_texts[:31]))
    usage = shutil.disk_usage(tmp_path)._replace(free=layout.nbytes)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(UserError, match=r"only 0\.\d MB are free"):
        FeatureCacheWriter(tmp_path / "train", layout, KEY)
    assert "31 texts" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_two_ranks_fill_one_cache(
    whole: FeatureCache, folders: dict[str, str], sample_texts: list[str], tmp_path: Path
) -> None:
    run_ranks(2, fill_twice, folders, sample_texts[:31], tmp_path / "train", folder=tmp_path)
    found = open_cache(tmp_path / "train", whole.layout, KEY)
    assert found is not None
    np.testing.assert_allclose(np.array(found.words), np.array(whole.words), atol=5e-3)
    np.testing.assert_allclose(np.array(found.logits), np.array(whole.logits), atol=1e-5)
