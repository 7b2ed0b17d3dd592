"""The vocabularies of the stack: what a tokenizer promises about tokens, for N in one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import tokenizers

from .alignment_stacked_emotion import AlignedBatchEncoder
from .padding_stacked_emotion import check_options, check_setting
from .tokenizer_files_stacked_emotion import check_settings, write_tokenizers
from .words_stacked_emotion import WordSpan

SETTINGS = (
    "encoder_names", "encoder_prefixes", "placeholders", "normalization", "encoder_pad_ids",
    "model_max_length",
)  # fmt: skip


class StackedVocabulary:
    """The vocabulary side of `StackedEmotionTokenizer`.

    Ids are those of each encoder's own tokenizer. Where one vocabulary is asked for, it is that of
    the first encoder.
    """

    encoder_names: list[str]
    backends: dict[str, tokenizers.Tokenizer]
    encoder_pad_ids: dict[str, int]
    _encoder: AlignedBatchEncoder
    _special_tokens_map: dict[str, Any]

    def __setattr__(self, key: str, value: Any) -> None:
        """A setting acts at once; one that a stack cannot honor is refused.

        Raises:
            ValueError: names the setting.
        """
        if "_encoder" not in self.__dict__:
            super().__setattr__(key, value)
        elif key in ("encoder_names", "backends"):
            raise ValueError(f"{key} cannot be changed: build a new one with from_tokenizers.")
        elif key in ("pad_token", "pad_token_id"):
            pad_id = self._id_of_padding(value)
            self.encoder_pad_ids = self.encoder_pad_ids | {self.encoder_names[0]: pad_id}
        elif key in SETTINGS:
            self._use(check_settings(self._settings() | {key: value}))
        else:
            check_setting(key, value)
            super().__setattr__(key, value)

    def _id_of_padding(self, token: Any) -> int:
        """The id of what is to be the first encoder's padding token, given by itself or its id."""
        number = isinstance(token, int) and not isinstance(token, bool)
        pad_id = token if number else self._first.token_to_id(str(token))
        if pad_id is None or pad_id < 0 or self._first.id_to_token(pad_id) is None:
            raise ValueError(
                f"pad_token {token!r} is not in the vocabulary of the first encoder, "
                f"{self.encoder_names[0]!r}; every encoder pads with a token of its own, see "
                "encoder_pad_ids."
            )
        return pad_id

    def _settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in SETTINGS}

    def _use(self, settings: Mapping[str, Any]) -> None:
        """Take checked settings."""
        self.__dict__.update(settings)
        self.__dict__["_encoder"] = AlignedBatchEncoder.from_settings(settings, self.backends)
        pad_token = self._first.id_to_token(self.pad_token_id)
        self._special_tokens_map["pad_token"] = pad_token or "[PAD]"
        self.__dict__["init_kwargs"] = self._settings() | {"pad_token": pad_token}

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
        """Number of tokens of the first encoder's tokenizer; see `vocab_sizes` for all."""
        return self._first.get_vocab_size()

    def __len__(self) -> int:
        return self.vocab_size

    def get_vocab(self) -> dict[str, int]:
        """The tokens of the first encoder's tokenizer; `backends[name].get_vocab()` for others."""
        return self._first.get_vocab()

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
        """Write `tokenizers/<name>/tokenizer.json` of each encoder.

        Returns:
            The paths of the files written.

        Raises:
            ValueError: a `filename_prefix`.
        """
        if filename_prefix:
            raise ValueError("save_vocabulary has no filename_prefix: every encoder has a folder.")
        return tuple(map(str, write_tokenizers(Path(save_directory), None, self.backends)))

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Special tokens that an encoder's tokenizer adds to a text, at most."""
        if pair:
            raise ValueError("StackedEmotionTokenizer takes single texts, not pairs.")
        return max(self._encoder.specials)

    def tokenize(
        self, text: str, pair: str | None = None, add_special_tokens: bool = False, **kwargs: Any
    ) -> list[str]:
        """The sub-words the first encoder reads; see `encoder_tokens` for all encoders.

        Args:
            text: the text.
            pair: refused; texts are single.
            add_special_tokens: the special tokens of the encoder, too.
            **kwargs: options of a call, such as `max_length`.

        Raises:
            ValueError: a pair, something that is not one text, or an option without a meaning.
        """
        if pair is not None or not isinstance(text, str):
            raise ValueError("StackedEmotionTokenizer.tokenize takes a single text, no pairs.")
        options = {**kwargs, "return_attention_mask": True}
        encoding = self(text, add_special_tokens=add_special_tokens, **options)  # type: ignore[operator]
        ids, mask = (
            np.asarray(encoding[key]).reshape(-1, len(self.encoder_names))[:, 0]
            for key in ("input_ids", "attention_mask")
        )
        return self.convert_ids_to_tokens(ids[mask == 1])

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

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """The text as the first encoder reads it.

        Args:
            token_ids: an id or (sequence,) ids of the first encoder, (sequence, encoders) ids of
                all, or a list or array of several (sequence, encoders).
            skip_special_tokens: leave them out.
            clean_up_tokenization_spaces: take the space away that stands before punctuation.
            **kwargs: what other tokenizers take; refused unless it asks for nothing.

        Returns:
            A text, or a list of texts for several.

        Raises:
            ValueError: the ids have another shape, or an option that a stack cannot honor.
        """
        check_options(kwargs)
        options = (skip_special_tokens, clean_up_tokenization_spaces)
        if _depth(token_ids) == 3:
            return [self.decode(ids, *options) for ids in token_ids]
        column = self._first_column(token_ids)
        ids = [column] if isinstance(column, int) else column
        text = self._first.decode(ids, skip_special_tokens=skip_special_tokens)
        return self.clean_up_tokenization(text) if clean_up_tokenization_spaces else text  # type: ignore[attr-defined]

    def batch_decode(self, sequences: Any, *args: Any, **kwargs: Any) -> list[str]:
        """`decode` of each of several (sequence, encoders) ids, with the same options."""
        return [self.decode(ids, *args, **kwargs) for ids in sequences]

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
        """Refused, as `add_tokens`; but `{"pad_token": token}` sets the first encoder's padding."""
        if set(special_tokens_dict) == {"pad_token"}:
            self.pad_token = special_tokens_dict["pad_token"]
            return 0
        return self.add_tokens(special_tokens_dict, special_tokens=True)

    def apply_chat_template(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: texts are classified one by one."""
        raise NotImplementedError("A stack reads single texts: call the tokenizer with a message.")

    def get_special_tokens_mask(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: see `word_index`."""
        raise NotImplementedError(
            "Call the tokenizer and use word_index: it is 0 for special tokens, padding and prefix."
        )


def _depth(ids: Any) -> int:
    """Number of axes of ids, which may be ragged lists."""
    depth = 0
    while ids is not None and not np.isscalar(ids) and (not hasattr(ids, "ndim") or ids.ndim):
        depth += 1
        if not len(ids):
            break
        ids = ids[0]
    return depth
