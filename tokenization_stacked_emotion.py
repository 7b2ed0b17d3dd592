"""Tokenizer of the stack: several fast tokenizers that agree on where the words are."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tokenizers
from transformers import AutoTokenizer, BatchEncoding, PreTrainedTokenizerBase
from transformers.tokenization_utils_base import TruncationStrategy
from transformers.utils import PaddingStrategy, cached_file, logging

from .dynamic_modules_stacked_emotion import findable
from .padding_stacked_emotion import (
    check_options,
    check_settings_of_others,
    check_texts,
    pad_batch,
    pad_encodings,
)
from .tokenizer_files_stacked_emotion import (
    check_settings,
    read_tokenizers,
    take_backend,
    write_tokenizers,
)
from .vocabulary_stacked_emotion import SETTINGS, StackedVocabulary
from .words_stacked_emotion import WordSpan

logger = logging.get_logger(__name__)

_HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "token", "revision")
_PRIVATE_OPTIONS = ("_from_auto", "_commit_hash", "code_revision", "use_fast", "config")


@findable
class StackedEmotionTokenizer(StackedVocabulary, PreTrainedTokenizerBase):
    """N fast tokenizers in one, which cut the same text into the same words.

    Each encoder's tokenizer reads the raw text. A sub-word belongs to the word it overlaps most.
    Truncation is on by default. It drops whole words, from the first that does not fit every
    encoder. A word that could not fit even alone is cut at its sub-words instead, so that something
    of every text is read.

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
        normalization: shared normalization, any of `diacritics`, `tatweel`, `elongation`.
        model_max_length: positions an encoder may use, special tokens and prefix included.
        pad_token: the padding token of the first encoder, in place of its id in `encoder_pad_ids`.
        **kwargs: settings of other tokenizers; refused unless they ask for nothing.

    The settings are attributes; those after `backends` may be set later and act at once.

    Raises:
        ValueError: a name, prefix, placeholder or normalization that does not fit the encoders, or
            a setting that a stack cannot honor.

    Example:
        >>> from stacked_emotion import StackedEmotionTokenizer
        >>> tokenizer = StackedEmotionTokenizer.from_tokenizers(
        ...     {"marbert": "UBC-NLP/MARBERT", "arabert": "aubmindlab/bert-base-arabertv02-twitter"}
        ... )
        >>> batch = tokenizer(["فرحان جدا", "يوم حزين"], padding=True, return_tensors="pt")
        >>> batch["input_ids"].shape  # (texts, sub-words, encoders)
        torch.Size([2, ..., 2])
    """

    model_input_names = ["input_ids", "attention_mask", "word_index"]  # noqa: RUF012
    vocab_files_names: dict[str, str] = {}  # noqa: RUF012
    _auto_class = "AutoTokenizer"
    is_fast = False

    def __init__(
        self,
        encoder_names: Sequence[str],
        backends: Mapping[str, tokenizers.Tokenizer],
        encoder_pad_ids: Mapping[str, int],
        encoder_prefixes: Mapping[str, str] | None = None,
        placeholders: Mapping[str, Mapping[str, str]] | None = None,
        normalization: Sequence[str] = (),
        model_max_length: int = 128,
        pad_token: str | None = None,
        **kwargs: Any,
    ) -> None:
        settings = check_settings(
            {
                "encoder_names": list(encoder_names),
                "encoder_prefixes": encoder_prefixes,
                "placeholders": placeholders,
                "normalization": list(normalization),
                "encoder_pad_ids": encoder_pad_ids,
                "model_max_length": model_max_length,
            }
        )
        names = settings["encoder_names"]
        if set(backends) != set(names):
            raise ValueError(
                f"backends are given for {sorted(backends)}, but encoder_names are {names}."
            )
        super().__init__(**kwargs)
        check_settings_of_others(kwargs)
        self.backends = {name: backends[name] for name in names}
        self._use(settings)
        if pad_token is not None:
            self.pad_token = pad_token

    def __reduce__(self) -> tuple[Any, ...]:
        states = {name: backend.to_str() for name, backend in self.backends.items()}
        settings = self._settings() | {"name_or_path": self.name_or_path}
        return (_rebuild, (type(self), settings, states))

    # Building, saving and loading

    @classmethod
    def from_tokenizers(
        cls,
        sources: Mapping[str, str | os.PathLike[str] | PreTrainedTokenizerBase],
        model_max_length: int = 128,
        **kwargs: Any,
    ) -> StackedEmotionTokenizer:
        """Stack tokenizers, given as Hub IDs, folders or loaded fast tokenizers.

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
            backends[name], encoder_pad_ids[name] = take_backend(name, tokenizer)
            limits.append(tokenizer.model_max_length)
        return cls(list(sources), backends, encoder_pad_ids, model_max_length=min(limits), **kwargs)

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

        Raises:
            ValueError: `filename_prefix` or `legacy_format`, or the folder is a file.
        """
        from transformers.dynamic_module_utils import custom_object_save

        folder = Path(save_directory)
        for option in ("filename_prefix", "legacy_format"):
            if kwargs.pop(option, None):
                raise ValueError(f"save_pretrained has one format and no option {option!r}.")
        if folder.is_file():
            raise ValueError(f"{folder} is a file; save_pretrained needs a folder.")
        settings = self._settings() | {
            "tokenizer_class": "StackedEmotionTokenizer",
            "auto_map": {"AutoTokenizer": [f"{_module_name()}.StackedEmotionTokenizer", None]},
            "vocab_sizes": self.vocab_sizes,
            "pad_token": self.pad_token,
        }
        written = write_tokenizers(folder, settings, self.backends)
        written += custom_object_save(self, folder)
        if push_to_hub:
            self.push_to_hub(kwargs.pop("repo_id", folder.name), **kwargs)
        return tuple(str(path) for path in written)

    def _upload_modified_files(
        self, working_dir: Any, repo_id: str, files_timestamps: Any, **options: Any
    ) -> Any:
        """Upload a whole folder for `push_to_hub`; transformers' own looks one level deep only."""
        from huggingface_hub import HfApi

        api = HfApi(token=options.pop("token", None))
        options["commit_message"] = options.get("commit_message") or "Upload tokenizer"
        revision = options.get("revision")
        if revision and not revision.startswith("refs/"):
            api.create_branch(repo_id, branch=revision, exist_ok=True)
        return api.upload_folder(repo_id=repo_id, folder_path=working_dir, **options)

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
            pretrained_model_name_or_path: a folder written by `save_pretrained`, or a Hub ID.
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
        if kwargs.pop("_from_pipeline", None):  # which passes on the options of the model, too
            kwargs = {key: value for key, value in kwargs.items() if key in SETTINGS}
        location = str(pretrained_model_name_or_path)

        def fetch(name: str) -> str:
            return str(cached_file(location, name, subfolder=subfolder or "", **hub))

        settings, backends = read_tokenizers(fetch, location)
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
        for name, backend in self.backends.items():
            largest, rows = max(backend.get_vocab().values()), config.encoders[name].vocab_size
            if largest >= rows:
                raise ValueError(
                    f"The tokenizer of {name!r} has token ids up to {largest}, the model's encoder "
                    f"of that name {rows} embeddings; load both from one folder."
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
        return_attention_mask: bool | None = None,
        return_length: bool = False,
        return_truncated: bool = False,
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
            return_attention_mask: False leaves it out.
            return_length: add `length`, the positions each text needs.
            return_truncated: add `truncated`, whether part of each text was not read.
            return_word_offsets: add `word_offsets`, for each text the `(start, end)` characters of
                its words in the raw text (always lists).
            **kwargs: what other tokenizers take; refused unless it asks for nothing.

        Returns:
            `input_ids`, `attention_mask` and `word_index`: (batch, sequence, encoders), or
            (sequence, encoders) lists for a single text without `return_tensors`.

        Raises:
            ValueError: a text pair; something that is not a text, with its position; an option
                that a stack cannot honor.
        """
        if text_pair is not None:
            raise ValueError(
                "StackedEmotionTokenizer takes single texts: text pairs have no meaning for it."
            )
        check_options(kwargs)
        single = isinstance(text, str)
        texts = check_texts(text)
        limit = self.model_max_length if max_length is None else max_length
        strategy = TruncationStrategy(
            "longest_first" if truncation is True else truncation or "do_not_truncate"
        )
        if strategy == TruncationStrategy.ONLY_SECOND:
            raise ValueError("truncation='only_second' has no meaning: texts are single.")
        no_limit = strategy == TruncationStrategy.DO_NOT_TRUNCATE
        if max_length and pad_to_multiple_of and not no_limit and max_length % pad_to_multiple_of:
            raise ValueError(
                f"max_length={max_length} is not a multiple of "
                f"pad_to_multiple_of={pad_to_multiple_of}; padding would exceed it."
            )
        batch = self._encoder.encode(texts, None if no_limit else limit, add_special_tokens)
        rows = {
            name: [row[:length] for row, length in zip(values, batch.lengths, strict=True)]
            for name, values in batch.arrays.items()
            if name != "attention_mask" or return_attention_mask is not False
        }
        as_lists = return_tensors is None
        data = pad_batch(rows, self._encoder.pad_ids, padding, limit, pad_to_multiple_of, as_lists)
        if return_length:
            data["length"] = batch.lengths.tolist()
        if return_truncated:
            data["truncated"] = batch.truncated.tolist()
        first = single and as_lists
        if first:
            data = {name: values[0] for name, values in data.items()}
        encoding = BatchEncoding(data, tensor_type=return_tensors)
        if return_word_offsets:
            encoding.data["word_offsets"] = batch.words[0] if single else batch.words
        return encoding

    def encode(self, text: str, *args: Any, **kwargs: Any) -> Any:
        """The `input_ids` of a call with the same arguments, (sequence, encoders) for a text."""
        return self(text, *args, **kwargs)["input_ids"]

    def pad(
        self,
        encoded_inputs: Any,
        padding: bool | str | PaddingStrategy = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        return_tensors: str | None = None,
        return_attention_mask: bool | None = None,
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
            return_attention_mask: False leaves it out; True refuses encodings without one.
            **kwargs: what other tokenizers take; refused unless it asks for nothing.

        Raises:
            ValueError: encodings of another tokenizer, or an option that a stack cannot honor.
        """
        check_options(kwargs)
        limit = self.model_max_length if max_length is None else max_length
        batch = pad_encodings(
            encoded_inputs,
            self.model_input_names,
            self._encoder.pad_ids,
            padding,
            limit,
            pad_to_multiple_of,
            as_lists=not return_tensors,
        )
        if return_attention_mask and "attention_mask" not in batch:
            raise ValueError(
                "These encodings have no attention_mask, which cannot be made from input_ids: "
                "encode the texts without return_attention_mask=False."
            )
        if return_attention_mask is False:
            batch.pop("attention_mask", None)
        return BatchEncoding(batch, tensor_type=return_tensors)

    def word_offsets(self, text: str, max_length: int | None = None) -> list[WordSpan]:
        """The words of a text that the model sees, as `(start, end)` characters of it."""
        limit = self.model_max_length if max_length is None else max_length
        return self._encoder.encode(check_texts(text), limit).words[0]


def _module_name() -> str:
    return __name__.rsplit(".", 1)[-1]


def _rebuild(
    cls: type[StackedEmotionTokenizer], settings: dict[str, Any], states: dict[str, str]
) -> StackedEmotionTokenizer:
    backends = {name: tokenizers.Tokenizer.from_str(state) for name, state in states.items()}
    return cls(backends=backends, **settings)
