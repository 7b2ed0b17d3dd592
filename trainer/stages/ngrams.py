"""A lexical member of the stack: TF-IDF of character n-grams and words with logistic regression."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.linear_model import LogisticRegression
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from ...alignment_stacked_emotion import INPUTS
from ...modeling_stacked_emotion import StackedEmotionForSequenceClassification
from ...ngrams_model_stacked_emotion import HashedNgramsModel
from ...ngrams_stacked_emotion import BOUNDARY, UNKNOWN, HashedNgramsConfig, character_code
from ...tokenization_stacked_emotion import StackedEmotionTokenizer
from ..data_collator import EncodedTexts, model_inputs
from ..training_sections import EncoderSettings

_PIECES = 8192
_PIECE_LENGTH = 8
_LEAST_TEXTS = 2
_ARABIC_MARKS = "[\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed]"
_PAD, _UNKNOWN = "[PAD]", "[UNK]"


def ngram_tokenizer(name: str, texts: Sequence[str], max_length: int) -> StackedEmotionTokenizer:
    """A tokenizer whose pieces spell the words of any text.

    The pieces are those of byte-pair encoding, so that a text needs few of them. The same texts
    always give the same tokenizer.

    Args:
        name: of the encoder.
        texts: the training texts.
        max_length: positions that a text may use.
    """
    backend = Tokenizer(models.BPE(unk_token=_UNKNOWN))
    backend.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Lowercase(), normalizers.Replace(Regex(_ARABIC_MARKS), "")]
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Metaspace(prepend_scheme="always", split=False),
            pre_tokenizers.Split(Regex(rf"[^\w\s{BOUNDARY}]+"), "isolated"),
        ]
    )
    backend.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=_PIECES,
            min_frequency=5,
            max_token_length=_PIECE_LENGTH,
            limit_alphabet=2000,
            special_tokens=[_PAD, _UNKNOWN],
            show_progress=False,
        ),
    )
    return StackedEmotionTokenizer([name], {name: backend}, {name: 0}, model_max_length=max_length)


def new_ngram_encoder(
    backend: Tokenizer, labels: int, settings: EncoderSettings
) -> HashedNgramsModel:
    """An encoder that reads the pieces of a tokenizer, with an empty table.

    Args:
        backend: of `ngram_tokenizer`.
        labels: number of labels.
        settings: lengths of the n-grams, and size of the table.
    """
    pieces = backend.get_vocab()
    shortest, longest = settings.ngrams
    model = HashedNgramsModel(
        HashedNgramsConfig(
            vocab_size=max(pieces.values()) + 1, hidden_size=labels, piece_length=_PIECE_LENGTH,
            bucket_bits=settings.ngrams_bits, shortest_ngram=shortest, longest_ngram=longest,
        )
    )  # fmt: skip
    special = {_PAD: "", _UNKNOWN: UNKNOWN}
    for piece, number in pieces.items():
        codes = [character_code(character) for character in special.get(piece, piece)]
        model.embeddings.characters[number, : len(codes)] = torch.tensor(codes, dtype=torch.int32)
    torch.nn.init.zeros_(model.embeddings.table.weight)
    return model


def fit_ngrams(
    model: StackedEmotionForSequenceClassification, name: str, texts: EncodedTexts, c: float
) -> None:
    """Fit a lexical encoder: logistic regression per label on TF-IDF of its n-grams.

    N-grams of a single text have no weight. The others have the smoothed inverse document frequency
    of scikit-learn, and their counts enter by their square roots. A label that all texts or none
    have keeps its bias.

    Args:
        model: the stack of this encoder.
        name: of the encoder.
        texts: encoded texts with their labels.
        c: inverse of the L2 penalty, as in scikit-learn.
    """
    labels = np.asarray(texts.labels)
    counts = ngram_counts(model, name, texts)
    found_in = np.bincount(counts.indices, minlength=counts.shape[1])
    known = np.flatnonzero(found_in >= _LEAST_TEXTS)
    weights = np.log((1 + len(labels)) / (1 + found_in[known])) + 1
    features = counts[:, known] @ sp.diags(weights)
    norms = np.sqrt(counts[:, known] @ weights**2)
    features = (sp.diags(1 / np.where(norms > 0, norms, 1)) @ features).tocsr()
    table = np.zeros((counts.shape[1], labels.shape[1] + 1))
    table[known, -1] = weights**2
    output = model.get_encoder_head(name).output
    with torch.no_grad():
        output.weight.copy_(torch.eye(labels.shape[1]))
        for label in range(labels.shape[1]):
            if 0 < labels[:, label].sum() < len(labels):
                fitted = LogisticRegression(C=c, max_iter=1000).fit(features, labels[:, label])
                table[known, label] = weights * fitted.coef_[0]
                output.bias[label] = float(fitted.intercept_[0])
        model.get_encoder(name).embeddings.table.weight.copy_(torch.from_numpy(table))


@torch.inference_mode()
def ngram_counts(
    model: StackedEmotionForSequenceClassification, name: str, texts: EncodedTexts
) -> sp.csr_matrix:
    """(texts, buckets) how often each text has each n-gram, as the encoder reads it."""
    embeddings = model.get_encoder(name).embeddings
    rows, columns = [], []
    for batch, inputs in model_inputs(model, texts, size=64):
        ids, mask = (inputs[key][..., 0] for key in INPUTS[:2])
        buckets, exists, _ = embeddings.buckets(ids, mask)
        buckets, exists = buckets.flatten(1).cpu().numpy(), exists.flatten(1).cpu().numpy()
        columns.append(buckets[exists])
        rows.append(np.repeat(batch, exists.sum(1)))
    shape = (len(texts), embeddings.table.num_embeddings)
    places = (np.concatenate(rows), np.concatenate(columns))
    return sp.csr_matrix((np.ones(len(places[0])), places), shape)
