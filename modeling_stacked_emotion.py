"""The stack as one model: encoders, meta-learner, Bi-LSTM and classifier.

Sizes in the comments: B texts, S sequence, W words, E encoders, H the sum of the encoders' hidden
sizes, L labels.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers import initialization as init

from .configuration_stacked_emotion import StackedEmotionConfig
from .encoders_stacked_emotion import build_encoder, load_encoder
from .layers_stacked_emotion import (
    AttentionPooling,
    BidirectionalLSTM,
    EmotionClassifier,
    EncoderHead,
    MetaLearner,
    StackNorm,
    ZeroStartLinear,
    masked_mean,
    pool_words,
)
from .outputs_stacked_emotion import StackedEmotionClassifierOutput, StackedEmotionModelOutput


class StackedEmotionPreTrainedModel(PreTrainedModel):
    """Weight initialisation, and loading of the encoders."""

    config_class = StackedEmotionConfig
    base_model_prefix = "stacked"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = False
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.LSTM):
            for name, parameter in module.named_parameters():
                if name.startswith("weight_hh"):
                    init.orthogonal_(parameter)
                elif name.startswith("weight_ih"):
                    init.xavier_uniform_(parameter)
                else:
                    init.zeros_(parameter)
        elif isinstance(module, ZeroStartLinear):
            init.zeros_(module.weight)
            init.zeros_(module.bias)
        elif isinstance(module, MetaLearner) and module.learned:
            init.zeros_(module.label_trust)
        else:
            super()._init_weights(module)

    @property
    def stack(self) -> Any:
        """The base model."""
        return getattr(self, self.base_model_prefix, self)

    def get_encoder(self, name: str) -> PreTrainedModel:
        """The encoder of that name.

        Raises:
            KeyError: with the names there are.
        """
        if name not in self.config.encoder_names:
            raise KeyError(f"There is no encoder {name!r}; there are {self.config.encoder_names}.")
        return getattr(self.stack, f"encoder_{name}")

    def get_encoder_head(self, name: str) -> EncoderHead:
        """The head the encoder of that name was fine-tuned with."""
        self.get_encoder(name)
        return getattr(self.stack, f"head_{name}")

    def get_input_embeddings(self) -> nn.Module:
        """Token embeddings of the first encoder; each encoder has its own."""
        return self.get_encoder(self.config.encoder_names[0]).get_input_embeddings()

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> nn.Module:
        """Refused: each encoder has a vocabulary of its own."""
        raise NotImplementedError(
            "Every encoder has its own vocabulary: use "
            "model.get_encoder(name).resize_token_embeddings(...)."
        )

    @classmethod
    def from_encoders(
        cls,
        encoders: Mapping[str, str | os.PathLike[str] | PreTrainedModel],
        labels: Sequence[str] | None = None,
        dtype: torch.dtype = torch.float32,
        attn_implementation: str | dict[str, str] | None = None,
        hub_options: Mapping[str, Any] | None = None,
        **config_options: Any,
    ) -> StackedEmotionPreTrainedModel:
        """Build the stack and load pretrained weights into its encoders.

        A source may be a bare encoder, or a stock sequence classifier fine-tuned on the same
        labels, whose head is then taken over, or a stack of one encoder.

        Args:
            encoders: a Hub id, folder or loaded model for each name; their order is the order of
                the stack.
            labels: the labels in the order of the logits.
            dtype: of all weights.
            attn_implementation: for all encoders, or by encoder name.
            hub_options: `revision`, `token`, `cache_dir`, `local_files_only` for the loading.
            **config_options: fields of `StackedEmotionConfig`.

        Raises:
            ValueError: a source whose labels are others than those asked for.
        """
        names = list(encoders)
        loaded = {
            name: load_encoder(
                name,
                source,
                labels,
                dtype,
                dict(hub_options or {}),
                StackedEmotionForSequenceClassification,
            )
            for name, source in encoders.items()
        }
        heads = {name: part.head_config for name, part in loaded.items() if part.head_config}
        if labels is not None:
            config_options["id2label"] = dict(enumerate(labels))
        config = StackedEmotionConfig(
            encoder_names=names,
            encoders={name: loaded[name].encoder.config.to_dict() for name in names},
            encoder_heads={**config_options.pop("encoder_heads", {}), **heads},
            **config_options,
        )
        for sub_config in config.encoders.values():
            sub_config.dtype = dtype
        config.dtype = dtype
        if attn_implementation is not None:
            config._attn_implementation = attn_implementation
        model = cls(config).to(dtype)
        for name, part in loaded.items():
            target = model.get_encoder(name)
            state = part.encoder.state_dict()
            wanted = target.state_dict()
            missing = sorted(set(wanted) - set(state))
            if missing:
                raise ValueError(f"The source of {name!r} lacks the weights {missing[:5]}.")
            target.load_state_dict({key: state[key] for key in wanted})
            if part.head_state:
                model.get_encoder_head(name).load_state_dict(part.head_state)
        return model.eval()


class StackedEmotionModel(StackedEmotionPreTrainedModel):
    """Everything but the final classifier.

    Args:
        config: the configuration; the weights are random, see `from_encoders`.
    """

    _auto_class = "AutoModel"
    _keys_to_ignore_on_load_unexpected = [r"^classifier\."]  # noqa: RUF012

    def __init__(self, config: StackedEmotionConfig) -> None:
        super().__init__(config)
        names, labels = config.encoder_names, config.num_labels
        for name in names:
            self.add_module(f"encoder_{name}", build_encoder(name, config.encoders[name]))
        for name in names:
            head = config.encoder_heads[name]
            size = config.encoders[name].hidden_size
            self.add_module(
                f"head_{name}",
                EncoderHead(size, labels, head["pooling"], head["activation"], config.dropout),
            )
        sizes = [config.encoders[name].hidden_size for name in names]
        self.stack_norm = StackNorm(sizes)
        self.meta_learner = MetaLearner(
            sum(sizes),
            len(names),
            labels,
            config.meta_hidden_size,
            config.dropout,
            learned=config.use_meta_learner,
        )
        if config.use_lstm:
            meta = config.meta_hidden_size if config.use_meta_learner else 0
            self.lstm = BidirectionalLSTM(sum(sizes) + meta, config.lstm_hidden_size)
        self.dropout = nn.Dropout(config.dropout)
        self.pooling = AttentionPooling(config.hidden_size)
        if config.contrastive_dim:
            self.projection = nn.Linear(config.hidden_size, config.contrastive_dim)
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
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
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
            output_hidden_states: return the encoders' hidden states.
            output_attentions: return the encoders' attentions (needs eager attention).
            return_dict: False for a tuple.
            **kwargs: ignored.

        Raises:
            ValueError: inputs that are missing or have the wrong shape.
        """
        config = self.config
        if return_dict is None:
            return_dict = config.return_dict
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
            dtype = self.pooling.score.weight.dtype
            word_embeddings = word_embeddings.to(dtype)
            encoder_logits = encoder_logits.to(dtype)
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
        if config.use_lstm:
            states = self.lstm(states, word_mask)
        pooled, word_attention = self.pooling(states, word_mask)
        embedding = self.projection(pooled) if config.contrastive_dim else pooled
        output = StackedEmotionModelOutput(
            last_hidden_state=states,
            pooler_output=pooled,
            embedding=embedding,
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
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, tuple[Any, ...] | None, tuple[Any, ...] | None]:
        """Run the encoders: what the feature cache holds.

        Each encoder runs on its own longest text of the batch.

        Returns:
            word_embeddings (B, W, H), word_mask (B, W), encoder_logits (B, E, L), and the hidden
            states and attentions asked for.
        """
        config = self.config
        input_ids, attention_mask, word_index = self._check_inputs(
            input_ids, attention_mask, word_index
        )
        whole = bool(output_hidden_states or output_attentions)
        lengths, words = self._lengths(attention_mask, word_index, whole)
        parts, logits = [], []
        all_states: list[Any] = []
        all_attentions: list[Any] = []
        for index, name in enumerate(config.encoder_names):
            encoder = getattr(self, f"encoder_{name}")
            mask = attention_mask[:, : lengths[index], index]
            ids = input_ids[:, : lengths[index], index]
            pad = encoder.config.pad_token_id
            ids = ids.masked_fill(mask == 0, 0 if pad is None else pad)
            options = {}
            if output_hidden_states:
                options["output_hidden_states"] = True
            if output_attentions:
                options["output_attentions"] = True
            try:
                output = encoder(input_ids=ids, attention_mask=mask, return_dict=True, **options)
            except IndexError as error:
                raise ValueError(
                    f"input_ids of {name!r} reach {int(ids.max())}, its vocabulary has "
                    f"{encoder.config.vocab_size} tokens and its longest text is "
                    f"{getattr(encoder.config, 'max_position_embeddings', '?')}: are the tokenizer "
                    "and the model from the same folder?"
                ) from error
            states = output.last_hidden_state
            logits.append(getattr(self, f"head_{name}")(states, mask))
            parts.append(pool_words(states, word_index[:, : lengths[index], index], words))
            all_states.append(output.get("hidden_states"))
            all_attentions.append(output.get("attentions"))
        places = torch.arange(words, device=word_index.device)
        word_mask = (places < word_index.amax((1, 2)).unsqueeze(-1)).to(attention_mask.dtype)
        return (
            torch.cat(parts, dim=-1),
            word_mask,
            torch.stack(logits, dim=1),
            tuple(all_states) if output_hidden_states else None,
            tuple(all_attentions) if output_attentions else None,
        )

    def _check_inputs(
        self, input_ids: Tensor | None, attention_mask: Tensor | None, word_index: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        names = self.config.encoder_names
        given = (
            ("input_ids", input_ids),
            ("attention_mask", attention_mask),
            ("word_index", word_index),
        )
        checked = []
        for key, value in given:
            if value is None:
                raise ValueError(
                    f"{key} is missing: encode the texts with the StackedEmotionTokenizer of this "
                    "model."
                )
            if value.dim() != 3 or value.shape[-1] != len(names):
                raise ValueError(
                    f"{key} has the shape {tuple(value.shape)}; it must be (batch, sequence, "
                    f"{len(names)}), the last axis being the encoders {names}."
                )
            checked.append(value)
        return checked[0], checked[1], checked[2]

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
    """The stack with its classifier: one logit a label.

    Example:
        >>> from stacked_emotion import StackedEmotionForSequenceClassification
        >>> model = StackedEmotionForSequenceClassification.from_encoders(
        ...     {"marbert": "UBC-NLP/MARBERT", "arabicbert": "asafaya/bert-base-arabic"},
        ...     labels=["anger", "joy"],
        ... )  # doctest: +SKIP
    """

    _auto_class = "AutoModelForSequenceClassification"

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
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        word_index: Tensor | None = None,
        word_embeddings: Tensor | None = None,
        word_mask: Tensor | None = None,
        encoder_logits: Tensor | None = None,
        labels: Tensor | None = None,
        output_gates: bool | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> StackedEmotionClassifierOutput | tuple[Any, ...]:
        """Texts to logits; see `StackedEmotionModel.forward` for the arguments it shares.

        Args:
            input_ids: (B, S, E).
            attention_mask: (B, S, E).
            word_index: (B, S, E).
            word_embeddings: (B, W, H) instead of the three above.
            word_mask: (B, W).
            encoder_logits: (B, E, L).
            labels: (B, L) of 0 and 1, or probabilities; adds the plain mean binary cross entropy.
            output_gates: return gates and word attention.
            output_hidden_states: return the encoders' hidden states.
            output_attentions: return the encoders' attentions.
            return_dict: False for a tuple.
            **kwargs: ignored.

        Raises:
            ValueError: inputs that are missing or have the wrong shape.
        """
        if return_dict is None:
            return_dict = self.config.return_dict
        outputs = self.stacked(
            input_ids=input_ids,
            attention_mask=attention_mask,
            word_index=word_index,
            word_embeddings=word_embeddings,
            word_mask=word_mask,
            encoder_logits=encoder_logits,
            output_gates=output_gates,
            output_hidden_states=output_hidden_states,
            output_attentions=output_attentions,
            return_dict=True,
        )
        if not self.config.use_classifier:
            logits = outputs.meta_logits
        else:
            logits = self.classifier(outputs.pooler_output)
            if self.config.ensemble_start:
                logits = logits + outputs.meta_logits
        loss = None
        if labels is not None:
            if labels.shape != logits.shape:
                raise ValueError(
                    f"labels have the shape {tuple(labels.shape)}; they must be "
                    f"{tuple(logits.shape)}: (batch, labels), one 0 or 1 a label."
                )
            loss = nn.functional.binary_cross_entropy_with_logits(
                logits.float(), labels.to(logits.device).float()
            )
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

    def decide(self, logits: Tensor) -> Tensor:
        """The labels given to each text, by `config.decision`.

        By thresholds (0.5 where none are stored), or, for "expected_jaccard", of the k most likely
        labels the k >= 1 that maximises the expected intersection over the expected union with
        the true set, each label counting as likely as not at its threshold.

        Args:
            logits: (B, L).

        Returns:
            (B, L) bool.
        """
        logits = logits.double()
        thresholds = self.config.thresholds or [0.5] * self.config.num_labels
        limits = torch.tensor(thresholds, device=logits.device, dtype=logits.dtype)
        if self.config.decision == "threshold":
            return torch.sigmoid(logits) >= limits
        shifted = logits - torch.logit(limits.clamp(1e-6, 1 - 1e-6))
        likely = torch.sigmoid(self.config.decision_scale * shifted)
        ranked, order = likely.sort(dim=-1, descending=True, stable=True)
        sums = ranked.cumsum(-1)
        counts = torch.arange(1, sums.shape[-1] + 1, device=sums.device)
        best = (sums / (counts + sums[:, -1:] - sums)).argmax(-1, keepdim=True)
        chosen = torch.arange(sums.shape[-1], device=sums.device) <= best
        return torch.zeros_like(chosen).scatter(-1, order, chosen)
