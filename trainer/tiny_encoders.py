"""Tiny encoders with random weights for the demo: different widths, vocabularies and kinds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from transformers import (
    BertConfig,
    BertModel,
    ElectraConfig,
    ElectraModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
)


def make_tiny_encoders(folder: str | Path, texts: Sequence[str], seed: int = 0) -> dict[str, Path]:
    """Write three encoders and the tokenizers trained for them on these texts.

    Args:
        folder: gets a folder per encoder.
        texts: what the tokenizers are trained on.
        seed: of the random weights.

    Returns:
        Folder by encoder name.
    """
    torch.manual_seed(seed)
    makers = {"wordpiece": _wordpiece, "unigram": _unigram, "bytes": _bytes}
    folders = {}
    for name, make in makers.items():
        target = Path(folder) / f"tiny_{name}"
        target.mkdir(parents=True, exist_ok=True)
        make(target, texts)
        folders[name] = target
    return folders


def _wordpiece(folder: Path, texts: Sequence[str]) -> None:
    """ELECTRA with WordPiece, padding id 0."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(
        vocab_size=1500, special_tokens=special, show_progress=False
    )
    _finish_tokenizer(folder, tokenizer, trainer, texts, "[CLS]", "[SEP]", "[PAD]", "[UNK]")
    config = ElectraConfig(
        vocab_size=1500, embedding_size=64, hidden_size=64, num_hidden_layers=2,
        num_attention_heads=4, intermediate_size=128, max_position_embeddings=128, pad_token_id=0,
    )  # fmt: skip
    ElectraModel(config).save_pretrained(folder)


def _unigram(folder: Path, texts: Sequence[str]) -> None:
    """BERT with a Unigram vocabulary, padding id 1."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=1000, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    _finish_tokenizer(folder, tokenizer, trainer, texts, "<s>", "</s>", "<pad>", "<unk>")
    config = BertConfig(
        vocab_size=1000, hidden_size=48, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=96, max_position_embeddings=128, pad_token_id=1,
    )  # fmt: skip
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)


def _bytes(folder: Path, texts: Sequence[str]) -> None:
    """RoBERTa with byte-level BPE, padding id 1."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.BpeTrainer(
        vocab_size=2000, special_tokens=special, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    _finish_tokenizer(folder, tokenizer, trainer, texts, "<s>", "</s>", "<pad>", "<unk>")
    config = RobertaConfig(
        vocab_size=2000, hidden_size=80, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=160, max_position_embeddings=130, pad_token_id=1, type_vocab_size=1,
    )  # fmt: skip
    RobertaModel(config, add_pooling_layer=False).save_pretrained(folder)


def _finish_tokenizer(
    folder: Path,
    tokenizer: Tokenizer,
    trainer: trainers.Trainer,
    texts: Sequence[str],
    first: str,
    last: str,
    pad: str,
    unknown: str,
) -> None:
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = TemplateProcessing(
        single=f"{first} $A {last}",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (first, last)],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        cls_token=first,
        sep_token=last,
        pad_token=pad,
        unk_token=unknown,
        model_max_length=128,
    ).save_pretrained(folder)
