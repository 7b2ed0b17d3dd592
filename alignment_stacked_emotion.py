"""Aligned encoder inputs: several tokenizers read the same texts and agree on the words.

Every encoder's tokenizer reads the text as its authors meant, and each of its sub-words is assigned
to the word it overlaps most. Nothing here needs torch or transformers, so an ONNX Runtime process
runs the same code as the model.

Arrays are (texts, sequence, encoders) unless said otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from .words_stacked_emotion import (
    EncoderText,
    WordSpan,
    assign_words,
    cut_words,
    flat_pairs,
)

_SURROGATES = re.compile("[\ud800-\udfff]")


class AlignedBatch(NamedTuple):
    """Texts as all encoders read them.

    Attributes:
        input_ids: (texts, sequence, encoders) int64 token ids, padded to the longest row.
        attention_mask: 1 for tokens, 0 for padding, same shape.
        word_index: 1..words, 0 for special tokens, padding and what belongs to no word, same shape.
        lengths: (texts,) int64 positions each text needs.
        truncated: (texts,) bool, whether part of the text was not read.
        words: the `(start, end)` characters of the words read, for each text.
    """

    input_ids: np.ndarray
    attention_mask: np.ndarray
    word_index: np.ndarray
    lengths: np.ndarray
    truncated: np.ndarray
    words: list[list[WordSpan]]

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The model's inputs by name."""
        return {name: getattr(self, name) for name in INPUTS}

    @property
    def word_counts(self) -> np.ndarray:
        """(texts,) int64 number of words read."""
        return np.fromiter(map(len, self.words), np.int64, len(self.words))

    @property
    def has_words(self) -> np.ndarray:
        """(texts,) bool, whether an encoder reads any word of the text."""
        return np.asarray(self.word_index.any((1, 2)))

    def rows(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The model's inputs of some texts, cut to the longest of them."""
        longest = int(self.lengths[rows].max(initial=1))
        return {name: values[rows, :longest] for name, values in self.arrays.items()}


INPUTS = AlignedBatch._fields[:3]


@dataclass
class _Column:
    """One encoder's sub-words of a batch, all rows one after another.

    `ids`, `words`, `starts` and `ends` (the raw text covered, 0 to 0 for none) are (sub-words,),
    `lengths` is (batch,).
    """

    ids: np.ndarray
    words: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    lengths: np.ndarray

    def keep(self, mask: np.ndarray) -> None:
        rows = np.repeat(np.arange(len(self.lengths)), self.lengths)
        self.lengths = np.bincount(rows[mask], minlength=len(self.lengths))
        self.ids, self.words = self.ids[mask], self.words[mask]


class AlignedBatchEncoder:
    """Several fast tokenizers that read the same texts and agree on where the words are.

    Args:
        tokenizers: one `tokenizers.Tokenizer` per encoder, in the order of the stack. They are
            used without their own truncation and padding.
        encoder_texts: how each encoder reads a text, in the same order.
        pad_ids: the padding id of each encoder, in the same order.
        max_length: positions an encoder may use, for callers that have no other limit.
    """

    def __init__(
        self,
        tokenizers: Sequence[Any],
        encoder_texts: Sequence[EncoderText],
        pad_ids: Sequence[int],
        max_length: int = 128,
    ) -> None:
        self.tokenizers = list(tokenizers)
        self.encoder_texts = list(encoder_texts)
        self.pad_ids = list(pad_ids)
        self.max_length = max_length
        self.specials: list[int] = []
        self.closing: list[int] = []
        for tokenizer in self.tokenizers:
            tokenizer.no_truncation()
            tokenizer.no_padding()
            specials = len(tokenizer.encode("").ids)
            mask = tokenizer.encode("a").special_tokens_mask[::-1][:specials]
            self.specials.append(specials)
            self.closing.append(mask.index(0) if 0 in mask else len(mask))

    @classmethod
    def from_settings(
        cls, settings: Mapping[str, Any], backends: Mapping[str, Any]
    ) -> AlignedBatchEncoder:
        """Build it from the arguments of `StackedEmotionTokenizer`.

        Args:
            settings: `encoder_names`, `encoder_pad_ids`, `model_max_length` and, if wanted,
                `encoder_prefixes`, `placeholders`, `normalization`.
            backends: a `tokenizers.Tokenizer` for each name.
        """
        names = settings["encoder_names"]
        prefixes = settings.get("encoder_prefixes") or {}
        placeholders = settings.get("placeholders") or {}
        normalization = settings.get("normalization") or ()
        return cls(
            [backends[name] for name in names],
            [
                EncoderText(prefixes.get(name, ""), placeholders.get(name), normalization)
                for name in names
            ],
            [settings["encoder_pad_ids"][name] for name in names],
            settings["model_max_length"],
        )

    def encode(
        self, texts: Sequence[str], max_length: int | None, add_special_tokens: bool = True
    ) -> AlignedBatch:
        """Encode texts for all encoders.

        A text that is too long loses whole words at its end, from the first one that does not fit
        every encoder, so that all encoders see the same words. A word that could not fit even
        alone is cut at its sub-words instead. `sequence >= words + 1` always holds.

        Args:
            texts: raw texts; unpaired surrogates are read as U+FFFD.
            max_length: most positions an encoder may use, special tokens and prefix included;
                None for no limit.
            add_special_tokens: let each tokenizer add its own.

        Raises:
            ValueError: `max_length` leaves no room for text.
        """
        closing = self.closing if add_special_tokens else [0] * len(self.tokenizers)
        if max_length is not None:
            least = max([2, *(count + 1 for count in self.specials if add_special_tokens)])
            if max_length < least:
                raise ValueError(
                    f"max_length={max_length} leaves no room for text; it must be at least {least}."
                )
        read = [_read(text, max_length) for text in texts]
        columns = [
            self._encode_one(index, read, add_special_tokens)
            for index in range(len(self.tokenizers))
        ]
        truncated = np.array([text.shortened for text in read], bool)
        kept = np.fromiter((len(text.spans) for text in read), np.int64, len(read))
        if max_length is not None:
            _truncate(columns, [text.spans for text in read], max_length, closing, kept, truncated)
        lengths = np.max([kept + 1, *(column.lengths for column in columns)], axis=0)
        words = [text.words[:count] for text, count in zip(read, kept.tolist(), strict=True)]
        return AlignedBatch(*self._stack(columns, lengths), lengths, truncated, words)

    def _encode_one(
        self, index: int, texts: Sequence[_ReadText], add_special_tokens: bool
    ) -> _Column:
        """What one encoder reads, all rows one after another."""
        reader = self.encoder_texts[index]
        inputs: list[str] = []
        maps: dict[int, np.ndarray] = {}
        for row, text in enumerate(texts):
            changed, mapping = reader.apply(text.text)
            inputs.append(changed)
            if mapping is not None:
                maps[row] = mapping
        encodings = self.tokenizers[index].encode_batch(
            inputs, add_special_tokens=add_special_tokens
        )
        rows_of_ids = [encoding.ids for encoding in encodings]
        lengths = np.fromiter(map(len, rows_of_ids), np.int64, len(rows_of_ids))
        ids = np.fromiter(chain.from_iterable(rows_of_ids), np.int64, int(lengths.sum()))
        starts, ends = flat_pairs([encoding.offsets for encoding in encodings]).T
        # Offsets count the characters of what the tokenizer was given. What lies in the prefix
        # covers no text; the rest moves to the raw text, through the mapping where there is one.
        prefix = len(reader.prefix)
        covers = (ends > starts) & (ends > prefix)
        starts, ends = np.maximum(starts, prefix) - prefix, ends - prefix
        edges = np.concatenate([[0], np.cumsum(lengths)])
        for row, mapping in maps.items():
            places = edges[row] + np.flatnonzero(covers[edges[row] : edges[row + 1]])
            starts[places] = mapping[starts[places] + prefix, 0]
            ends[places] = mapping[ends[places] + prefix - 1, 1]
        starts[~covers] = 0
        ends[~covers] = 0
        rows = np.repeat(np.arange(len(texts)), lengths)
        words = assign_words(starts, ends, rows, [text.spans for text in texts])
        return _Column(ids, words, starts, ends, lengths)

    def _stack(
        self, columns: list[_Column], lengths: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pad the columns and put them side by side, encoder axis last."""
        batch, sequence = len(lengths), int(lengths.max(initial=1))
        shape = (batch, sequence, len(columns))
        input_ids = np.empty(shape, np.int64)
        input_ids[:] = self.pad_ids
        attention_mask = np.zeros(shape, np.int64)
        word_index = np.zeros(shape, np.int64)
        places = np.arange(sequence)
        for index, column in enumerate(columns):
            filled = places < column.lengths[:, None]
            input_ids[:, :, index][filled] = column.ids
            word_index[:, :, index][filled] = column.words
            filled[:, 0] = True  # a text without any token still shows its encoder one position
            attention_mask[:, :, index] = filled
        return input_ids, attention_mask, word_index


class _ReadText(NamedTuple):
    """A raw text as it goes to the tokenizers.

    `text` is what is read and `spans` its words, `words` the same words in the raw text,
    `shortened` whether something of the raw text is missing.
    """

    text: str
    spans: list[WordSpan]
    words: list[WordSpan]
    shortened: bool


def _read(raw: str, max_length: int | None) -> _ReadText:
    """Cut a text into words, at most as many as there are positions for.

    The work has a bound, however long the text. A word, or a run of white space, is read up to 16
    characters per position, all words together up to 64, and the raw text up to 512 (and never
    less than the same for 64 positions). What fits is not changed by it, unless its sub-words are
    longer than 16 characters on average, or its first 512 characters per position are nearly all
    white space or marks that a tokenizer drops.
    """
    if max_length is None:
        text = _without_surrogates(raw)
        spans = cut_words(text)
        return _ReadText(text, spans, spans, False)
    limit, longest = max_length - 1, 16 * max(max_length, 64)
    text = _without_surrogates(raw[: 32 * longest])
    spans = cut_words(text, limit + 1)
    more = len(spans) > limit or not (raw[len(text) :] or " ").isspace()
    del spans[limit:]
    if len(spans) == limit:
        text = text[: spans[-1][1]]
    if len(text) <= longest:
        return _ReadText(text, spans, spans, more)
    short, read = _shorten(text, spans, longest)
    cut = any(own[1] - own[0] < end - start for own, (start, end) in zip(read, spans, strict=False))
    return _ReadText(short, read, spans[: len(read)], more or cut or len(read) < len(spans))


def _shorten(text: str, spans: list[WordSpan], longest: int) -> tuple[str, list[WordSpan]]:
    """A text without what exceeds `longest` characters of a word or of the white space before it.

    Returns:
        The text up to the word at which it exceeds `4 * longest` characters, and its words.
    """
    pieces: list[str] = []
    read: list[WordSpan] = []
    position = length = 0
    for start, end in spans:
        space, word = text[max(position, start - longest) : start], text[start:end][:longest]
        if read and length + len(space) + len(word) > 4 * longest:
            return "".join(pieces), read
        pieces += [space, word]
        length += len(space) + len(word)
        read.append((length - len(word), length))
        position = end
    return "".join([*pieces, text[position:][:longest]]), read


def _without_surrogates(text: str) -> str:
    """The text with unpaired surrogates, which have no UTF-8 form, as U+FFFD."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return _SURROGATES.sub("\ufffd", text)
    return text


def _truncate(
    columns: list[_Column],
    spans: list[list[WordSpan]],
    max_length: int,
    closing: Sequence[int],
    kept: np.ndarray,
    truncated: np.ndarray,
) -> None:
    """Shorten, in place, the rows that are too long for any encoder.

    The last `closing` sub-words of each encoder are its closing special tokens, which stay.
    `kept` (batch,) words and `truncated` (batch,) are set for the rows shortened.
    """
    too_long = np.flatnonzero(np.any([column.lengths > max_length for column in columns], axis=0))
    if not len(too_long):
        return
    masks = [np.ones(len(column.ids), bool) for column in columns]
    edges = [np.concatenate([[0], np.cumsum(column.lengths)]) for column in columns]
    for row in too_long:
        bodies = [
            slice(edge[row], edge[row + 1] - last)
            for edge, last in zip(edges, closing, strict=True)
        ]
        room = [max_length - last for last in closing]
        cut = False
        for column, body, mask, places in zip(columns, bodies, masks, room, strict=True):
            mask[body] = _without_what_never_fits(column.words[body], column.ends[body], places)
            cut |= bool((~mask[body] & (column.words[body] > 0)).any())
        # The words kept are those that now lie before the end of the room of every encoder.
        keep = len(spans[row])
        for column, body, mask, places in zip(columns, bodies, masks, room, strict=True):
            beyond = column.words[body][mask[body]][places:]
            keep = min(keep, int(beyond[beyond > 0].min(initial=keep + 1)) - 1)
        end = spans[row][keep - 1][1] if keep else 0
        for column, body, mask, places in zip(columns, bodies, masks, room, strict=True):
            starts, ends = column.starts[body], column.ends[body]
            words = column.words[body]
            # A sub-word that reaches over the end of the last word kept belongs to what is left.
            if ((words > keep) & (starts < end)).any():
                rows = np.zeros(len(ends), np.int64)
                words[:] = assign_words(starts, ends, rows, [spans[row][:keep]])
            dropped = mask[body] & ((words > keep) | ((words == 0) & (ends > end)))
            mask[body] &= np.cumsum(dropped) == 0
            mask[body] &= np.cumsum(mask[body]) <= places
        truncated[row] |= cut or keep < len(spans[row])
        kept[row] = keep
    for column, mask in zip(columns, masks, strict=True):
        column.keep(mask)


def _without_what_never_fits(words: np.ndarray, ends: np.ndarray, room: int) -> np.ndarray:
    """Which sub-words of one row of one encoder stay so that its first word fits.

    A word with more sub-words than all room there is gets cut. It takes the room that the rest of
    the text leaves, or half of all room if that is more, as far as the words before it leave any.
    A prefix, and white space in front of the first word, give way if nothing else helps.

    Args:
        words: (sub-words,) the word of each, without the closing special tokens.
        ends: (sub-words,) raw end of the text covered, 0 for special tokens and prefix.
        room: positions there are.

    Returns:
        (sub-words,) bool.
    """
    keep = np.ones(len(words), bool)
    if len(words) <= room or not words.any():
        return keep
    lead = int(np.argmax(ends > 0))  # special tokens and prefix come before it
    keep[room - 1 : lead] = False  # none of them, unless they leave no position
    room = max(room - lead, 1)  # from here on, positions for the text itself
    first = int(np.argmax(words > 0))
    sizes = np.bincount(words)
    sizes[0] = 0
    if first - lead + sizes[words[first]] > room:
        keep[lead:first] = False
    giants = np.flatnonzero(sizes > room)
    rest = int(keep[lead:].sum() - sizes[giants].sum())
    share = max((room - rest) // max(len(giants), 1), room // 2, 1)
    for giant in giants:
        own = np.flatnonzero(words == giant)  # its sub-words; those before them keep their places
        left = room - int(keep[lead : own[0]].sum())
        keep[own[max(min(share, left), 0) :]] = False
    return keep


def pad_rows(rows: Sequence[np.ndarray], length: int, fill: Sequence[int] | int = 0) -> np.ndarray:
    """Pad (sequence, encoders) rows on the right to (batch, length, encoders).

    Args:
        rows: int arrays of one width.
        length: the length to pad to, at least that of the longest row.
        fill: the value to pad with, one for all encoders or one per encoder.
    """
    out = np.empty((len(rows), length, rows[0].shape[1]), np.int64)
    out[:] = fill
    for row, values in enumerate(rows):
        out[row, : len(values)] = values
    return out
