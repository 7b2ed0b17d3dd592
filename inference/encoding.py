"""Texts to arrays from a model's folder, with `tokenizers` and numpy alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..alignment_stacked_emotion import AlignedBatchEncoder
from ..tokenizer_files_stacked_emotion import read_tokenizers

INPUTS = ("input_ids", "attention_mask", "word_index")
_SETTINGS = ("encoder_names", "encoder_prefixes", "placeholders", "normalization",
             "encoder_pad_ids", "model_max_length")  # fmt: skip


@dataclass
class EncodedTexts:
    """Texts as the encoders read them.

    Attributes:
        arrays: `input_ids`, `attention_mask`, `word_index`, each (texts, sequence, encoders) int64.
        lengths: (texts,) positions each text needs.
    """

    arrays: dict[str, np.ndarray]
    lengths: np.ndarray

    def batch(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """These texts, cut to the longest of them."""
        longest = int(self.lengths[rows].max())
        return {name: values[rows, :longest] for name, values in self.arrays.items()}


class TextEncoder:
    """What `StackedEmotionTokenizer` does to a list of texts, without transformers.

    Args:
        aligned: the encoder of words and sub-words.
        max_length: positions an encoder may use.
    """

    def __init__(self, aligned: AlignedBatchEncoder, max_length: int) -> None:
        self.aligned = aligned
        self.max_length = max_length

    @classmethod
    def from_files(cls, fetch: Callable[[str], str], location: str) -> TextEncoder:
        """Read the tokenizer files of a model.

        Args:
            fetch: the path of a file on this machine, given its name in the model's folder.
            location: the folder or Hub id, for messages.

        Raises:
            OSError: a file is missing, or is not what `save_pretrained` wrote.
        """
        settings, backends = read_tokenizers(fetch, location)
        return cls.from_settings(settings, backends)

    @classmethod
    def of(cls, tokenizer: Any) -> TextEncoder:
        """What a `StackedEmotionTokenizer` does."""
        return cls.from_settings(
            {name: getattr(tokenizer, name) for name in _SETTINGS}, tokenizer.backends
        )

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], backends: Mapping[str, Any]) -> TextEncoder:
        """From the arguments of `StackedEmotionTokenizer`, and its `tokenizers.Tokenizer`s."""
        aligned = AlignedBatchEncoder.from_settings(settings, backends)
        return cls(aligned, settings["model_max_length"])

    def __call__(self, texts: Sequence[str]) -> EncodedTexts:
        """Encode texts for all encoders."""
        batch = self.aligned.encode(texts, self.max_length)
        return EncodedTexts(batch.arrays, batch.lengths)
