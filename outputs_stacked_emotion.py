"""What the models return.

Sizes: B texts, W words, E encoders, L labels.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from transformers.utils import ModelOutput


@dataclass
class StackedEmotionModelOutput(ModelOutput):
    """Output of `StackedEmotionModel`.

    Args:
        last_hidden_state: (B, W, hidden) states of the words after the Bi-LSTM.
        pooler_output: (B, hidden) attention-pooled text.
        embedding: (B, hidden) `pooler_output`, or while training its projection for the contrastive
            loss.
        meta_logits: (B, L) logits of the meta-learner: the gated mean of the encoders' heads.
        encoder_logits: (B, E, L) logits of each encoder's own head.
        word_mask: (B, W) 1 for a word, 0 for padding.
        gates: (B, W, E) trust in each encoder, on request.
        word_attention: (B, W) weight of each word in the pooling, on request.
        hidden_states: a tuple over encoders of tuples over layers, on request.
        attentions: a tuple over encoders of tuples over layers, on request.
    """

    last_hidden_state: Tensor | None = None
    pooler_output: Tensor | None = None
    embedding: Tensor | None = None
    meta_logits: Tensor | None = None
    encoder_logits: Tensor | None = None
    word_mask: Tensor | None = None
    gates: Tensor | None = None
    word_attention: Tensor | None = None
    hidden_states: tuple[tuple[Tensor, ...], ...] | None = None
    attentions: tuple[tuple[Tensor, ...], ...] | None = None


@dataclass
class StackedEmotionClassifierOutput(ModelOutput):
    """Output of `StackedEmotionForSequenceClassification`.

    Args:
        loss: mean binary cross entropy, if labels are given.
        logits: (B, L).
        embedding, meta_logits, encoder_logits, gates, word_attention, hidden_states, attentions:
            as in `StackedEmotionModelOutput`.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    embedding: Tensor | None = None
    meta_logits: Tensor | None = None
    encoder_logits: Tensor | None = None
    gates: Tensor | None = None
    word_attention: Tensor | None = None
    hidden_states: tuple[tuple[Tensor, ...], ...] | None = None
    attentions: tuple[tuple[Tensor, ...], ...] | None = None
