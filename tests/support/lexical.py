"""A tiny stack with a lexical member, and what it reads of a text by plain Python."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tiny_models import LABELS, build_stack

from stacked_emotion import StackedEmotionForSequenceClassification, StackedEmotionTokenizer
from stacked_emotion.trainer.data_collator import EncodedTexts
from stacked_emotion.trainer.stages.ngrams import fit_ngrams, new_ngram_encoder, ngram_tokenizer
from stacked_emotion.trainer.training_sections import EncoderSettings

Stack = tuple[StackedEmotionForSequenceClassification, StackedEmotionTokenizer]
NGRAMS = EncoderSettings(ngrams=[2, 4], ngrams_bits=12)


def ngrams_of(text: str, known: set[str], shortest: int, longest: int) -> Counter[str]:
    """The n-grams of a text: of each word between white space, and the words themselves."""
    found: Counter[str] = Counter()
    plain = re.sub("[\u064b-\u065f\u0640]", "", unicodedata.normalize("NFKC", text).lower())
    for word in plain.split():
        marked = f"\u2581{''.join(c if c in known else chr(0xFFFD) for c in word)}\u2581"
        for length in range(shortest, longest + 1):
            found.update(marked[at : at + length] for at in range(len(marked) - length + 1))
        if longest < len(marked) <= 22:
            found[marked] += 1
    return found


def bucket_of(ngram: str, buckets: int) -> int:
    """The hash as `character_code` describes it."""
    value = 0
    for character in ngram:
        code = 1 if character == "\u2581" else 2 + zlib.crc32(character.encode()) % 262_139
        value = (value * 61 + code) % buckets
    return value


def lexical_alone(texts: list[str], labels: np.ndarray, c: float = 1.0) -> Stack:
    """A stack of one lexical encoder, fitted on these texts and the three labels."""
    tokenizer = ngram_tokenizer("lexical", texts, 128)
    encoder = new_ngram_encoder(tokenizer.backends["lexical"], len(LABELS), NGRAMS)
    model = StackedEmotionForSequenceClassification.from_encoders(
        {"lexical": encoder}, labels=LABELS, use_meta_learner=False, use_lstm=False,
        use_classifier=False,
    )  # fmt: skip
    fit_ngrams(model, "lexical", EncodedTexts.from_texts(tokenizer, texts, labels), c)
    return model, tokenizer


@pytest.fixture(scope="session")
def lexical_stack(tiny_encoder_folders: dict[str, Path], sample_texts: list[str]) -> Stack:
    """Two tiny encoders and a fitted lexical one between them; do not change it in a test."""
    labels = np.random.default_rng(1).integers(0, 2, (len(sample_texts), len(LABELS)))
    alone, lexical = lexical_alone(sample_texts, labels)
    folders = {name: tiny_encoder_folders[name] for name in ("zeta", "alpha")}
    model, tokenizer = build_stack({"zeta": folders["zeta"], "lexical": alone} | folders, folders)
    backends = {**tokenizer.backends, **lexical.backends}
    names = model.config.encoder_names
    pads = {**tokenizer.encoder_pad_ids, **lexical.encoder_pad_ids}
    return model, StackedEmotionTokenizer(names, backends, pads, model_max_length=48)
