"""Words and aligned encoder inputs: the text side of the stack, in numpy.

Texts are cut once into words. Every encoder's tokenizer reads the text as its authors meant, and
each of its sub-words is assigned to the word it overlaps most. Nothing here needs torch or
transformers, so that an ONNX Runtime process runs the very same code as the model does.

Positions are characters (code points) of the raw text unless said otherwise.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

import numpy as np

_EMOJI = (
    "\u203c\u2049\u2122\u2139\u2194-\u21aa\u231a-\u23ff\u24c2\u25aa-\u27bf\u2934\u2935"
    "\u2b05-\u2b55\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
)
_JOINERS = "\u200d\ufe0e\ufe0f\u20e3\U000e0020-\U000e007f"
_PUNCTUATION = (
    "!-/:-@\\[-^`{-~\u00a1-\u00a9\u00ab\u00ac\u00ae-\u00b1\u00b4\u00b6-\u00b8\u00bb\u00bf\u00d7\u00f7"
    "\u055a-\u055f\u0589\u05be\u05c0\u05c3\u05f3\u05f4\u0606-\u060f\u061b\u061d-\u061f\u066a-\u066d"
    "\u06d4\u0964\u0965\u0e3f\u2010-\u2027\u2030-\u203b\u203d-\u2048\u204a-\u205e\u20a0-\u20c0"
    "\u2100-\u2121\u2123-\u2138\u213a-\u2193\u21ab-\u2319\u2400-\u24c1\u24c3-\u25a9\u27c0-\u2933"
    "\u2936-\u2b04\u2b56-\u2bff\u2e00-\u2e7f\u3001-\u3003\u3008-\u3020\u30fb\ufd3e\ufd3f\ufe10-\ufe19"
    "\ufe30-\ufe6f\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
)
_LETTERS = f"[^\\s{_EMOJI}{_PUNCTUATION}]"
_WORDS = re.compile(
    rf"https?://\S+|www\.\S+"
    rf"|[@#]?{_LETTERS}+(?:['’]{_LETTERS}+)*"
    rf"|[{_EMOJI}][{_EMOJI}{_JOINERS}]*"
    rf"|[{_PUNCTUATION}]+"
)
_MENTION = re.compile(r"(?<![\w@])@\w+")
_LINK = re.compile(r"https?://\S+|www\.\S+")
_NORMALIZATIONS = {
    "diacritics": (
        re.compile("[\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed]+"),
        "",
    ),
    "tatweel": (re.compile("\u0640+"), ""),
    "elongation": (re.compile(r"([^\W\d_])\1{2,}"), r"\1\1"),
}
NORMALIZATIONS = tuple(_NORMALIZATIONS)
PLACEHOLDERS = {"user": _MENTION, "link": _LINK}

WordSpan = tuple[int, int]


def cut_words(text: str, limit: int | None = None) -> list[WordSpan]:
    """Cut a text into words: at white space, then around emoji and punctuation.

    A run of emoji (with its joiners, skin tones and selectors) is one word, as is a run of
    punctuation, a link, and a mention or hashtag with its sign. Marks, joiners and control
    characters stay with the letters around them.

    Args:
        text: the raw text.
        limit: stop after this many words.

    Returns:
        `(start, end)` character spans in reading order; they never overlap.
    """
    spans: list[WordSpan] = []
    for match in _WORDS.finditer(text):
        if limit is not None and len(spans) == limit:
            break
        spans.append(match.span())
    return spans


def _substitute(
    text: str, pattern: re.Pattern[str], replacement: str, starts: list[int], ends: list[int]
) -> tuple[str, list[int], list[int]]:
    """Replace in `text`, carrying for each character the raw span it stands for."""
    pieces: list[str] = []
    new_starts: list[int] = []
    new_ends: list[int] = []
    position = 0
    for match in pattern.finditer(text):
        begin, end = match.span()
        if begin == end:
            continue
        pieces.append(text[position:begin])
        new_starts += starts[position:begin]
        new_ends += ends[position:begin]
        expanded = match.expand(replacement)
        pieces.append(expanded)
        new_starts += [starts[begin]] * len(expanded)
        new_ends += [ends[end - 1]] * len(expanded)
        position = end
    pieces.append(text[position:])
    return "".join(pieces), new_starts + starts[position:], new_ends + ends[position:]


class EncoderText:
    """How one encoder wants to read a text: a prefix, placeholders, shared normalization."""

    def __init__(
        self,
        prefix: str = "",
        placeholders: dict[str, str] | None = None,
        normalization: Sequence[str] = (),
    ) -> None:
        self.prefix = prefix
        self.rules = [
            (PLACEHOLDERS[kind], value.replace("\\", r"\\"))
            for kind, value in (placeholders or {}).items()
        ] + [_NORMALIZATIONS[name] for name in normalization]

    def apply(self, text: str) -> tuple[str, np.ndarray | None]:
        """The text as the encoder reads it, and where its characters come from.

        Returns:
            The new text (with the prefix), and `(characters, 2)` raw start and end of each of its
            characters (0, 0 for the prefix), or None if the text is the raw one after the prefix.
        """
        active = [rule for rule in self.rules if rule[0].search(text)]
        if not active:
            return self.prefix + text, None
        starts, ends = list(range(len(text))), list(range(1, len(text) + 1))
        for pattern, replacement in active:
            text, starts, ends = _substitute(text, pattern, replacement, starts, ends)
        lead = [0] * len(self.prefix)
        return self.prefix + text, np.array([lead + starts, lead + ends], dtype=np.int64).T


def _most_overlapped(start: int, end: int, spans: Sequence[WordSpan]) -> int:
    """1-based index of the word that `[start, end)` overlaps most, first one on a tie, or 0."""
    best, best_overlap = 0, 0
    first = max(bisect_right(spans, (start,)) - 1, 0)
    for index in range(first, len(spans)):
        word_start, word_end = spans[index]
        if word_start >= end:
            break
        overlap = min(end, word_end) - max(start, word_start)
        if overlap > best_overlap:
            best, best_overlap = index + 1, overlap
    return best


def assign_words(
    starts: np.ndarray, ends: np.ndarray, rows: np.ndarray, spans: Sequence[Sequence[WordSpan]]
) -> np.ndarray:
    """The word of every sub-word of a batch.

    Args:
        starts: (sub-words,) raw start of each sub-word, all rows behind one another.
        ends: (sub-words,) raw end; `end <= start` marks a sub-word that covers no text.
        rows: (sub-words,) the row each belongs to.
        spans: the words of each row.

    Returns:
        (sub-words,) int64: 1-based word index in its row, 0 for none.
    """
    lengths = np.fromiter((row[-1][1] if row else 0 for row in spans), np.int64, len(spans))
    offsets = np.zeros(len(spans) + 1, np.int64)
    np.cumsum(lengths + 2, out=offsets[1:])
    counts = np.fromiter(map(len, spans), np.int64, len(spans))
    flat = array("q", chain.from_iterable(chain.from_iterable(spans)))
    bounds = np.frombuffer(flat, np.int64).reshape(-1, 2) if flat else np.zeros((0, 2), np.int64)
    row_of_word = np.repeat(np.arange(len(spans)), counts)
    first_word = np.repeat(np.cumsum(counts) - counts, counts)
    index_in_row = np.arange(len(bounds)) - first_word + 1
    size, base = int(offsets[-1]) + 1, offsets[row_of_word]
    steps = np.bincount(base + bounds[:, 0], index_in_row, size)
    steps -= np.bincount(base + bounds[:, 1], index_in_row, size)
    word_at = np.cumsum(steps).astype(np.int64)

    limit = lengths[rows]
    covers = (ends > starts) & (starts < limit + 1)
    first = np.where(covers, word_at[offsets[rows] + np.minimum(starts, limit)], 0)
    last = np.where(covers, word_at[offsets[rows] + np.minimum(ends - 1, limit)], 0)
    words = np.where(first == last, first, 0)
    unclear = covers & (first != last)
    led_by_space = unclear & (first == 0) & (last > 0) & (starts + 1 < ends)
    second = word_at[offsets[rows] + np.minimum(starts + 1, limit)]
    simple = led_by_space & (second == last)
    words[simple] = last[simple]
    wide = (unclear & ~simple) | (covers & (first == 0) & (last == 0) & (ends - starts > 2))
    for position in np.flatnonzero(wide):
        row = rows[position]
        words[position] = _most_overlapped(int(starts[position]), int(ends[position]), spans[row])
    return words


@dataclass
class _Column:
    """One encoder's sub-words of a batch, all rows behind one another.

    `ids`, `words` and `ends` (raw end of the text covered, 0 for none) are (sub-words,), `lengths`
    is (batch,).
    """

    ids: np.ndarray
    words: np.ndarray
    ends: np.ndarray
    lengths: np.ndarray

    def keep(self, mask: np.ndarray) -> None:
        rows = np.repeat(np.arange(len(self.lengths)), self.lengths)
        self.lengths = np.bincount(rows[mask], minlength=len(self.lengths))
        self.ids, self.words, self.ends = self.ids[mask], self.words[mask], self.ends[mask]


def _truncate(
    columns: list[_Column],
    spans: list[list[WordSpan]],
    max_length: int,
    closing: Sequence[int],
) -> None:
    """Drop whole words, in place, from the first that does not fit every encoder.

    The last `closing` sub-words of each encoder are its closing special tokens, which stay.
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
        keep = len(spans[row])
        for column, body, last in zip(columns, bodies, closing, strict=True):
            beyond = column.words[body][max(max_length - last, 0) :]
            beyond = beyond[beyond > 0]
            if len(beyond):
                keep = min(keep, int(beyond.min()) - 1)
        end = spans[row][keep - 1][1] if keep else 0
        del spans[row][keep:]
        for column, body, mask, last in zip(columns, bodies, masks, closing, strict=True):
            dropped = (column.words[body] > keep) | (column.ends[body] > end)
            cut = np.flatnonzero(dropped)
            stays = min(int(cut[0]) if len(cut) else len(dropped), max_length - last)
            mask[body][max(stays, 0) :] = False
    for column, mask in zip(columns, masks, strict=True):
        column.keep(mask)


