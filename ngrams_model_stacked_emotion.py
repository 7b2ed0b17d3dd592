"""A lexical encoder: TF-IDF of words and their character n-grams, with a linear layer per label.

Its tokenizer cuts a word into known pieces, which only say which characters the word has: the
n-grams do not depend on the cuts. Sizes in the comments: B texts, S pieces, K characters of a
piece, C = S * K, L labels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from .ngrams_stacked_emotion import MULTIPLIER, HashedNgramsConfig

_LONGEST_WORD = 20


class NgramEmbeddings(nn.Module):
    """Pieces to the sums over the n-grams that begin in them.

    An n-gram lies within what white space separates, with the boundaries before and behind it. A
    whole word of up to 20 characters is an n-gram too, however long.

    Attributes:
        characters: (pieces, K) codes of each piece's characters, 0 after the last.
        table: (buckets, L + 1): what an n-gram adds to each label's score, and its squared weight.
    """

    characters: Tensor

    def __init__(self, config: HashedNgramsConfig) -> None:
        super().__init__()
        shape = (config.vocab_size, config.piece_length)
        self.register_buffer("characters", torch.zeros(shape, dtype=torch.int32))
        self.table = nn.Embedding(1 << config.bucket_bits, config.hidden_size + 1)
        self.shortest, self.longest = config.shortest_ngram, config.longest_ngram

    def buckets(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The n-grams of each text.

        Args:
            input_ids: (B, S).
            attention_mask: (B, S).

        Returns:
            The buckets (B, C, lengths) of the n-grams that begin at a character and of the word
            that begins there; which of them exist, bool of the same shape; and the place of each
            character of each piece (B, S, K) among those C.
        """
        codes = self.characters[input_ids].long() * attention_mask.unsqueeze(-1)  # (B, S, K)
        flat = codes.flatten(1)
        # The pieces' characters one after another, without the gaps between short pieces.
        there = flat > 0
        places = torch.where(there, there.long().cumsum(1) - 1, flat.shape[1])
        text = torch.zeros_like(nn.functional.pad(flat, (0, 1))).scatter(1, places, flat)
        text = text[:, :-1]
        steps = max(self.longest, _LONGEST_WORD + 2)
        ahead = nn.functional.pad(text, (0, steps))
        hashes = text % self.table.num_embeddings
        word, whole = torch.zeros_like(text), torch.zeros_like(text, dtype=torch.bool)
        found, exists = ([hashes], [text > 0]) if self.shortest == 1 else ([], [])
        inside = text > 0
        for length in range(2, steps + 1):  # of what begins at each character
            last = ahead[:, length - 1 : length - 1 + text.shape[1]].clamp(min=1)
            hashes = (hashes * MULTIPLIER + last) % self.table.num_embeddings
            ends = inside & (last == 1)
            if self.shortest <= length <= self.longest:
                found.append(hashes)
                exists.append(inside)
            elif length > self.longest:
                complete = ends & (text == 1)
                word, whole = torch.where(complete, hashes, word), whole | complete
            inside = inside & ~ends
        found.append(word)
        exists.append(whole)
        return torch.stack(found, -1), torch.stack(exists, -1), places.view(codes.shape)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, S) and (B, S) to (B, S, L + 1) sums over the n-grams that begin in each piece."""
        found, exists, places = self.buckets(input_ids, attention_mask)
        vectors = (self.table(found) * exists.unsqueeze(-1).to(self.table.weight.dtype)).sum(2)
        vectors = nn.functional.pad(vectors, (0, 0, 0, 1))  # where characters that are none point
        index = places.flatten(1).unsqueeze(-1).expand(-1, -1, vectors.shape[-1])
        return vectors.gather(1, index).view(*places.shape, -1).sum(2)


class HashedNgramsModel(PreTrainedModel):
    """Pieces of words to vectors that add up to a text's TF-IDF scores, one number per label.

    The score of label l for a text with the n-grams g (each as often as it occurs) is
    sum_g(table[g, l]) / sqrt(sum_g(table[g, L])). With table[g, L] = idf_g^2 and
    table[g, l] = idf_g * coefficient_gl, this is a linear model of sqrt-normalized TF-IDF.
    """

    config_class = HashedNgramsConfig
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    def __init__(self, config: HashedNgramsConfig) -> None:
        super().__init__(config)
        self.embeddings = NgramEmbeddings(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """What turns pieces into vectors."""
        return self.embeddings

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutput:
        """Pieces to vectors.

        Args:
            input_ids: (B, S).
            attention_mask: (B, S) of 0 and 1.
            output_hidden_states: return the vectors as the only hidden states, too.
            return_dict: without effect.
            **kwargs: without effect: there is no attention.

        Returns:
            `last_hidden_state` (B, S, L), whose mean over the attended pieces is the text's score.
        """
        sums = self.embeddings(input_ids, attention_mask)
        wide = sums.float()
        squares = wide[..., -1].clamp(min=0.0).sum(1)
        count = attention_mask.sum(1)
        scale = count / torch.where(squares > 0, squares, torch.ones_like(squares)).sqrt()
        states = (wide[..., :-1] * scale[:, None, None]).to(sums.dtype)
        return BaseModelOutput(
            last_hidden_state=states, hidden_states=(states,) if output_hidden_states else None
        )
