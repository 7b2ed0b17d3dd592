"""Configuration of a lexical encoder: which character n-grams it reads, and how they are hashed."""

from __future__ import annotations

import zlib

from transformers import PreTrainedConfig

BOUNDARY = "\u2581"
"""What its tokenizer puts in front of every word that white space separates."""
UNKNOWN = "\ufffd"
MULTIPLIER = 61
_BOUNDARY_CODE = 1
_CODES = 262_139


def character_code(character: str) -> int:
    """The number that stands for a character in a hash: 1 for a word boundary, others from 2 on.

    The hash of an n-gram starts at 0. Each of its characters multiplies it by `MULTIPLIER`, adds
    its code and takes the remainder by the number of buckets, at most 2^18. No number on
    the way reaches 2^24: some runtimes, such as OpenVINO, compute with float32 here.
    """
    if character == BOUNDARY:
        return _BOUNDARY_CODE
    return 2 + zlib.crc32(character.encode("utf-8")) % _CODES


class HashedNgramsConfig(PreTrainedConfig):
    """Configuration of `HashedNgramsModel`.

    Args:
        vocab_size: number of pieces of its tokenizer.
        hidden_size: width of its word vectors: the number of labels that it was fitted on.
        bucket_bits: the table of n-grams has 2^bucket_bits rows.
        shortest_ngram: characters of the shortest n-gram.
        longest_ngram: characters of the longest n-gram.
        piece_length: most characters of a piece.
        pad_token_id: id of the padding.
    """

    model_type = "hashed_ngrams"

    vocab_size: int = 3
    hidden_size: int = 1
    bucket_bits: int = 17
    shortest_ngram: int = 2
    longest_ngram: int = 5
    piece_length: int = 8
    pad_token_id: int | None = 0
    initializer_range: float = 0.02
