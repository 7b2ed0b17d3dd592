"""Tiny encoders of six families and small stacks of them, made once a session."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoModel,
    BertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    ModernBertConfig,
    PreTrainedTokenizerFast,
    XLMRobertaConfig,
)

from stacked_emotion import StackedEmotionForSequenceClassification, StackedEmotionTokenizer

ROOT = Path(__file__).parents[2]
LABELS = ["joy", "anger", "fear"]
NASTY_TEXTS = [
    "كل سنه وانتي بخير ياقلبي 😍 ❤️ 🎈🎈!!!",
    "",
    "   \t\n ",
    "😂😂😂",
    "ًٌٍَُ",
    "a",
    "كلمة " * 10_000,
    "ا" * 5_000,
    "Mixed نص with עברית and 日本語, don't?",
    "نص‌نص‍نص ‏‪x‬ ⁦y⁩",
    "\ud83d lone \udc00 surrogates",
    "nul\x00 and \x07bell\x1b[31m",
    "@user1 انظر https://t.co/abc #وسم_طويل",
    "جداااااا جـــــميل جِدًّا",
    "👨‍👩‍👧‍👦 👍🏽 🇪🇬",
]


def train_tokenizer(kind: str, texts: list[str], size: int) -> PreTrainedTokenizerFast:
    """A fast tokenizer of one kind: wordpiece (pad 0), unigram (pad 1) or bytes (pad 1)."""
    if kind == "wordpiece":
        specials, names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"], ("[CLS]", "[SEP]", "[PAD]", "[UNK]")
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer(strip_accents=True)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(
            vocab_size=size, special_tokens=specials, show_progress=False
        )
    else:
        specials, names = ["<s>", "<pad>", "</s>", "<unk>"], ("<s>", "</s>", "<pad>", "<unk>")
        if kind == "unigram":
            tokenizer = Tokenizer(models.Unigram())
            tokenizer.normalizer = normalizers.NFKC()
            tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
            tokenizer.decoder = decoders.Metaspace()
            trainer = trainers.UnigramTrainer(
                vocab_size=size, special_tokens=specials, unk_token="<unk>", show_progress=False
            )
        else:
            tokenizer = Tokenizer(models.BPE())
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            tokenizer.decoder = decoders.ByteLevel()
            trainer = trainers.BpeTrainer(
                vocab_size=size,
                special_tokens=specials,
                show_progress=False,
                initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = TemplateProcessing(
        single=f"{names[0]} $A {names[1]}",
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in names[:2]],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        cls_token=names[0],
        sep_token=names[1],
        pad_token=names[2],
        unk_token=names[3],
        model_max_length=64,
    )


FAMILIES: dict[str, tuple[str, Callable[[int, int], Any]]] = {
    "bert": (
        "wordpiece",
        lambda size, width: BertConfig(
            vocab_size=size, hidden_size=width, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=2 * width, max_position_embeddings=64, pad_token_id=0,
        ),
    ),
    "xlm-roberta": (
        "unigram",
        lambda size, width: XLMRobertaConfig(
            vocab_size=size, hidden_size=width, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=2 * width, max_position_embeddings=66, pad_token_id=1,
            type_vocab_size=1,
        ),
    ),
    "modernbert": (
        "bytes",
        lambda size, width: ModernBertConfig(
            vocab_size=size, hidden_size=width, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=2 * width, max_position_embeddings=64, pad_token_id=1,
            cls_token_id=0, sep_token_id=2, bos_token_id=0, eos_token_id=2,
        ),
    ),
    "electra": (
        "wordpiece",
        lambda size, width: ElectraConfig(
            vocab_size=size, embedding_size=16, hidden_size=width, num_hidden_layers=2,
            num_attention_heads=2, intermediate_size=2 * width, max_position_embeddings=64,
            pad_token_id=0,
        ),
    ),
    "distilbert": (
        "wordpiece",
        lambda size, width: DistilBertConfig(
            vocab_size=size, dim=width, n_layers=2, n_heads=2, hidden_dim=2 * width,
            max_position_embeddings=64, pad_token_id=0,
        ),
    ),
    "deberta-v2": (
        "unigram",
        lambda size, width: DebertaV2Config(
            vocab_size=size, hidden_size=width, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=2 * width, max_position_embeddings=64, pad_token_id=1,
            relative_attention=True, position_buckets=16, norm_rel_ebd="layer_norm",
            share_att_key=True, pos_att_type=["p2c", "c2p"], position_biased_input=False,
            type_vocab_size=0,
        ),
    ),
}  # fmt: skip


@pytest.fixture(scope="session")
def sample_texts() -> list[str]:
    """Texts of the embedded synthetic sample."""
    lines = (ROOT / "recipes/sample/train.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["text"] for line in lines]


@pytest.fixture(scope="session")
def family_folders(
    tmp_path_factory: pytest.TempPathFactory, sample_texts: list[str]
) -> dict[str, Path]:
    """A folder with a tiny encoder and its tokenizer for each of the six families."""
    root = tmp_path_factory.mktemp("families")
    sizes = {"wordpiece": 400, "unigram": 350, "bytes": 500}
    tokenizers = {kind: train_tokenizer(kind, sample_texts, size) for kind, size in sizes.items()}
    folders = {}
    for seed, (family, (kind, make_config)) in enumerate(FAMILIES.items()):
        torch.manual_seed(seed)
        width = 32 if family in ("bert", "xlm-roberta") else 16 + 8 * (seed % 3)
        model = AutoModel.from_config(make_config(len(tokenizers[kind]), width))
        folders[family] = root / family
        model.save_pretrained(folders[family])
        tokenizers[kind].save_pretrained(folders[family])
    return folders


@pytest.fixture(scope="session")
def reproducible_encoders(
    tmp_path_factory: pytest.TempPathFactory, sample_texts: list[str]
) -> dict[str, Path]:
    """Encoders with byte-level tokenizers: training those of other kinds is not reproducible."""
    tokenizer = train_tokenizer("bytes", sample_texts, 500)
    folders = {}
    for seed, (name, family) in enumerate({"zeta": "xlm-roberta", "alpha": "modernbert"}.items()):
        torch.manual_seed(seed)
        folders[name] = tmp_path_factory.mktemp("golden_encoders") / name
        config = FAMILIES[family][1](len(tokenizer), 32)
        AutoModel.from_config(config).save_pretrained(folders[name])
        tokenizer.save_pretrained(folders[name])
    return folders


@pytest.fixture(scope="session")
def tiny_encoder_folders(family_folders: dict[str, Path]) -> dict[str, Path]:
    """Three encoders of different kinds; names out of alphabetical order, two of equal width."""
    return {
        "zeta": family_folders["xlm-roberta"],
        "alpha": family_folders["bert"],
        "mid": family_folders["modernbert"],
    }


def build_stack(
    sources: Mapping[str, Any], tokenizers: Mapping[str, Any] | None = None, **options: Any
) -> tuple[StackedEmotionForSequenceClassification, StackedEmotionTokenizer]:
    """A stack whose layers on top and calibration are not at their start, and its tokenizer."""
    torch.manual_seed(7)
    model = StackedEmotionForSequenceClassification.from_encoders(
        sources, **{"labels": LABELS, "thresholds": [0.3, 0.5, 0.7], **options}
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "classifier." in name or "meta_learner." in name:
                parameter.add_(0.2 * torch.randn_like(parameter))
        model.calibration.scale.copy_(torch.linspace(0.7, 1.4, model.num_labels))
        model.calibration.bias.copy_(torch.linspace(0.3, -0.2, model.num_labels))
    stacked = StackedEmotionTokenizer.from_tokenizers(tokenizers or sources, model_max_length=48)
    return model.eval(), stacked


@pytest.fixture(scope="session")
def tiny_stack(
    tiny_encoder_folders: dict[str, Path],
) -> tuple[StackedEmotionForSequenceClassification, StackedEmotionTokenizer]:
    """A stack of three kinds of encoders; do not change it in a test."""
    return build_stack(tiny_encoder_folders)


@pytest.fixture(scope="session")
def tiny_stack_folder(
    tiny_stack: tuple[StackedEmotionForSequenceClassification, StackedEmotionTokenizer],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The same stack, saved; do not change it in a test."""
    folder = tmp_path_factory.mktemp("stack") / "model"
    model, tokenizer = tiny_stack
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
