"""The tokenizer: several tokenizers that agree on the words of a text."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import NASTY_TEXTS
from transformers import AutoTokenizer, DataCollatorWithPadding

from stacked_emotion import StackedEmotionTokenizer


@pytest.fixture(scope="module")
def tokenizer(tiny_stack: Any) -> StackedEmotionTokenizer:
    return tiny_stack[1]


def test_ids_are_those_of_each_tokenizer(
    tokenizer: StackedEmotionTokenizer,
    tiny_encoder_folders: dict[str, Path],
    sample_texts: list[str],
) -> None:
    texts = [text for text in sample_texts if len(text) < 60][:50]
    batch = tokenizer(texts, padding=True, return_tensors="np", truncation=False)
    for index, (name, folder) in enumerate(tiny_encoder_folders.items()):
        own = AutoTokenizer.from_pretrained(folder)(texts)["input_ids"]
        for row, ids in enumerate(own):
            mask = batch["attention_mask"][row, :, index] == 1
            assert batch["input_ids"][row, mask, index].tolist() == ids, name


def test_every_encoder_sees_the_same_words(tokenizer: StackedEmotionTokenizer) -> None:
    for text in NASTY_TEXTS:
        encoding = tokenizer(text, return_word_offsets=True, return_tensors="np")
        words = len(encoding["word_offsets"])
        sequence = encoding["input_ids"].shape[1]
        assert sequence >= words + 1
        assert sequence <= 48
        assert encoding["word_index"].max(initial=0) <= words
        assert (encoding["attention_mask"][0, 0] == 1).all()
        clean = text.encode("utf-8", "replace")
        for start, end in encoding["word_offsets"]:
            assert 0 <= start < end <= len(text)
        assert clean is not None


def test_truncation_drops_whole_words(tokenizer: StackedEmotionTokenizer) -> None:
    text = "سعيدة جدا بالنجاح الكبير في الامتحان اليوم مع كل الأصدقاء"
    whole = tokenizer(text, truncation=False, return_tensors="np")
    cut = tokenizer(text, max_length=12, return_tensors="np")
    kept = int(cut["word_index"].max())
    assert 0 < kept < int(whole["word_index"].max())
    assert cut["input_ids"].shape[1] <= 12
    for index in range(3):
        all_words = whole["word_index"][0, :, index]
        cut_words = cut["word_index"][0, :, index]
        for word in range(1, kept + 1):  # a kept word has all of its sub-words
            assert (all_words == word).sum() == (cut_words == word).sum()
        last = int(cut["attention_mask"][0, :, index].sum()) - 1
        end = int(whole["attention_mask"][0, :, index].sum()) - 1
        assert cut["input_ids"][0, last, index] == whole["input_ids"][0, end, index]


def test_padding_is_honoured(tokenizer: StackedEmotionTokenizer) -> None:
    texts = ["a", "كل سنه وانتي بخير"]
    assert tokenizer(texts, padding="max_length", return_tensors="pt")["input_ids"].shape[1] == 48
    padded = tokenizer(texts, padding=True, pad_to_multiple_of=8, return_tensors="pt")
    assert padded["input_ids"].shape[1] % 8 == 0
    lists = tokenizer(texts)
    assert isinstance(lists["input_ids"][0], list)
    assert len(lists["input_ids"][0]) < len(lists["input_ids"][1])
    with pytest.raises(ValueError, match="padding=True"):
        tokenizer(texts, return_tensors="pt")
    single = tokenizer("a")
    assert np.asarray(single["input_ids"]).ndim == 2
    collated = DataCollatorWithPadding(tokenizer)(
        [{**tokenizer(text), "labels": [0.0, 1.0]} for text in texts]
    )
    direct = tokenizer(texts, padding=True, return_tensors="pt")
    for key in tokenizer.model_input_names:
        assert torch.equal(collated[key], direct[key])
    assert collated["labels"].shape == (2, 2)
    assert direct["input_ids"][0, -1].tolist() == list(tokenizer.encoder_pad_ids.values())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ([1, 2], r"text\[0\]"),
        (["a", None], r"text\[1\]"),
        ([], "empty"),
        (3.0, "float"),
    ],
)
def test_what_is_not_a_text_is_refused(
    tokenizer: StackedEmotionTokenizer, text: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        tokenizer(text)


def test_pairs_are_refused(tokenizer: StackedEmotionTokenizer) -> None:
    with pytest.raises(ValueError, match="pairs"):
        tokenizer("a", "b")


def test_prefixes_placeholders_and_normalization(tiny_encoder_folders: dict[str, Path]) -> None:
    tokenizer = StackedEmotionTokenizer.from_tokenizers(
        tiny_encoder_folders,
        encoder_prefixes={"zeta": "query: "},
        placeholders={"alpha": {"user": "مستخدم"}},
        normalization=["diacritics", "tatweel", "elongation"],
    )
    plain = StackedEmotionTokenizer.from_tokenizers(tiny_encoder_folders)
    text = "@abc جِـدًّااااا"
    encoding = tokenizer(text, return_word_offsets=True, return_tensors="np")
    assert encoding["word_offsets"] == [(0, 4), (5, len(text))]
    assert tokenizer.encoder_tokens(text)["alpha"] == plain.encoder_tokens("مستخدم جداا")["alpha"]
    assert (
        tokenizer.encoder_tokens(text)["zeta"] == plain.encoder_tokens("query: @abc جداا")["zeta"]
    )
    prefix = len(plain.encoder_tokens("query:")["zeta"]) - 1
    assert (encoding["word_index"][0, :prefix, 0] == 0).all()
    assert encoding["word_index"][0, :, 1].max() == 2
    with pytest.raises(ValueError, match="encoder_prefixes"):
        StackedEmotionTokenizer.from_tokenizers(tiny_encoder_folders, encoder_prefixes={"x": "y"})
    with pytest.raises(ValueError, match="normalization"):
        StackedEmotionTokenizer.from_tokenizers(tiny_encoder_folders, normalization=["stem"])
    with pytest.raises(ValueError, match="placeholders"):
        StackedEmotionTokenizer.from_tokenizers(
            tiny_encoder_folders, placeholders={"alpha": {"emoji": "x"}}
        )


def test_save_and_load(
    tokenizer: StackedEmotionTokenizer, tmp_path: Path, sample_texts: list[str]
) -> None:
    tokenizer.save_pretrained(tmp_path / "a" / "inner")
    again = AutoTokenizer.from_pretrained(tmp_path / "a" / "inner", trust_remote_code=True)
    inner = StackedEmotionTokenizer.from_pretrained(tmp_path / "a", subfolder="inner")
    copies = [again, inner, pickle.loads(pickle.dumps(tokenizer)), copy.deepcopy(tokenizer)]
    texts = sample_texts[:20] + [text for text in NASTY_TEXTS if text]
    before = tokenizer(texts)
    for other in copies:
        assert other.encoder_names == ["zeta", "alpha", "mid"]
        assert other.model_max_length == 48
        after = other(texts)
        for key in tokenizer.model_input_names:
            assert before[key] == after[key]


def test_damaged_files_are_told(tiny_stack_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(tiny_stack_folder, folder)
    (folder / "tokenizers/mid/tokenizer.json").write_text("{")
    with pytest.raises(OSError, match=r"tokenizers/mid/tokenizer\.json"):
        StackedEmotionTokenizer.from_pretrained(folder)
    (folder / "tokenizers/mid/tokenizer.json").unlink()
    with pytest.raises(OSError, match=r"tokenizer\.json"):
        StackedEmotionTokenizer.from_pretrained(folder)
    (folder / "tokenizer_config.json").write_text(json.dumps({"vocab": 3}))
    with pytest.raises(OSError, match="encoder_names"):
        StackedEmotionTokenizer.from_pretrained(folder)


def test_a_model_of_other_tokenizers_is_refused(
    tiny_stack: Any, tiny_encoder_folders: dict[str, Path]
) -> None:
    model, tokenizer = tiny_stack
    tokenizer.check_model(model.config)
    swapped = dict(reversed(tiny_encoder_folders.items()))
    with pytest.raises(ValueError, match="order"):
        StackedEmotionTokenizer.from_tokenizers(swapped).check_model(model.config)
    config = copy.deepcopy(model.config)
    config.encoders["mid"].vocab_size = 3
    with pytest.raises(ValueError, match="'mid'"):
        tokenizer.check_model(config)
