"""Tiny encoders with random weights for the demo: different widths, vocabularies and kinds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoModel,
    BertConfig,
    ElectraConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
)

_BERT_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
_ROBERTA_TOKENS = ("<pad>", "<unk>", "<s>", "</s>")


def make_tiny_encoders(folder: str | Path, texts: Sequence[str], seed: int = 0) -> dict[str, Path]:
    """Write three encoders into folders of their own, each with a tokenizer trained on these texts.

    They are an ELECTRA with WordPiece (padding ID 0), a BERT with a Unigram vocabulary and a
    RoBERTa with byte-level BPE (padding ID 1 in both).

    Returns:
        Folder by encoder name.
    """
    torch.manual_seed(seed)
    makers = {"wordpiece": _wordpiece, "unigram": _unigram, "bytes": _bytes}
    folders = {}
    for name, make in makers.items():
        target = Path(folder) / f"tiny_{name}"
        tokenizer, config = make(texts)
        tokenizer.save_pretrained(target)
        pooler = {} if config.model_type == "electra" else {"add_pooling_layer": False}
        AutoModel.from_config(config, **pooler).save_pretrained(target)
        folders[name] = target
    return folders


def _wordpiece(texts: Sequence[str]) -> tuple[PreTrainedTokenizerFast, PreTrainedConfig]:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=1500, special_tokens=[*_BERT_TOKENS, "[MASK]"], show_progress=False
    )
    config = ElectraConfig(
        vocab_size=1500, embedding_size=64, hidden_size=64, num_hidden_layers=2,
        num_attention_heads=4, intermediate_size=128, max_position_embeddings=128, pad_token_id=0,
    )  # fmt: skip
    return _trained(tokenizer, trainer, texts, *_BERT_TOKENS), config


def _unigram(texts: Sequence[str]) -> tuple[PreTrainedTokenizerFast, PreTrainedConfig]:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=1000, special_tokens=["<s>", "<pad>", "</s>", "<unk>"], unk_token="<unk>",
        show_progress=False,
    )  # fmt: skip
    config = BertConfig(
        vocab_size=1000, hidden_size=48, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=96, max_position_embeddings=128, pad_token_id=1,
    )  # fmt: skip
    return _trained(tokenizer, trainer, texts, *_ROBERTA_TOKENS), config


def _bytes(texts: Sequence[str]) -> tuple[PreTrainedTokenizerFast, PreTrainedConfig]:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2000, special_tokens=["<s>", "<pad>", "</s>", "<unk>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    config = RobertaConfig(
        vocab_size=2000, hidden_size=80, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=160, max_position_embeddings=130, pad_token_id=1, type_vocab_size=1,
    )  # fmt: skip
    return _trained(tokenizer, trainer, texts, *_ROBERTA_TOKENS), config


def _trained(
    tokenizer: Tokenizer, trainer: trainers.Trainer, texts: Sequence[str],
    pad: str, unknown: str, first: str, last: str,
) -> PreTrainedTokenizerFast:  # fmt: skip
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = TemplateProcessing(
        single=f"{first} $A {last}",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (first, last)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=pad, unk_token=unknown, cls_token=first,
        sep_token=last, model_max_length=128,
    )  # fmt: skip
