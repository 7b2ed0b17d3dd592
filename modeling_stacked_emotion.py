"""The stack as one model: encoders, meta-learner, Bi-LSTM and classifier.

Sizes in the comments: B texts, S sequence, W words, E encoders, H the sum of the encoders' hidden
sizes, L labels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .checks_stacked_emotion import abstain_limit, check_inputs, check_options
from .configuration_stacked_emotion import StackedEmotionConfig
from .decisions_stacked_emotion import decide
from .encoders_stacked_emotion import (
    build_encoder,
    eager_attention,
    readable_errors,
    selected_layers,
)
from .layers_stacked_emotion import (
    AttentionPooling,
    BidirectionalLSTM,
    Calibration,
    EmotionClassifier,
    EncoderHead,
    MetaLearner,
    StackNorm,
    WordDropout,
    WordMean,
    label_loss,
    masked_mean,
    pool_words,
)
from .outputs_stacked_emotion import StackedEmotionClassifierOutput, StackedEmotionModelOutput
from .pipeline_stacked_emotion import StackedEmotionPipeline  # noqa: F401  (saved with the model)
from .pretrained_stacked_emotion import StackedEmotionPreTrainedModel

# Weights in a checkpoint that are passed over: those of classifier and calibration where the base
# model loads, of the projection that only training uses, and of poolers that are not built.
_UNUSED = [r"^(classifier|calibration)\.", r"(^|\.)projection\.", r"encoder_\w+\.pooler\."]
_LATER = [r"^calibration\."]
_UNUSED_WITHOUT_CLASSIFIER = [r"(^|\.)(stack_norm|lstm|pooling)\."]


class StackedEmotionModel(StackedEmotionPreTrainedModel):
    """Everything but the final classifier.

    Args:
        config: the configuration; the weights are random, see `from_encoders`.
    """

    _auto_class = "AutoModel"
    _keys_to_ignore_on_load_unexpected = _UNUSED

    def __init__(self, config: StackedEmotionConfig) -> None:
        super().__init__(config)
        config.check()
        if not config.encoder_names:
            raise ValueError("encoder_names is empty: a stack needs at least one encoder.")
        names, labels = config.encoder_names, config.num_labels
        for name in names:
            self.add_module(f"encoder_{name}", build_encoder(name, config.encoders[name]))
        for name in names:
            head = config.encoder_heads[name]
            size = config.encoders[name].hidden_size
            self.add_module(
                f"head_{name}",
                EncoderHead(size, labels, dropout=config.dropout, **head),
            )
        sizes = [config.encoders[name].hidden_size for name in names]
        # Only what the logits depend on has weights: DDP wants a gradient for every parameter.
        self.stack_norm = StackNorm(sizes, config.use_classifier or config.use_meta_learner)
        self.meta_learner = MetaLearner(
            sum(sizes),
            len(names),
            labels,
            config.meta_hidden_size,
            config.dropout,
            learned=config.use_meta_learner,
        )
        if config.use_lstm and config.use_classifier:
            meta = config.meta_hidden_size if config.use_meta_learner else 0
            self.lstm = BidirectionalLSTM(sum(sizes) + meta, config.lstm_hidden_size)
        self.dropout = WordDropout(config.dropout)
        attends = config.use_classifier
        self.pooling = AttentionPooling(config.hidden_size) if attends else WordMean()
        self.projection = nn.Identity()  # training may put a layer for the contrastive loss here
        if not config.use_classifier:
            self._keys_to_ignore_on_load_unexpected = [*_UNUSED, *_UNUSED_WITHOUT_CLASSIFIER]
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        word_index: Tensor | None = None,
        word_embeddings: Tensor | None = None,
        word_mask: Tensor | None = None,
        encoder_logits: Tensor | None = None,
        output_gates: bool | None = None,
        output_hidden_states: bool | int | list[int] | None = None,
        output_attentions: bool | int | list[int] | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> StackedEmotionModelOutput | tuple[Any, ...]:
        """Texts to pooled embeddings and the meta-learner's logits.

        Args:
            input_ids: (B, S, E) from the tokenizer.
            attention_mask: (B, S, E) of 0 and 1.
            word_index: (B, S, E), 1-based word of each sub-word, 0 for none.
            word_embeddings: (B, W, H); given these (with `word_mask` and `encoder_logits`) the
                encoders are skipped.
            word_mask: (B, W) of 0 and 1.
            encoder_logits: (B, E, L).
            output_gates: return gates and word attention.
            output_hidden_states: return the encoders' hidden states: all, or those of these layers;
                by default as the config says.
            output_attentions: return the encoders' attentions: all, or those of these layers; by
                default as the config says. The encoders run with eager attention for it.
            return_dict: False for a tuple.
            **kwargs: refused, but for what has no effect on any model of this kind.

        Raises:
            ValueError: inputs that are missing, have the wrong shape or are no inputs of a stack.
        """
        check_options(kwargs)
        config = self.config
        if return_dict is None:
            return_dict = config.return_dict
        if output_hidden_states is None:
            output_hidden_states = config.output_hidden_states
        if output_attentions is None:
            output_attentions = config.output_attentions
        hidden_states = attentions = None
        if word_embeddings is None:
            word_embeddings, word_mask, encoder_logits, hidden_states, attentions = self.encode(
                input_ids, attention_mask, word_index, output_hidden_states, output_attentions
            )
        elif word_mask is None or encoder_logits is None:
            raise ValueError("word_embeddings need word_mask and encoder_logits beside them.")
        elif word_embeddings.shape[-1] != config.stacked_size:
            raise ValueError(
                f"word_embeddings are {word_embeddings.shape[-1]} wide; the encoders "
                f"{config.encoder_names} make {config.stacked_size}."
            )
        else:
            weights = self.stack_norm.parameters()
            dtype = next((weight.dtype for weight in weights), word_embeddings.dtype)
            word_embeddings = word_embeddings.to(dtype)
            encoder_logits = encoder_logits.to(dtype)
            word_mask = (word_mask != 0).long()
        if not config.use_word_embeddings:
            word_embeddings = torch.zeros_like(word_embeddings)
        if config.stacking_level == "sentence":
            word_embeddings = masked_mean(word_embeddings, word_mask).unsqueeze(1)
            word_mask = word_mask.any(1, keepdim=True).to(word_mask.dtype)

        presence = self.stack_norm.presence(word_embeddings)
        presence, encoder_mask = self._leave_out(presence)
        stacked = self.stack_norm(word_embeddings, presence)  # (B, W, H)
        gates, weights, vectors = self.meta_learner(stacked, word_mask, encoder_mask)
        meta_logits = (weights * encoder_logits).sum(1)  # (B, L)
        states = stacked if vectors is None else torch.cat([stacked, vectors], dim=-1)
        states = self.dropout(states)
        if config.use_lstm and config.use_classifier:
            states = self.lstm(states, word_mask)
        pooled, word_attention = self.pooling(states, word_mask)
        output = StackedEmotionModelOutput(
            last_hidden_state=states,
            pooler_output=pooled,
            embedding=self.projection(pooled),
            meta_logits=meta_logits,
            encoder_logits=encoder_logits,
            word_mask=word_mask,
            gates=gates if output_gates else None,
            word_attention=word_attention if output_gates else None,
            hidden_states=hidden_states,
            attentions=attentions,
        )
        return output if return_dict else output.to_tuple()

    def encode(
        self,
        input_ids: Tensor | None,
        attention_mask: Tensor | None,
        word_index: Tensor | None,
        output_hidden_states: bool | int | list[int] | None = None,
        output_attentions: bool | int | list[int] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, tuple[Any, ...] | None, tuple[Any, ...] | None]:
        """Run the encoders: what the feature cache holds.

        Each encoder runs on its own longest text of the batch.

        Returns:
            word_embeddings (B, W, H), word_mask (B, W), encoder_logits (B, E, L), and the hidden
            states and attentions asked for.
        """
        inputs = self._checked(input_ids, attention_mask, word_index)
        _, attention_mask, word_index = inputs
        whole = bool(output_hidden_states or output_attentions)
        lengths, words = self._lengths(attention_mask, word_index, whole)
        asked = (output_hidden_states, output_attentions)
        parts, logits, all_states, all_attentions = zip(
            *(self._run_encoder(i, inputs, size, words, *asked) for i, size in enumerate(lengths)),
            strict=True,
        )
        places = torch.arange(words, device=word_index.device)
        word_mask = (places < word_index.amax((1, 2)).unsqueeze(-1)).to(attention_mask.dtype)
        return (
            torch.cat(parts, dim=-1),
            word_mask,
            torch.stack(logits, dim=1),
            all_states if output_hidden_states else None,
            all_attentions if output_attentions else None,
        )

    def encode_one(
        self, index: int, input_ids: Tensor, attention_mask: Tensor, word_index: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Run one encoder of the stack, as `encode` does.

        Args:
            index: its place in the stack.
            input_ids: (B, S, E).
            attention_mask: (B, S, E).
            word_index: (B, S, E).

        Returns:
            Its word vectors (B, W, hidden) and its logits (B, L).
        """
        inputs = self._checked(input_ids, attention_mask, word_index)
        lengths, words = self._lengths(*inputs[1:], False)
        return self._run_encoder(index, inputs, lengths[index], words)[:2]

    def _checked(
        self, input_ids: Tensor | None, attention_mask: Tensor | None, word_index: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        given = {"input_ids": input_ids, "attention_mask": attention_mask, "word_index": word_index}
        ids, mask, index = check_inputs(given, self.config.encoder_names)
        return ids.long(), (mask != 0).long(), index.long()

    def _run_encoder(
        self, index: int, inputs: tuple[Tensor, ...], length: int, words: int,
        output_hidden_states: Any = None, output_attentions: Any = None,
    ) -> tuple[Tensor, Tensor, Any, Any]:  # fmt: skip
        """One encoder's word vectors and logits, and the layers asked for."""
        name = self.config.encoder_names[index]
        ids, mask, word_index = (values[:, :length, index] for values in inputs)
        encoder = getattr(self, f"encoder_{name}")
        pad = encoder.config.pad_token_id
        ids = ids.masked_fill(mask == 0, 0 if pad is None else pad)
        head, options = getattr(self, f"head_{name}"), {}
        if head.layers or output_hidden_states:
            options["output_hidden_states"] = bool(head.layers) or output_hidden_states
        if output_attentions:
            options["output_attentions"] = True
        with readable_errors(name, encoder, ids), eager_attention(encoder, bool(output_attentions)):
            output = encoder(input_ids=ids, attention_mask=mask, return_dict=True, **options)
        return (
            pool_words(output.last_hidden_state, word_index, words),
            head(head.read(output), mask),
            selected_layers(output.get("hidden_states"), output_hidden_states),
            selected_layers(output.get("attentions"), output_attentions),
        )

    def _lengths(
        self, attention_mask: Tensor, word_index: Tensor, whole: bool
    ) -> tuple[list[int], int]:
        """Positions each encoder has to run over, and the words of the longest text."""
        sequence = attention_mask.shape[1]
        if whole or torch.compiler.is_compiling() or torch.jit.is_tracing():
            words = max(sequence - 1, 1)
            return [sequence] * attention_mask.shape[2], words
        places = torch.arange(1, sequence + 1, device=attention_mask.device)
        longest = (attention_mask.amax(0) * places[:, None]).amax(0)
        *lengths, words = torch.cat([longest, word_index.amax().view(1)]).tolist()
        if words > sequence:
            raise ValueError(f"word_index reaches {int(words)}, beyond the {sequence} positions.")
        return [max(int(length), 1) for length in lengths], max(int(words), 1)

    def _leave_out(self, presence: Tensor) -> tuple[Tensor, Tensor]:
        """Encoder and word dropout: presence (B, W, E), and the encoders kept (B, E)."""
        keep = torch.ones_like(presence[:, 0])
        if not self.training:
            return presence, keep
        config = self.config
        if config.encoder_dropout and presence.shape[-1] > 1:
            drawn = torch.rand_like(keep, dtype=torch.float32) >= config.encoder_dropout
            keep = torch.where(drawn.any(-1, keepdim=True), drawn, keep)
            presence = presence & keep.unsqueeze(1)
        if config.word_dropout and presence.shape[1] > 1:
            drawn = torch.rand(presence.shape[:2], device=presence.device) >= config.word_dropout
            presence = presence & drawn.unsqueeze(-1)
        return presence, keep


class StackedEmotionForSequenceClassification(StackedEmotionPreTrainedModel):
    """The stack with its classifier: one logit per label.

    Example:
        >>> from stacked_emotion import StackedEmotionForSequenceClassification
        >>> model = StackedEmotionForSequenceClassification.from_encoders(
        ...     {
        ...         "marbert": "UBC-NLP/MARBERT",
        ...         "arabert": "aubmindlab/bert-base-arabertv02-twitter",
        ...     },
        ...     labels=["anger", "joy"],
        ... )
        >>> model.config.encoder_names, model.config.num_labels
        (['marbert', 'arabert'], 2)
    """

    _auto_class = "AutoModelForSequenceClassification"
    # Models saved before there was a calibration have none: they load with scale 1 and bias 0.
    _keys_to_ignore_on_load_missing = _LATER

    def __init__(self, config: StackedEmotionConfig) -> None:
        super().__init__(config)
        self.num_labels = config.num_labels
        self.stacked = StackedEmotionModel(config)
        if config.use_classifier:
            self.classifier = EmotionClassifier(
                config.hidden_size,
                config.classifier_hidden_size,
                config.num_labels,
                config.dropout,
                zero_start=config.ensemble_start,
            )
        self.calibration = Calibration(config.num_labels)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        word_index: Tensor | None = None,
        labels: Tensor | None = None,
        word_embeddings: Tensor | None = None,
        word_mask: Tensor | None = None,
        encoder_logits: Tensor | None = None,
        return_dict: bool | None = None,
        **options: Any,
    ) -> StackedEmotionClassifierOutput | tuple[Any, ...]:
        """Texts to logits; see `StackedEmotionModel.forward` for the arguments it shares.

        Args:
            input_ids: (B, S, E).
            attention_mask: (B, S, E).
            word_index: (B, S, E).
            labels: (B, L) of 0 and 1, or probabilities; adds the plain mean binary cross entropy.
            word_embeddings: (B, W, H) instead of the first three.
            word_mask: (B, W).
            encoder_logits: (B, E, L).
            return_dict: False for a tuple.
            **options: `output_gates`, `output_hidden_states`, `output_attentions`; others are
                refused.

        Raises:
            ValueError: inputs that are missing or have the wrong shape.
        """
        if return_dict is None:
            return_dict = self.config.return_dict
        outputs = self.stacked(
            input_ids,
            attention_mask,
            word_index,
            word_embeddings,
            word_mask,
            encoder_logits,
            return_dict=True,
            **options,
        )
        if not self.config.use_classifier:
            logits = outputs.meta_logits
        else:
            logits = self.classifier(outputs.pooler_output)
            if self.config.ensemble_start:
                logits = logits + outputs.meta_logits
        logits = self.calibration(logits)
        loss = None
        if labels is not None:
            loss = label_loss(logits, labels)
            if self.config.use_classifier and not self.config.ensemble_start:
                # Heads and gates, which only explain here, stay in the graph: DDP wants that.
                loss = loss + 0.0 * outputs.meta_logits.float().sum()
        output = StackedEmotionClassifierOutput(
            loss=loss,
            logits=logits,
            embedding=outputs.embedding,
            meta_logits=outputs.meta_logits,
            encoder_logits=outputs.encoder_logits,
            gates=outputs.gates,
            word_attention=outputs.word_attention,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )
        return output if return_dict else output.to_tuple()

    def decide(self, logits: Tensor, has_words: Tensor | None = None) -> Tensor:
        """The labels given to each text, by `config.decision` and `config.abstain`.

        Args:
            logits: (B, L).
            has_words: (B,) bool; a text without any word gets no label. It is
                `word_index.amax((1, 2)) > 0`. None: every text has one.

        Returns:
            (B, L) bool.
        """
        config = self.config
        thresholds = config.thresholds or [0.5] * config.num_labels
        return decide(
            logits, thresholds, config.decision, config.decision_scale, has_words,
            config.min_labels, abstain_limit(config.abstain, config.abstain_limits),
        )  # fmt: skip
