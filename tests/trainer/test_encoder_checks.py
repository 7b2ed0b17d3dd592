"""Encoders that cannot be used are refused before anything is trained."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_models import FAMILIES, train_tokenizer
from transformers import AutoModel, AutoTokenizer, BertConfig, T5Config, T5Model

from stacked_emotion.common.errors import UserError
from stacked_emotion.recipes import SAMPLE
from stacked_emotion.trainer.encoder_checks import EncoderCheck, check_encoders, refuse_problems

TEXTS = (SAMPLE / "train.jsonl").read_text(encoding="utf-8").splitlines()[:200]


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one usable encoder of each family."""
    root = tmp_path_factory.mktemp("encoders")
    for family, (kind, make) in FAMILIES.items():
        tokenizer = train_tokenizer(kind, TEXTS, 400)
        tokenizer.save_pretrained(root / family)
        torch.manual_seed(0)
        AutoModel.from_config(make(len(tokenizer), 16)).save_pretrained(root / family)
    return root


def one(folder: Path | str, **options: object) -> EncoderCheck:
    (check,) = check_encoders({"tried": str(folder)}, texts=TEXTS, **options)  # type: ignore[arg-type]
    return check


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_usable_encoders_pass(encoders: Path, family: str, dtype: torch.dtype) -> None:
    check = one(encoders / family, max_length=48, dtype=dtype)
    assert check.problems == []
    assert check.max_length == 48
    assert check.model_type == family
    assert check.unknown_share is not None
    assert check.unknown_share < 0.05
    assert family in check.to_text()


def copy(encoders: Path, target: Path, family: str = "bert") -> Path:
    return Path(shutil.copytree(encoders / family, target))


@pytest.mark.parametrize("family", FAMILIES)
def test_no_tokenizer_files(encoders: Path, family: str, tmp_path: Path) -> None:
    folder = tmp_path / "bare"
    AutoModel.from_pretrained(encoders / family).save_pretrained(folder)
    check = one(folder)
    assert "no tokenizer files" in check.problems[0]
    with pytest.raises(UserError, match=r"tried: it has no tokenizer files.*save_pretrained"):
        refuse_problems([check])


def test_empty_tokenizer_file(encoders: Path, tmp_path: Path) -> None:
    folder = copy(encoders, tmp_path / "empty")
    (folder / "tokenizer.json").write_text("")
    assert "tokenizer.json is empty" in one(folder).problems[0]


def test_a_vocabulary_of_special_tokens_only(encoders: Path, tmp_path: Path) -> None:
    folder = copy(encoders, tmp_path / "specials")
    for file in folder.glob("token*"):
        file.unlink()
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n")
    assert "nearly all of them special" in one(folder).problems[0]


@pytest.mark.parametrize("family", ["bert", "xlm-roberta", "modernbert"])
def test_a_tokenizer_larger_than_the_embeddings(
    encoders: Path, family: str, tmp_path: Path
) -> None:
    folder = copy(encoders, tmp_path / "large", family)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["<new>"])
    tokenizer.save_pretrained(folder)
    (problem,) = one(folder).problems
    assert f"resize_token_embeddings({len(tokenizer)})" in problem


@pytest.mark.parametrize(("family", "positions"), [("bert", 64), ("xlm-roberta", 64)])
def test_positions_lower_max_length(
    encoders: Path, family: str, positions: int, tmp_path: Path
) -> None:
    folder = copy(encoders, tmp_path / "short", family)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.model_max_length = int(1e30)
    tokenizer.save_pretrained(folder)
    check = one(folder, max_length=200)
    assert check.problems == []
    assert check.max_length == positions
    assert "lowered from 200" in check.warnings[0]


def test_too_few_positions(encoders: Path, tmp_path: Path) -> None:
    assert "special tokens alone need 2" in one(encoders / "bert", max_length=2).problems[0]


@pytest.mark.parametrize(("texts", "kind"), [
    (["日本語 中文 한국어"] * 5, "problems"),
    (["نص عادي بكلمات معروفة"] * 4 + ["日本語 中文"], "warnings"),
])  # fmt: skip
def test_unknown_tokens(encoders: Path, texts: list[str], kind: str) -> None:
    (check,) = check_encoders({"tried": str(encoders / "bert")}, texts=texts, max_length=48)
    assert "unknown to its tokenizer" in getattr(check, kind)[0]


def test_no_padding_token(encoders: Path, tmp_path: Path) -> None:
    folder = copy(encoders, tmp_path / "padless")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(folder)
    assert "no padding token" in one(folder).problems[0]


def _nan(folder: Path) -> None:
    model = AutoModel.from_pretrained(folder)
    with torch.no_grad():
        model.encoder.layer[0].output.dense.weight[0, 0] = float("nan")
    model.save_pretrained(folder)


def _missing(folder: Path) -> None:
    model = AutoModel.from_pretrained(folder)
    state = {k: v for k, v in model.state_dict().items() if "layer.1." not in k}
    model.save_pretrained(folder, state_dict=state)


def _cut(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def _unknown_kind(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "no_such_model"}')


def _encoder_decoder(folder: Path) -> None:
    T5Model(T5Config(vocab_size=400, d_model=16, d_kv=8, d_ff=16, num_layers=1,
                     num_heads=2)).save_pretrained(folder)  # fmt: skip


@pytest.mark.parametrize(("damage", "message"), [
    (_nan, "NaN or infinite"),
    (_missing, "lack .* of the weights"),
    (_cut, "weights cannot be loaded"),
    (_unknown_kind, "no_such_model"),
    (_encoder_decoder, "'t5' is not supported"),
])  # fmt: skip
def test_damaged_models(
    encoders: Path, damage: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    folder = copy(encoders, tmp_path / "damaged")
    damage(folder)
    with pytest.raises(UserError, match=message):
        refuse_problems([one(folder)])


def test_all_problems_are_reported_at_once(encoders: Path, tmp_path: Path) -> None:
    BertConfig().save_pretrained(tmp_path / "b")
    checks = check_encoders({"a": str(encoders / "bert"), "b": str(tmp_path / "b"),
                             "c": str(tmp_path / "nowhere")})  # fmt: skip
    with pytest.raises(UserError, match=r"(?s)b: .*c: ") as caught:
        refuse_problems(checks)
    assert "a: " not in str(caught.value)
