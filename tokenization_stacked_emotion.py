"""Tokenizer of the stack: several fast tokenizers that agree on where the words are."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from transformers import AutoTokenizer, BatchEncoding, PreTrainedTokenizerBase
from transformers.utils import PaddingStrategy, cached_file, logging

from .words_stacked_emotion import (
    NORMALISATIONS,
    PLACEHOLDERS,
    AlignedBatchEncoder,
    EncoderText,
    WordSpan,
    pad_rows,
)

logger = logging.get_logger(__name__)

_HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "token", "revision")
_PRIVATE_OPTIONS = ("_from_auto", "_from_pipeline", "_commit_hash", "code_revision", "use_fast")
_SETTINGS = "tokenizer_config.json"


class StackedEmotionTokenizer(PreTrainedTokenizerBase):
    """N fast tokenizers in one, which cut the same text into the same words.

    Each encoder's tokenizer reads the raw text. A sub-word belongs to the word it overlaps most.
    Truncation is on by default and drops whole words, from the first that does not fit every
    encoder.

    Calling it returns `input_ids`, `attention_mask` and `word_index`, each (batch, sequence,
    encoders). `word_index` is 1..words, and 0 for special tokens, padding, the prefix and
    sub-words that cover no word.

    Args:
        encoder_names: the encoders in the order of the stack; it is the order of the last axis.
        backends: a `tokenizers.Tokenizer` for each name.
        encoder_pad_ids: the padding id of each encoder, by name.
        encoder_prefixes: text put before every text for an encoder, by name (e5 wants `query: `).
        placeholders: what an encoder reads for user names and links, by name, for instance
            `{"arabert": {"user": "[مستخدم]", "link": "[رابط]"}}`.
        normalisation: shared normalisation, any of `diacritics`, `tatweel`, `elongation`.
        model_max_length: positions an encoder may use, special tokens and prefix included.

    Raises:
        ValueError: a name, prefix, placeholder or normalisation that does not fit the encoders.

    Example:
        >>> from stacked_emotion import StackedEmotionTokenizer
        >>> tokenizer = StackedEmotionTokenizer.from_tokenizers(
        ...     {"marbert": "UBC-NLP/MARBERT", "arabert": "aubmindlab/bert-base-arabertv02-twitter"}
        ... )  # doctest: +SKIP
    """

    model_input_names = ["input_ids", "attention_mask", "word_index"]  # noqa: RUF012
    vocab_files_names: dict[str, str] = {}  # noqa: RUF012
    padding_side = "right"
    _auto_class = "AutoTokenizer"
    is_fast = False

    def __init__(
        self,
        encoder_names: Sequence[str],
        backends: Mapping[str, tokenizers.Tokenizer],
        encoder_pad_ids: Mapping[str, int],
        encoder_prefixes: Mapping[str, str] | None = None,
        placeholders: Mapping[str, Mapping[str, str]] | None = None,
        normalisation: Sequence[str] = (),
        model_max_length: int = 128,
        **kwargs: Any,
    ) -> None:
        names = list(encoder_names)
        if not names:
            raise ValueError("encoder_names is empty: a stack needs at least one tokenizer.")
        for field, given in (("backends", backends), ("encoder_pad_ids", encoder_pad_ids)):
            if set(given) != set(names):
                raise ValueError(
                    f"{field} are given for {sorted(given)}, but encoder_names are {names}."
                )
        prefixes, places = dict(encoder_prefixes or {}), dict(placeholders or {})
        for field, keys in (("encoder_prefixes", set(prefixes)), ("placeholders", set(places))):
            if unknown := sorted(keys - set(names)):
                raise ValueError(f"{field} names {unknown}, which are not among {names}.")
        for name, place in places.items():
            if unknown := sorted(set(place) - set(PLACEHOLDERS)):
                raise ValueError(
                    f"placeholders[{name!r}] has {unknown}; known are {sorted(PLACEHOLDERS)}."
                )
        if unknown := sorted(set(normalisation) - set(NORMALISATIONS)):
            raise ValueError(f"normalisation has {unknown}; known are {list(NORMALISATIONS)}.")
        if kwargs.pop("padding_side", "right") != "right":
            raise ValueError("padding_side must be 'right' for StackedEmotionTokenizer.")
        for key in ("vocab_sizes", "auto_map", "tokenizer_class", "backend", "is_local"):
            kwargs.pop(key, None)
        self.encoder_names = names
        self.encoder_prefixes = {name: prefixes[name] for name in names if prefixes.get(name)}
        self.placeholders = {name: dict(places[name]) for name in names if places.get(name)}
        self.normalisation = list(normalisation)
        self.encoder_pad_ids = {name: int(encoder_pad_ids[name]) for name in names}
        self.backends = {name: backends[name] for name in names}
        self._build_encoder()
        pad_token = self.backends[names[0]].id_to_token(self.encoder_pad_ids[names[0]])
        kwargs["pad_token"] = pad_token or "[PAD]"
        super().__init__(model_max_length=model_max_length, **kwargs)
        self.init_kwargs: dict[str, Any] = {}

    def _build_encoder(self) -> None:
        self._encoder = AlignedBatchEncoder(
            [self.backends[name] for name in self.encoder_names],
            [
                EncoderText(
                    self.encoder_prefixes.get(name, ""),
                    self.placeholders.get(name),
                    self.normalisation,
                )
                for name in self.encoder_names
            ],
            [self.encoder_pad_ids[name] for name in self.encoder_names],
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> StackedEmotionTokenizer:
        settings = copy.deepcopy(self._settings())
        backends = {
            name: tokenizers.Tokenizer.from_str(backend.to_str())
            for name, backend in self.backends.items()
        }
        return type(self)(backends=backends, **settings)

    def __reduce__(self) -> tuple[Any, ...]:
        states = {name: backend.to_str() for name, backend in self.backends.items()}
        return (_rebuild, (type(self), self._settings(), states))

    # Building, saving and loading

    @classmethod
    def from_tokenizers(
        cls,
        sources: Mapping[str, str | os.PathLike[str] | PreTrainedTokenizerBase],
        model_max_length: int = 128,
        **kwargs: Any,
    ) -> StackedEmotionTokenizer:
        """Stack tokenizers, given as Hub ids, folders or loaded fast tokenizers.

        Args:
            sources: a tokenizer for each encoder name; their order is the order of the stack.
            model_max_length: see the class; lowered to the smallest limit of a tokenizer.
            **kwargs: arguments of the class, and `revision`, `token`, `cache_dir`,
                `local_files_only`, `force_download` for the loading.

        Raises:
            ValueError: a tokenizer is not a fast one, or has no padding token.
        """
        hub = {key: kwargs.pop(key) for key in _HUB_OPTIONS if key in kwargs}
        backends, encoder_pad_ids, limits = {}, {}, [model_max_length]
        for name, source in sources.items():
            tokenizer = (
                source
                if isinstance(source, PreTrainedTokenizerBase)
                else AutoTokenizer.from_pretrained(source, **hub)
            )
            backend = getattr(tokenizer, "backend_tokenizer", None)
            if backend is None:
                raise ValueError(
                    f"The tokenizer of {name!r} ({type(tokenizer).__name__}) is not a fast one; "
                    "convert it so that it has a tokenizer.json."
                )
            if tokenizer.pad_token_id is None:
                raise ValueError(
                    f"The tokenizer of {name!r} has no padding token; set pad_token before "
                    "stacking it."
                )
            backends[name] = tokenizers.Tokenizer.from_str(backend.to_str())
            encoder_pad_ids[name] = tokenizer.pad_token_id
            limits.append(tokenizer.model_max_length)
        return cls(list(sources), backends, encoder_pad_ids, model_max_length=min(limits), **kwargs)

    def _settings(self) -> dict[str, Any]:
        return {
            "encoder_names": self.encoder_names,
            "encoder_prefixes": self.encoder_prefixes,
            "placeholders": self.placeholders,
            "normalisation": self.normalisation,
            "encoder_pad_ids": self.encoder_pad_ids,
            "model_max_length": self.model_max_length,
        }

    def save_pretrained(
        self, save_directory: str | os.PathLike[str], push_to_hub: bool = False, **kwargs: Any
    ) -> tuple[str, ...]:
        """Write `tokenizer_config.json`, `tokenizers/<name>/tokenizer.json` and the code files.

        Args:
            save_directory: the folder; made if it is not there.
            push_to_hub: upload what was written, to `repo_id` (by default the folder's name).
            **kwargs: `repo_id`, `token`, `commit_message` and so on, for the upload.

        Returns:
            The paths of the files written.
        """
        from transformers.dynamic_module_utils import custom_object_save

        folder = Path(save_directory)
        if folder.is_file():
            raise ValueError(f"{folder} is a file; save_pretrained needs a folder.")
        if push_to_hub:
            repo_id = kwargs.pop("repo_id", folder.name)
            return self.push_to_hub(repo_id, **kwargs)
        settings = self._settings() | {
            "tokenizer_class": "StackedEmotionTokenizer",
            "auto_map": {"AutoTokenizer": [f"{_module_name()}.StackedEmotionTokenizer", None]},
            "vocab_sizes": self.vocab_sizes,
            "pad_token": self.pad_token,
        }
        written = []
        for name, backend in self.backends.items():
            target = folder / "tokenizers" / name / "tokenizer.json"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(backend.to_str(pretty=False), encoding="utf-8")
            written.append(target)
        target = folder / _SETTINGS
        target.write_text(
            json.dumps(settings, indent=2, ensure_ascii=False, sort_keys=True) + "\n",
            encoding="utf-8",
        )
        written.append(target)
        written += custom_object_save(self, folder)
        return tuple(str(path) for path in written)

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *init_inputs: Any,
        subfolder: str | None = None,
        trust_remote_code: bool | None = None,
        **kwargs: Any,
    ) -> StackedEmotionTokenizer:
        """Load from a folder or a Hub repository.

        Args:
            pretrained_model_name_or_path: a folder written by `save_pretrained`, or a Hub id.
            *init_inputs: not used.
            subfolder: the folder within the repository.
            trust_remote_code: accepted, as every `from_pretrained` does; this class loads no code.
            **kwargs: `revision`, `token`, `cache_dir`, `local_files_only`, `force_download`; and
                arguments of the class that replace the saved ones.

        Raises:
            OSError: a file is missing, or is not what `save_pretrained` wrote.
        """
        hub = {key: kwargs.pop(key) for key in _HUB_OPTIONS if key in kwargs}
        hub = {key: value for key, value in hub.items() if value is not None}
        for key in _PRIVATE_OPTIONS:
            kwargs.pop(key, None)
        location = str(pretrained_model_name_or_path)

        def fetch(name: str) -> str:
            return str(cached_file(location, name, subfolder=subfolder or "", **hub))

        try:
            settings = json.loads(Path(fetch(_SETTINGS)).read_text(encoding="utf-8"))
            names = settings["encoder_names"]
        except (ValueError, KeyError) as error:
            raise OSError(
                f"{_SETTINGS} of {location} is not that of a StackedEmotionTokenizer "
                f"({type(error).__name__}: {error})."
            ) from error
        known = set(settings) - {"tokenizer_class", "auto_map", "vocab_sizes", "pad_token"}
        settings = {key: settings[key] for key in known}
        backends = {}
        for name in names:
            file = fetch(f"tokenizers/{name}/tokenizer.json")
            try:
                backends[name] = tokenizers.Tokenizer.from_file(file)
            except Exception as error:  # the Rust library raises bare Exception
                raise OSError(
                    f"tokenizers/{name}/tokenizer.json of {location} cannot be read ({error}); "
                    "download or save it again."
                ) from error
        kwargs.pop("name_or_path", None)
        return cls(backends=backends, name_or_path=location, **(settings | kwargs))

    def check_model(self, config: Any) -> None:
        """Refuse a model that was made for other tokenizers.

        Args:
            config: the `StackedEmotionConfig` of the model.

        Raises:
            ValueError: other encoders, another order, or an embedding matrix that is too small.
        """
        if list(config.encoder_names) != self.encoder_names:
            raise ValueError(
                f"The tokenizer is made for the encoders {self.encoder_names} in this order, the "
                f"model for {list(config.encoder_names)}; load both from one folder."
            )
        for name, size in self.vocab_sizes.items():
            rows = config.encoders[name].vocab_size
            if size > rows:
                raise ValueError(
                    f"The tokenizer of {name!r} has {size} tokens, the model's encoder of that "
                    f"name {rows} embeddings; load both from one folder."
                )

    # Encoding

    def __call__(
        self,
        text: str | Sequence[str] | None = None,
        text_pair: Any = None,
        add_special_tokens: bool = True,
        padding: bool | str | PaddingStrategy = False,
        truncation: bool | str | None = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        return_tensors: str | None = None,
        return_word_offsets: bool = False,
        **kwargs: Any,
    ) -> BatchEncoding:
        """Encode one text or a list of texts.

        Args:
            text: a text, or a list of them.
            text_pair: refused; an emotion belongs to one text.
            add_special_tokens: let each tokenizer add its own.
            padding: False, True or "longest", "max_length".
            truncation: True by default; False lets texts grow beyond `max_length`.
            max_length: positions an encoder may use; by default `model_max_length`.
            pad_to_multiple_of: pad the sequence to a multiple of this.
            return_tensors: "pt", "np" or None for lists.
            return_word_offsets: add `word_offsets`, for each text the `(start, end)` characters of
                its words in the raw text (always lists).
            **kwargs: what other tokenizers take and has no meaning here is ignored.

        Returns:
            `input_ids`, `attention_mask` and `word_index`: (batch, sequence, encoders), or
            (sequence, encoders) lists for a single text without `return_tensors`.

        Raises:
            ValueError: a text pair, or something that is not a text, with its position.
        """
        if text_pair is not None or kwargs.get("text_target") is not None:
            raise ValueError(
                "StackedEmotionTokenizer takes single texts: text pairs have no meaning for it."
            )
        single = isinstance(text, str)
        texts = self._check_texts(text)
        limit = self.model_max_length if max_length is None else max_length
        no_limit = truncation is False or truncation in (None, "do_not_truncate")
        arrays, lengths, spans = self._encoder.encode(
            texts, None if no_limit else limit, add_special_tokens
        )
        padded = PaddingStrategy("longest" if padding is True else padding or "do_not_pad")
        longest = int(lengths.max(initial=1))
        target = longest
        if padded == PaddingStrategy.MAX_LENGTH:
            target = max(limit, longest)
        if pad_to_multiple_of and padded != PaddingStrategy.DO_NOT_PAD:
            target = -(-target // pad_to_multiple_of) * pad_to_multiple_of
        if target > longest:
            arrays = {
                name: pad_rows(list(values), target, self._fill(name))
                for name, values in arrays.items()
            }
        if padded == PaddingStrategy.DO_NOT_PAD and len(set(lengths.tolist())) > 1:
            if return_tensors is not None:
                raise ValueError(
                    "These texts have different lengths and cannot make one tensor: pass "
                    "padding=True, or return_tensors=None."
                )
            ragged: dict[str, Any] = {
                name: [row[:length].tolist() for row, length in zip(values, lengths, strict=True)]
                for name, values in arrays.items()
            }
        elif return_tensors is None:
            ragged = {name: values.tolist() for name, values in arrays.items()}
        else:
            ragged = dict(arrays)
        if single and return_tensors is None:
            ragged = {name: values[0] for name, values in ragged.items()}
        encoding = BatchEncoding(ragged, tensor_type=return_tensors)
        if return_word_offsets:
            encoding.data["word_offsets"] = spans[0] if single else spans
        return encoding

    def _check_texts(self, text: Any) -> list[str]:
        if isinstance(text, str):
            return [text]
        if not isinstance(text, Sequence | np.ndarray):
            raise ValueError(f"text must be a str or a list of str, not {type(text).__name__}.")
        texts = list(text)
        for position, item in enumerate(texts):
            if not isinstance(item, str):
                raise ValueError(
                    f"text[{position}] is {type(item).__name__} ({item!r}), not str: drop the row "
                    "or turn it into a text."
                )
        if not texts:
            raise ValueError("text is an empty list: there is nothing to encode.")
        return texts

    def _fill(self, name: str) -> list[int] | int:
        if name != "input_ids":
            return 0
        return [self.encoder_pad_ids[encoder] for encoder in self.encoder_names]

    def pad(
        self,
        encoded_inputs: Any,
        padding: bool | str | PaddingStrategy = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        return_tensors: str | None = None,
        **kwargs: Any,
    ) -> BatchEncoding:
        """Pad encodings of single texts to one batch, as collators ask for.

        Args:
            encoded_inputs: a list of encodings, or one mapping of lists; other keys (labels) are
                kept as they are.
            padding: True or "longest", "max_length" or False.
            max_length: the length for "max_length"; by default `model_max_length`.
            pad_to_multiple_of: pad the sequence to a multiple of this.
            return_tensors: "pt", "np" or None for lists.
            **kwargs: ignored.
        """
        if not isinstance(encoded_inputs, Mapping):
            rows = list(encoded_inputs)
            encoded_inputs = {key: [row[key] for row in rows] for key in rows[0]}
        batch: dict[str, Any] = dict(encoded_inputs)
        if "input_ids" not in batch:
            raise ValueError(f"pad needs input_ids; these encodings have {sorted(batch)}.")
        arrays = {
            name: [np.asarray(row, np.int64) for row in batch[name]]
            for name in self.model_input_names
            if name in batch
        }
        single = arrays["input_ids"][0].ndim == 1
        if single:
            arrays = {name: [np.stack(rows)] for name, rows in arrays.items()}
        longest = max(len(row) for row in arrays["input_ids"])
        strategy = PaddingStrategy("longest" if padding is True else padding or "do_not_pad")
        if strategy == PaddingStrategy.MAX_LENGTH:
            longest = max(longest, self.model_max_length if max_length is None else max_length)
        if pad_to_multiple_of:
            longest = -(-longest // pad_to_multiple_of) * pad_to_multiple_of
        for name, rows in arrays.items():
            if strategy == PaddingStrategy.DO_NOT_PAD:
                batch[name] = [row.tolist() for row in rows]
            else:
                padded = pad_rows(rows, longest, self._fill(name))
                batch[name] = padded if return_tensors else padded.tolist()
            if single:
                batch[name] = batch[name][0]
        return BatchEncoding(batch, tensor_type=return_tensors)

    def word_offsets(self, text: str, max_length: int | None = None) -> list[WordSpan]:
        """The words of a text that the model sees, as `(start, end)` characters of it."""
        limit = self.model_max_length if max_length is None else max_length
        return self._encoder.encode(self._check_texts(text), limit)[2][0]

    def encoder_tokens(self, text: str) -> dict[str, list[str]]:
        """The sub-words each encoder reads, by encoder name."""
        encoding = self(text)
        ids = np.asarray(encoding["input_ids"])
        mask = np.asarray(encoding["attention_mask"])
        return {
            name: [
                self.backends[name].id_to_token(int(token)) or ""
                for token in ids[mask[:, index] == 1, index]
            ]
            for index, name in enumerate(self.encoder_names)
        }

    # What PreTrainedTokenizerBase promises

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


def _module_name() -> str:
    return __name__.rsplit(".", 1)[-1]


def _rebuild(
    cls: type[StackedEmotionTokenizer], settings: dict[str, Any], states: dict[str, str]
) -> StackedEmotionTokenizer:
    backends = {name: tokenizers.Tokenizer.from_str(state) for name, state in states.items()}
    return cls(backends=backends, **settings)
