"""The stack's own layers, in the order the data goes through them.

Sizes in the comments: B texts, S sequence, W words, E encoders, H the sum of the encoders' hidden
sizes, L labels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "gelu": nn.functional.gelu,
    "relu": torch.relu,
}


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over dimension 1 of the places where the mask is 1; zero where there is none.

    Args:
        values: (batch, places, size).
        mask: (batch, places) of 0 and 1.
    """
    weights = mask.to(values.dtype).unsqueeze(-1)
    return (values * weights).sum(1) / weights.sum(1).clamp(min=1.0)


def masked_softmax(scores: Tensor, mask: Tensor, dim: int) -> Tensor:
    """Softmax over the places where the mask is true; all zero where there is none."""
    scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return torch.softmax(scores, dim) * mask.to(scores.dtype)


class WordDropout(nn.Dropout):
    """Dropout of single numbers, for the wide word vectors: on CPUs drawn four times as fast.

    There `nn.Dropout` draws its numbers one after the other; here 16 random bits decide for each,
    so that the probability is the nearest multiple of 1/65536, and the scale is exact for it.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """A tensor of the same shape; the same one while not training."""
        dropped = round(self.p * 65536)
        if not self.training or inputs.device.type != "cpu" or not 0 < dropped < 65536:
            return super().forward(inputs)
        count = inputs.numel()
        bits = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
        kept = bits.view(torch.int16)[:count].view(inputs.shape) >= dropped - 32768
        return inputs * kept.to(inputs.dtype).mul_(65536 / (65536 - dropped))


class ZeroStartLinear(nn.Linear):
    """A linear layer whose initial weights and bias are zero."""


class EncoderHead(nn.Module):
    """The head an encoder was fine-tuned with: hidden states to label logits.

    Args:
        hidden_size: width of the encoder.
        num_labels: number of labels.
        pooling: "mean" over the attended sub-words, or the "first" one.
        activation: None for one linear layer; else a dense layer with this activation before it.
        dropout: probability before the output layer.
        layers: hidden layers that it reads side by side, 0 for the embeddings; by default the
            encoder's output.
    """

    def __init__(
        self,
        hidden_size: int,
        num_labels: int,
        pooling: str,
        activation: str | None,
        dropout: float,
        layers: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.pooling = pooling
        self.activation = activation
        self.layers = list(layers)
        width = hidden_size * max(1, len(self.layers))
        if activation is not None:
            self.dense = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(width, num_labels)

    def read(self, output: Any) -> Tensor:
        """What an encoder's output holds for this head: (B, S, width)."""
        if not self.layers:
            return output.last_hidden_state
        return torch.cat([output.hidden_states[layer] for layer in self.layers], dim=-1)

    def forward(self, hidden_states: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, S, width) and (B, S) to logits (B, L)."""
        if self.pooling == "mean":
            pooled = masked_mean(hidden_states, attention_mask)
        else:
            pooled = hidden_states[:, 0]
        if self.activation is not None:
            pooled = _ACTIVATIONS[self.activation](self.dense(pooled))
        return self.output(self.dropout(pooled))


def pool_words(hidden_states: Tensor, word_index: Tensor, words: int) -> Tensor:
    """Average the sub-words of each word.

    Args:
        hidden_states: (B, S, hidden).
        word_index: (B, S), 1-based word of each sub-word, 0 for none.
        words: number of words W to return.

    Returns:
        (B, W, hidden); zero for a word without a sub-word.
    """
    places = torch.arange(1, words + 1, device=word_index.device)
    belongs = (word_index.unsqueeze(1) == places[None, :, None]).to(hidden_states.dtype)
    sums = torch.bmm(belongs, hidden_states)
    return sums / belongs.sum(-1, keepdim=True).clamp(min=1.0)


class StackNorm(nn.Module):
    """Layer norm of each encoder's part of the stacked embeddings; absent parts stay zero.

    Args:
        sizes: width of each encoder's part.
        learned: with weights and biases; False where no logit depends on the result.
    """

    def __init__(self, sizes: Sequence[int], learned: bool = True) -> None:
        super().__init__()
        self.sizes = list(sizes)
        self.norms = nn.ModuleList(
            nn.LayerNorm(size, elementwise_affine=learned) for size in self.sizes
        )

    def presence(self, word_embeddings: Tensor) -> Tensor:
        """(B, W, H) to (B, W, E): whether the encoder has a vector for the word."""
        parts = word_embeddings.split(self.sizes, dim=-1)
        return torch.stack([part.abs().amax(-1) != 0 for part in parts], dim=-1)

    def forward(self, word_embeddings: Tensor, presence: Tensor) -> Tensor:
        """(B, W, H) and (B, W, E) to (B, W, H)."""
        parts = word_embeddings.split(self.sizes, dim=-1)
        normed = [
            norm(part) * presence[..., index, None].to(part.dtype)
            for index, (norm, part) in enumerate(zip(self.norms, parts, strict=True))
        ]
        return torch.cat(normed, dim=-1)


class MetaLearner(nn.Module):
    """Learns, word by word, how far to trust each encoder.

    The gates of a text are the mean of its words' gates; `label_trust` tilts them label by label:
    weight of encoder e for label l is proportional to gate_e * exp(label_trust_el). Gates start
    uniform and label trust at zero, so that `meta_logits` start as the plain average.

    Args:
        stacked_size: H.
        encoders: E.
        labels: L.
        hidden_size: width d of the hidden layer, which is the meta vector.
        dropout: probability on its input.
        learned: False for uniform gates and no meta vector (the ablation).
    """

    def __init__(
        self,
        stacked_size: int,
        encoders: int,
        labels: int,
        hidden_size: int,
        dropout: float,
        learned: bool = True,
    ) -> None:
        super().__init__()
        self.learned = learned
        if learned:
            self.dropout = WordDropout(dropout)
            self.hidden = nn.Linear(stacked_size, hidden_size)
            self.gate = ZeroStartLinear(hidden_size, encoders)
            self.label_trust = nn.Parameter(torch.zeros(encoders, labels))

    def forward(
        self, stacked: Tensor, word_mask: Tensor, encoder_mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Gates, label weights and meta vectors.

        Args:
            stacked: (B, W, H) normed stacked embeddings.
            word_mask: (B, W).
            encoder_mask: (B, E) bool, False for an encoder left out of the text.

        Returns:
            gates (B, W, E), weights (B, E, L) that sum to 1 over the encoders, and the meta
            vectors (B, W, d) or None.
        """
        if self.learned:
            vectors = nn.functional.gelu(self.hidden(self.dropout(stacked)))
            scores = self.gate(vectors)
        else:
            vectors = None
            scores = stacked.new_zeros(*stacked.shape[:2], encoder_mask.shape[-1])
        gates = masked_softmax(scores, encoder_mask.unsqueeze(1), -1)
        uniform = masked_softmax(torch.zeros_like(scores[:, 0]), encoder_mask, -1)
        has_words = word_mask.any(1, keepdim=True)
        text_gates = torch.where(has_words, masked_mean(gates, word_mask), uniform)
        weights = text_gates.unsqueeze(-1)
        if self.learned:
            weights = weights * torch.exp(self.label_trust)
        return gates, weights / weights.sum(1, keepdim=True).clamp(min=1e-6), vectors


