"""The tokenizer: several tokenizers that agree on the words of a text."""

from __future__ import annotations

import copy
import json
import os
import pickle
import shutil
import subprocess
import sys
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
    with pytest.raises(ValueError, match="pairs"):
        tokenizer.tokenize("a", "b")
    with pytest.raises(ValueError, match="pairs"):
        tokenizer.num_special_tokens_to_add(pair=True)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("text_target", "a", "no target"),
        ("is_split_into_words", True, r"' '\.join"),
        ("return_offsets_mapping", True, "return_word_offsets=True"),
        ("return_special_tokens_mask", True, "word_index"),
        ("return_token_type_ids", True, "type 0"),
        ("return_overflowing_tokens", True, "before the call"),
        ("stride", 4, "before the call"),
        ("padding_side", "left", "must be 'right'"),
        ("split_special_tokens", True, "before stacking"),
        ("return_everything", True, "no option 'return_everything'"),
    ],
)
def test_options_are_honored_or_refused(
    tokenizer: StackedEmotionTokenizer, option: str, value: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        tokenizer("a", **{option: value})
    with pytest.raises(ValueError, match=message):
        tokenizer.pad(tokenizer("a"), **{option: value})
    if option != "return_everything":  # asking for nothing is what every tokenizer is asked
        nothing: Any = {"stride": 0, "padding_side": "right", "text_target": None}.get(
            option, False
        )
        assert tokenizer("a", **{option: nothing}) == tokenizer("a")


def test_options_that_choose_what_comes_back(tokenizer: StackedEmotionTokenizer) -> None:
    assert set(tokenizer("a", return_attention_mask=False)) == {"input_ids", "word_index"}
    encoding = tokenizer(["a b", "a"], return_length=True)
    assert encoding["length"] == [len(row) for row in encoding["input_ids"]]
    encoding = tokenizer(["a", "كلمة " * 100, "ه" * 900], return_truncated=True)
    assert encoding["truncated"] == [False, True, True]
    assert tokenizer("a", return_truncated=True)["truncated"] is False
    free = tokenizer("كلمة " * 100, truncation="do_not_truncate")["input_ids"]
    assert len(free) > 48 >= len(tokenizer("كلمة " * 100, truncation="longest_first")["input_ids"])
    for bad in (
        {"truncation": "sometimes"},
        {"padding": "sometimes"},
        {"max_length": 1},
        {"max_length": 12, "pad_to_multiple_of": 8, "padding": True},
    ):
        with pytest.raises(ValueError, match=r"sometimes|max_length=1|not a multiple"):
            tokenizer("a", **bad)


@pytest.mark.parametrize("side", ["padding_side", "truncation_side"])
def test_only_the_right_side_is_padded_and_cut(
    tokenizer: StackedEmotionTokenizer, tiny_encoder_folders: dict[str, Path], side: str
) -> None:
    assert getattr(tokenizer, side) == "right"
    setattr(tokenizer, side, "right")
    with pytest.raises(ValueError, match=f"{side} must be 'right'"):
        setattr(tokenizer, side, "left")
    with pytest.raises(ValueError, match=f"{side} must be 'right'"):
        StackedEmotionTokenizer.from_tokenizers(tiny_encoder_folders, **{side: "left"})


def test_what_cannot_be_padded_is_refused(tokenizer: StackedEmotionTokenizer) -> None:
    for wrong in (
        [],
        {},
        [{"labels": [1]}],
        [{"input_ids": [[1, 2]]}],
        {"input_ids": [[[1]], [[2]]]},
        [{"input_ids": [1, 2]}, {"input_ids": [1]}],
    ):
        with pytest.raises(ValueError, match="pad needs"):
            tokenizer.pad(wrong)
    with pytest.raises(ValueError, match="same keys"):
        tokenizer.pad([tokenizer("a"), {"input_ids": [[1, 2, 3]]}])


def test_tokens_and_ids_are_those_of_the_first_encoder(
    tokenizer: StackedEmotionTokenizer, tiny_encoder_folders: dict[str, Path]
) -> None:
    own = AutoTokenizer.from_pretrained(tiny_encoder_folders["zeta"])
    texts = ["كل سنه وانتي بخير 😍", "abc def", "a"]
    ids = tokenizer.encode(texts[0])
    assert ids == tokenizer(texts[0])["input_ids"]
    first = own(texts[0])["input_ids"]
    padded = tokenizer(texts, padding=True, return_tensors="pt")["input_ids"]
    for skip in (False, True):
        names = own.convert_ids_to_tokens(first, skip_special_tokens=skip)
        assert tokenizer.convert_ids_to_tokens(first, skip_special_tokens=skip) == names
        assert tokenizer.decode(first, skip_special_tokens=skip) == own.decode(
            first, skip_special_tokens=skip
        )
    assert tokenizer.convert_ids_to_tokens(ids)[: len(first)] == own.convert_ids_to_tokens(first)
    assert tokenizer.convert_ids_to_tokens(first[0]) == own.convert_ids_to_tokens(first[0])
    assert tokenizer.convert_tokens_to_ids(own.convert_ids_to_tokens(first)) == first
    assert tokenizer.convert_tokens_to_ids("no such token") is None
    tokens = own.convert_ids_to_tokens(first[1:-1])
    assert tokenizer.convert_tokens_to_string(tokens) == own.convert_tokens_to_string(tokens)
    plain = [own.decode(own(text)["input_ids"], skip_special_tokens=True) for text in texts]
    for batch in (padded, padded.numpy(), tokenizer(texts)["input_ids"]):
        assert tokenizer.decode(batch, skip_special_tokens=True) == plain
        assert tokenizer.batch_decode(batch, skip_special_tokens=True) == plain
    assert tokenizer.num_special_tokens_to_add() == own.num_special_tokens_to_add() == 2
    assert tokenizer.max_len_single_sentence == 46
    assert tokenizer.all_special_ids == [tokenizer.pad_token_id]
    assert "StackedEmotionTokenizer" in repr(tokenizer)
    for wrong in ([[1, 2]], [[1.5, 2.0, 3.0]], [-1], "abc"):
        with pytest.raises(ValueError, match="ids must"):
            tokenizer.decode(wrong)


def test_what_several_vocabularies_cannot_do_says_what_to_do(
    tokenizer: StackedEmotionTokenizer,
) -> None:
    assert tokenizer.add_tokens([]) == tokenizer.add_special_tokens({}) == 0
    for call in (
        lambda: tokenizer.add_tokens(["new"]),
        lambda: tokenizer.add_special_tokens({"cls_token": "[NEW]"}),
    ):
        with pytest.raises(NotImplementedError, match="before you stack them"):
            call()
    assert tokenizer.special_tokens_map == {"pad_token": tokenizer.pad_token}
    with pytest.raises(NotImplementedError, match="word_index"):
        tokenizer.get_special_tokens_mask([1, 2])
    with pytest.raises(NotImplementedError, match="single texts"):
        tokenizer.apply_chat_template([{"role": "user", "content": "a"}])
    assert tokenizer.added_tokens_encoder == tokenizer.added_tokens_decoder == {}
    assert tokenizer.init_kwargs["encoder_names"] == tokenizer.encoder_names


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


FRESH = """
import json, sys
sys.modules["stacked_emotion"] = None
import torch
from datasets import Dataset, disable_progress_bars
from datasets.fingerprint import Hasher
from transformers import AutoModelForSequenceClassification, AutoTokenizer

torch.set_num_threads(1)
disable_progress_bars()
folder, data = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
model = AutoModelForSequenceClassification.from_pretrained(folder, trust_remote_code=True)


def encode(rows):
    return tokenizer(rows["text"], padding=True)


def score(rows):
    with torch.no_grad():
        inputs = tokenizer(rows["text"], padding=True, return_tensors="pt")
        return {"logits": model(**inputs).logits.numpy()}


def hashes():
    return [Hasher.hash(thing) for thing in (tokenizer, model, encode, score)]


def cached(rows):
    return [len(rows.cache_files), rows.cache_files[0]["filename"], rows._fingerprint]


rows = Dataset.from_json(data, cache_dir=data + ".cache")
before = hashes()
alone = rows.map(score, batched=True, batch_size=8)
answer = {"encoded": cached(rows.map(encode, batched=True)), "scored": cached(alone)}
together = rows.map(score, batched=True, batch_size=12, num_proc=2)
first, second = (rows.with_format("np")["logits"][:] for rows in (alone, together))
answer["difference"] = abs(first - second).max().item()
answer["hashes"] = hashes()
answer["module"] = type(tokenizer).__module__
assert before == answer["hashes"], (before, answer["hashes"])
print(json.dumps(answer))
"""


def test_datasets_caches_what_remote_code_maps(tiny_stack_folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    lines = [json.dumps({"text": f"{text} {number}"}) for number in range(8) for text in "abc"]
    data.write_text("\n".join(lines))
    (tmp_path / "fresh.py").write_text(FRESH)
    environment = os.environ | {
        "HF_HOME": str(tmp_path / "home"),
        "TOKENIZERS_PARALLELISM": "false",
    }
    answers, written = [], []
    for _ in range(2):
        answer = subprocess.run(
            [sys.executable, "fresh.py", str(tiny_stack_folder), str(data)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
        )
        assert answer.returncode == 0, answer.stderr[-3000:]
        answers.append(json.loads(answer.stdout.splitlines()[-1]))
        files = sorted(Path(f"{data}.cache").rglob("cache-*.arrow"))
        written.append([(file, file.stat().st_mtime_ns) for file in files])
    assert answers[0] == answers[1]
    assert answers[0]["difference"] < 1e-5
    assert answers[0]["module"].startswith("transformers_modules.")
    assert len(set(answers[0]["hashes"])) == 4
    assert written[0] == written[1]  # the second process found all that it needed
    assert len(written[0]) == 4  # one each, and two of the two processes