class AlignedBatchEncoder:
    """Several fast tokenizers that read the same texts and agree on where the words are.

    Args:
        tokenizers: one `tokenizers.Tokenizer` an encoder, in the order of the stack. They are
            used without their own truncation and padding.
        encoder_texts: how each encoder reads a text, in the same order.
        pad_ids: the padding id of each encoder, in the same order.
    """

    def __init__(
        self,
        tokenizers: Sequence[Any],
        encoder_texts: Sequence[EncoderText],
        pad_ids: Sequence[int],
    ) -> None:
        self.tokenizers = list(tokenizers)
        self.encoder_texts = list(encoder_texts)
        self.pad_ids = list(pad_ids)
        self.closing: list[int] = []
        for tokenizer in self.tokenizers:
            tokenizer.no_truncation()
            tokenizer.no_padding()
            empty = tokenizer.encode("")
            specials = len(empty.ids)
            probe = tokenizer.encode("a")
            mask = probe.special_tokens_mask
            closing = 0
            while closing < min(specials, len(mask)) and mask[len(mask) - 1 - closing]:
                closing += 1
            self.closing.append(closing)

    def encode(
        self, texts: Sequence[str], max_length: int | None, add_special_tokens: bool = True
    ) -> tuple[dict[str, np.ndarray], np.ndarray, list[list[WordSpan]]]:
        """Encode texts for all encoders.

        Whole words are dropped from the first one that does not fit every encoder, so that all
        encoders see the same words. `sequence >= words + 1` always holds.

        Args:
            texts: raw texts; unpaired surrogates are read as U+FFFD.
            max_length: most positions an encoder may use, special tokens and prefix included;
                None for no limit.
            add_special_tokens: let each tokenizer add its own.

        Returns:
            `input_ids`, `attention_mask`, `word_index`, each (batch, sequence, encoders) int64 and
            padded to the longest row; the unpadded length of each row (batch,); the words kept.
        """
        limit = None if max_length is None else max(max_length - 1, 0)
        texts = [_without_surrogates(text) for text in texts]
        spans = [cut_words(text, limit) for text in texts]
        columns = [
            self._encode_one(index, texts, spans, limit, add_special_tokens)
            for index in range(len(self.tokenizers))
        ]
        if max_length is not None:
            closing = self.closing if add_special_tokens else [0] * len(columns)
            _truncate(columns, spans, max_length, closing)
        lengths = np.array([len(row) + 1 for row in spans], np.int64)
        for column in columns:
            lengths = np.maximum(lengths, column.lengths)
        return self._stack(columns, lengths), lengths, spans

    def _encode_one(
        self,
        index: int,
        texts: Sequence[str],
        spans: list[list[WordSpan]],
        limit: int | None,
        add_special_tokens: bool,
    ) -> _Column:
        """What one encoder reads, all rows behind one another."""
        reader = self.encoder_texts[index]
        inputs: list[str] = []
        maps: dict[int, np.ndarray] = {}
        for row, text in enumerate(texts):
            if limit is not None and len(spans[row]) == limit:
                text = text[: spans[row][-1][1]] if spans[row] else ""
            changed, mapping = reader.apply(text)
            inputs.append(changed)
            if mapping is not None:
                maps[row] = mapping
        encodings = self.tokenizers[index].encode_batch(
            inputs, add_special_tokens=add_special_tokens
        )
        rows_of_ids = [encoding.ids for encoding in encodings]
        lengths = np.fromiter(map(len, rows_of_ids), np.int64, len(rows_of_ids))
        ids = np.fromiter(chain.from_iterable(rows_of_ids), np.int64, int(lengths.sum()))
        offsets = [encoding.offsets for encoding in encodings]
        flat = array("q", chain.from_iterable(chain.from_iterable(offsets)))
        pairs = np.frombuffer(flat, np.int64).reshape(-1, 2) if flat else np.zeros((0, 2), np.int64)
        starts, ends = pairs[:, 0].copy(), pairs[:, 1].copy()
        edges = np.concatenate([[0], np.cumsum(lengths)])
        prefix = len(reader.prefix)
        plain = ends > starts
        if prefix:
            plain &= ends > prefix
            np.maximum(starts, prefix, out=starts)
        starts -= prefix
        ends -= prefix
        for row, mapping in maps.items():
            part = slice(edges[row], edges[row + 1])
            covered = plain[part]
            first, last = starts[part][covered] + prefix, ends[part][covered] + prefix
            starts[part][covered] = mapping[first, 0]
            ends[part][covered] = mapping[last - 1, 1]
        starts[~plain] = 0
        ends[~plain] = 0
        rows = np.repeat(np.arange(len(texts)), lengths)
        words = assign_words(starts, ends, rows, spans)
        return _Column(ids, words, ends, lengths)

    def _stack(self, columns: list[_Column], lengths: np.ndarray) -> dict[str, np.ndarray]:
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
        return {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "word_index": word_index,
        }


def _without_surrogates(text: str) -> str:
    """The text with unpaired surrogates, which have no UTF-8 form, as U+FFFD."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return re.sub("[\ud800-\udfff]", "\ufffd", text)
    return text


def pad_rows(rows: Sequence[np.ndarray], length: int, fill: Sequence[int] | int = 0) -> np.ndarray:
    """Pad (sequence, encoders) rows on the right to (batch, length, encoders).

    Args:
        rows: int arrays of one width.
        length: the length to pad to, at least that of the longest row.
        fill: the value to pad with, one for all encoders or one an encoder.
    """
    width = rows[0].shape[1]
    fills = list(repeat(fill, width)) if isinstance(fill, int) else list(fill)
    out = np.empty((len(rows), length, width), np.int64)
    out[:] = fills
    for row, values in enumerate(rows):
        out[row, : len(values)] = values
    return out