class BidirectionalLSTM(nn.Module):
    """Two one-directional LSTMs; the reverse one starts at each text's own last word.

    Equal to a packed bidirectional LSTM, and exportable, which a packed one is not.

    Args:
        input_size: width of a word.
        hidden_size: width of each direction.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.forward_lstm = nn.LSTM(input_size, hidden_size, batch_first=True)
        self.backward_lstm = nn.LSTM(input_size, hidden_size, batch_first=True)

    def forward(self, inputs: Tensor, word_mask: Tensor) -> Tensor:
        """(B, W, input) and (B, W) to (B, W, 2 * hidden), zero beyond the last word."""
        places = torch.arange(inputs.shape[1], device=inputs.device)
        lengths = word_mask.sum(1, keepdim=True)
        reverse = torch.where(places < lengths, lengths - 1 - places, places)
        onward = _run_lstm(self.forward_lstm, inputs)
        first = torch.arange(inputs.shape[0], device=inputs.device) * inputs.shape[1]
        index = (first.unsqueeze(1) + reverse).flatten()
        backward = _run_lstm(self.backward_lstm, _reordered(inputs, index, inputs))
        backward = _reordered(backward, index, inputs)
        states = torch.cat([onward, backward], dim=-1)
        return states * word_mask.to(states.dtype).unsqueeze(-1)


def _run_lstm(lstm: nn.LSTM, inputs: Tensor) -> Tensor:
    """(B, W, input) to the states (B, W, hidden).

    `torch.export` freezes the time axis of `aten.lstm` at the traced length. There the steps are
    written out as a `scan`, whose length stays free. The ONNX exporter has an LSTM of its own.
    """
    exporting = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)
    if not exporting() or torch.onnx.is_in_onnx_export():
        return lstm(inputs)[0]
    from torch._higher_order_ops.scan import scan

    weights: Any = lstm
    bias = weights.bias_ih_l0 + weights.bias_hh_l0
    gates = nn.functional.linear(inputs, weights.weight_ih_l0, bias)
    recurrent = weights.weight_hh_l0

    def step(carry: tuple[Tensor, Tensor], gate: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
        state, cell = carry
        into, keep, new, out = (gate + state @ recurrent.T).chunk(4, -1)
        cell = torch.sigmoid(keep) * cell + torch.sigmoid(into) * torch.tanh(new)
        state = torch.sigmoid(out) * torch.tanh(cell)
        return (state, cell), state.clone()

    zero = inputs.new_zeros(inputs.shape[0], lstm.hidden_size)
    _, states = scan(step, (zero, zero.clone()), gates.transpose(0, 1))
    return states.transpose(0, 1)


def _reordered(words: Tensor, index: Tensor, like: Tensor) -> Tensor:
    """(B, W, size) and (B * W,) to (B, W, size); its gradient is much faster than `gather`'s.

    B and W are read from `like`: in a second export of one process, the exporter takes those of an
    LSTM's output for the numbers it was traced with.
    """
    return words.flatten(0, 1).index_select(0, index).view(*like.shape[:2], words.shape[-1])


class AttentionPooling(nn.Module):
    """Masked attention over the words: their states to one vector per text."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.score = nn.Linear(hidden_size, 1)

    def forward(self, states: Tensor, word_mask: Tensor) -> tuple[Tensor, Tensor]:
        """(B, W, hidden) and (B, W) to (B, hidden) and the attention (B, W)."""
        attention = masked_softmax(self.score(states).squeeze(-1), word_mask.bool(), -1)
        return torch.bmm(attention.unsqueeze(1), states).squeeze(1), attention


