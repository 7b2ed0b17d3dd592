"""The vocabularies of the stack: what a tokenizer promises about tokens, for N in one."""

from __future__ import annotations

from typing import Any

import numpy as np
import tokenizers

from .words_stacked_emotion import WordSpan


class StackedVocabulary:
    """The vocabulary side of `StackedEmotionTokenizer`.

    Ids are those of each encoder's own tokenizer. Where one vocabulary is asked for, it is that of
    the first encoder.
    """

    encoder_names: list[str]
    backends: dict[str, tokenizers.Tokenizer]
    encoder_pad_ids: dict[str, int]

    def word_offsets(self, text: str, max_length: int | None = None) -> list[WordSpan]:
        """The words of a text that the model sees, as `(start, end)` characters of it."""
        raise NotImplementedError

    def encoder_tokens(self, text: str) -> dict[str, list[str]]:
        """The sub-words each encoder reads, by encoder name."""
        encoding = self(text)  # type: ignore[operator]
        ids = np.asarray(encoding["input_ids"])
        mask = np.asarray(encoding["attention_mask"])
        return {
            name: [
                self.backends[name].id_to_token(int(token)) or ""
                for token in ids[mask[:, index] == 1, index]
            ]
            for index, name in enumerate(self.encoder_names)
        }

    @property
    def vocab_sizes(self) -> dict[str, int]:
        """Number of tokens of each encoder's tokenizer, by name."""
        return {name: backend.get_vocab_size() for name, backend in self.backends.items()}

    @property
    def vocab_size(self) -> int:
        """Number of tokens of all tokenizers together."""
        return sum(self.vocab_sizes.values())

    def __len__(self) -> int:
        return self.vocab_size

    def get_vocab(self) -> dict[str, int]:
        """All tokens as `name/token`, with the id each has in its own tokenizer."""
        return {
            f"{name}/{token}": index
            for name, backend in self.backends.items()
            for token, index in backend.get_vocab().items()
        }

    @property
    def pad_token_id(self) -> int:
        """Padding id of the first encoder; the model puts in each encoder's own."""
        return self.encoder_pad_ids[self.encoder_names[0]]

    @property
    def added_tokens_decoder(self) -> dict[int, Any]:
        """Always empty: added tokens live in each encoder's own tokenizer."""
        return {}

    def save_vocabulary(
        self, save_directory: str, filename_prefix: str | None = None
    ) -> tuple[str, ...]:
        """Nothing beyond what `save_pretrained` writes."""
        return ()

    def tokenize(self, text: str, pair: str | None = None, **kwargs: Any) -> list[str]:
        """The words of the text; sub-words differ by encoder, see `encoder_tokens`."""
        return [text[start:end] for start, end in self.word_offsets(text)]

    def convert_tokens_to_ids(self, tokens: str | list[str]) -> int | list[int]:
        """Id of a token in the first encoder's tokenizer; KeyError for one it has not."""
        vocabulary = self.backends[self.encoder_names[0]].get_vocab()
        if isinstance(tokens, str):
            return vocabulary[tokens]
        return [vocabulary[token] for token in tokens]

    def decode(self, token_ids: Any, skip_special_tokens: bool = False, **kwargs: Any) -> str:
        """The text as the first encoder reads it, from (sequence, encoders) ids."""
        column = np.asarray(token_ids)[:, 0].tolist()
        return self.backends[self.encoder_names[0]].decode(
            column, skip_special_tokens=skip_special_tokens
        )
