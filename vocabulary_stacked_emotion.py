"""The vocabularies of the stack: what a tokenizer promises about tokens, for N in one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
import tokenizers

from .alignment_stacked_emotion import AlignedBatchEncoder
from .words_stacked_emotion import WordSpan


class StackedVocabulary:
    """The vocabulary side of `StackedEmotionTokenizer`.

    Ids are those of each encoder's own tokenizer. Where one vocabulary is asked for, it is that of
    the first encoder.
    """

    encoder_names: list[str]
    backends: dict[str, tokenizers.Tokenizer]
    encoder_pad_ids: dict[str, int]
    _encoder: AlignedBatchEncoder

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
    def _first(self) -> tokenizers.Tokenizer:
        return self.backends[self.encoder_names[0]]

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

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        """Always empty, as `added_tokens_decoder`."""
        return {}

    def save_vocabulary(
        self, save_directory: str, filename_prefix: str | None = None
    ) -> tuple[str, ...]:
        """Nothing beyond what `save_pretrained` writes."""
        return ()

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Special tokens that an encoder's tokenizer adds to a text, at most."""
        if pair:
            raise ValueError("StackedEmotionTokenizer takes single texts, not pairs.")
        return max(self._encoder.specials)

    def tokenize(self, text: str, pair: str | None = None, **kwargs: Any) -> list[str]:
        """The words of the text; sub-words differ by encoder, see `encoder_tokens`."""
        if pair is not None:
            raise ValueError("StackedEmotionTokenizer takes single texts, not pairs.")
        return [text[start:end] for start, end in self.word_offsets(text)]

    def convert_tokens_to_ids(self, tokens: str | Sequence[str]) -> Any:
        """Id of a token (or ids of a list) in the first encoder's tokenizer; None if unknown."""
        if isinstance(tokens, str):
            return self._first.token_to_id(tokens)
        return [self._first.token_to_id(token) for token in tokens]

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """Token of an id, or of each of a list, in the first encoder's tokenizer.

        Args:
            ids: an id, (sequence,) ids of the first encoder, or (sequence, encoders) ids of all.
            skip_special_tokens: leave them out of a list.

        Raises:
            ValueError: the ids have another shape.
        """
        column = self._first_column(ids)
        added = self._first.get_added_tokens_decoder() if skip_special_tokens else {}
        special = {index for index, token in added.items() if token.special}
        if isinstance(column, int):
            return self._first.id_to_token(column)
        return [self._first.id_to_token(index) for index in column if index not in special]

    def convert_tokens_to_string(self, tokens: Sequence[str]) -> str:
        """The text of tokens of the first encoder's tokenizer."""
        decoder = self._first.decoder
        return " ".join(tokens) if decoder is None else decoder.decode(list(tokens))

    def decode(self, token_ids: Any, skip_special_tokens: bool = False, **kwargs: Any) -> Any:
        """The text as the first encoder reads it.

        Args:
            token_ids: an id or (sequence,) ids of the first encoder, (sequence, encoders) ids of
                all, or a list or array of several (sequence, encoders).
            skip_special_tokens: leave them out.
            **kwargs: ignored, as the text is not cleaned up.

        Returns:
            A text, or a list of texts for several.

        Raises:
            ValueError: the ids have another shape.
        """
        if _depth(token_ids) == 3:
            return [self.decode(ids, skip_special_tokens) for ids in token_ids]
        column = self._first_column(token_ids)
        ids = [column] if isinstance(column, int) else column
        return self._first.decode(ids, skip_special_tokens=skip_special_tokens)

    def batch_decode(
        self, sequences: Any, skip_special_tokens: bool = False, **kwargs: Any
    ) -> list[str]:
        """`decode` of each of several (sequence, encoders) ids."""
        return [self.decode(ids, skip_special_tokens) for ids in sequences]

    def _first_column(self, ids: Any) -> int | list[int]:
        """Ids of the first encoder; one for a single id."""
        array = np.asarray(ids)
        if array.size == 0:
            return []
        if array.dtype.kind not in "iu" or not (
            array.ndim < 2 or (array.ndim == 2 and array.shape[1] == len(self.encoder_names))
        ):
            raise ValueError(
                f"ids must be ints of shape (sequence, {len(self.encoder_names)}), the last axis "
                f"being the encoders {self.encoder_names}, or (sequence,) for the first of them; "
                f"these have shape {array.shape} and type {array.dtype}."
            )
        if array.size and int(array.min()) < 0:
            raise ValueError(f"ids must not be negative; the least is {array.min()}.")
        first = array[:, 0] if array.ndim == 2 else array
        return first.tolist()

    # What has no meaning for several vocabularies

    def add_tokens(self, new_tokens: Any, special_tokens: bool = False) -> int:
        """Refused unless there is nothing to add: each encoder has a vocabulary of its own."""
        if not new_tokens:
            return 0
        raise NotImplementedError(
            "Every encoder has its own vocabulary: add the tokens to one encoder's tokenizer and "
            "resize its embeddings before you stack them with from_tokenizers."
        )

    def add_special_tokens(self, special_tokens_dict: Any, **kwargs: Any) -> int:
        """Refused, as `add_tokens`."""
        return self.add_tokens(special_tokens_dict, special_tokens=True)

    def apply_chat_template(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: texts are classified one by one."""
        raise NotImplementedError("A stack reads single texts: call the tokenizer with a message.")

    def get_special_tokens_mask(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: `word_index` tells it."""
        raise NotImplementedError(
            "Call the tokenizer and use word_index: it is 0 for special tokens, padding and prefix."
        )


def _depth(ids: Any) -> int:
    """Number of axes of ids, which may be ragged lists."""
    depth = 0
    while not np.isscalar(ids) and (not hasattr(ids, "ndim") or ids.ndim):
        depth += 1
        if not len(ids):
            break
        ids = ids[0]
    return depth