class WordMean(nn.Module):
    """The mean over the words, where no logit depends on the pooled text."""

    def forward(self, states: Tensor, word_mask: Tensor) -> tuple[Tensor, Tensor]:
        """(B, W, hidden) and (B, W) to (B, hidden) and the weights (B, W)."""
        weights = word_mask.to(states.dtype)
        weights = weights / weights.sum(1, keepdim=True).clamp(min=1.0)
        return masked_mean(states, word_mask), weights


class EmotionClassifier(nn.Module):
    """Two layers from the pooled text to label logits; its output layer may start at zero."""

    def __init__(
        self, input_size: int, hidden_size: int, num_labels: int, dropout: float, zero_start: bool
    ) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(input_size, hidden_size)
        output = ZeroStartLinear if zero_start else nn.Linear
        self.output = output(hidden_size, num_labels)

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, input) to (B, L)."""
        hidden = nn.functional.gelu(self.dense(self.dropout(pooled)))
        return self.output(self.dropout(hidden))


class Calibration(nn.Module):
    """A scale and a bias per label, fitted to training logits: what makes scores frequencies.

    Platt (1999). A scale of 1 and a bias of 0, where a model begins, change no bit of a logit.
    """

    scale: Tensor
    bias: Tensor

    def __init__(self, num_labels: int) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(num_labels))
        self.register_buffer("bias", torch.zeros(num_labels))

    def forward(self, logits: Tensor) -> Tensor:
        """(B, L) to (B, L)."""
        return logits * self.scale.to(logits.dtype) + self.bias.to(logits.dtype)


def label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """The mean binary cross entropy.

    Args:
        logits: (B, L).
        labels: (B, L) of 0 and 1, or probabilities.

    Raises:
        ValueError: labels that are not a tensor, or of another shape.
    """
    shape = tuple(labels.shape) if isinstance(labels, Tensor) else None
    if shape != logits.shape:
        found = f"are a {type(labels).__name__}" if shape is None else f"have the shape {shape}"
        raise ValueError(
            f"labels {found}; they must be a tensor of shape {tuple(logits.shape)}: (batch, "
            "labels), one 0 or 1 per label."
        )
    return nn.functional.binary_cross_entropy_with_logits(
        logits.float(), labels.to(logits.device).float()
    )
