"""What the models of the stack share: weight initialization, and loading of the encoders."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init

from .checks_stacked_emotion import check_encoder_keys, most_weights
from .configuration_stacked_emotion import StackedEmotionConfig
from .encoders_stacked_emotion import load_encoder
from .folders_stacked_emotion import check_weights, refuse_links
from .layers_stacked_emotion import Calibration, EncoderHead, MetaLearner, ZeroStartLinear

_SPARE_WEIGHTS = 1 << 26


class StackedEmotionPreTrainedModel(PreTrainedModel):
    """Weight initialization, and loading of the encoders."""

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
        elif isinstance(module, Calibration):
            init.ones_(module.scale)
            init.zeros_(module.bias)
        else:
            super()._init_weights(module)

    @property
    def stack(self) -> Any:
        """The base model."""
        return getattr(self, self.base_model_prefix, self)

    def get_encoder(self, name: str | None = None) -> PreTrainedModel:
        """The encoder of that name.

        Args:
            name: one of `config.encoder_names`; may be left out where there is only one.

        Raises:
            KeyError: an unknown name; the message lists the names.
            ValueError: no name, but several encoders.
        """
        names = self.config.encoder_names
        if name is None and len(names) != 1:
            raise ValueError(f"This stack has the encoders {names}: use get_encoder(name).")
        name = names[0] if name is None else name
        if name not in names:
            raise KeyError(f"There is no encoder {name!r}; there are {names}.")
        return getattr(self.stack, f"encoder_{name}")

    def get_encoder_head(self, name: str) -> EncoderHead:
        """The head the encoder of that name was fine-tuned with."""
        self.get_encoder(name)
        return getattr(self.stack, f"head_{name}")

    def get_input_embeddings(self) -> nn.Module:
        """Token embeddings of the first encoder; each encoder has its own."""
        return self.get_encoder(self.config.encoder_names[0]).get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the token embeddings of the first encoder."""
        self.get_encoder(self.config.encoder_names[0]).set_input_embeddings(value)

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> nn.Module:
        """Refused: each encoder has a vocabulary of its own."""
        raise NotImplementedError(
            "Every encoder has its own vocabulary: use "
            "model.get_encoder(name).resize_token_embeddings(...)."
        )

    def set_attn_implementation(self, attn_implementation: str | dict, *args: Any) -> None:
        """As in `PreTrainedModel`: for all encoders, or by encoder name.

        Raises:
            ValueError: an unknown attention, or an unknown encoder.
        """
        names = self.config.encoder_names
        check_encoder_keys("attn_implementation", attn_implementation, names)
        super().set_attn_implementation(attn_implementation, *args)

    @property
    def dummy_inputs(self) -> dict[str, torch.Tensor]:
        """Inputs of a forward pass: (batch, sequence, encoders) each."""
        ids = super().dummy_inputs["input_ids"]
        ids = ids.unsqueeze(-1).repeat(1, 1, len(self.config.encoder_names))
        words = torch.arange(ids.shape[1])[None, :, None].expand_as(ids)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "word_index": words}

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """As in `PreTrainedModel`, from safetensors inside the folder alone.

        Weights that do not fit, NaN and infinite ones are refused, and so is a configuration that
        asks for many more weights than there are, before memory is taken. Weights that have only
        a part of an encoder are refused too: the rest would be random.

        Raises:
            ValueError: a malformed configuration, or damaged weights.
            OSError: a file is missing or is not what `save_pretrained` wrote.
        """
        source = args[0] if args else kwargs.get("pretrained_model_name_or_path")
        if (kwargs.get("adapter_kwargs") or {}).get("_adapter_model_path"):
            raise ValueError(f"{source} is an adapter, not a model.")
        folder = Path(str(source or ""), kwargs.get("subfolder") or "")
        if source is not None and folder.is_dir():
            stored = check_weights(folder)
            cls.refuse_large(kwargs.get("config") or StackedEmotionConfig.from_pretrained(folder),
                             stored)  # fmt: skip
        kwargs["use_safetensors"] = True
        with_info = kwargs.pop("output_loading_info", False)
        try:
            model, info = super().from_pretrained(*args, output_loading_info=True, **kwargs)
        except Exception as error:
            if type(error).__name__ == "SafetensorError":  # it comes from Rust
                raise ValueError(f"The weights of {source} are not whole: {error}") from error
            if "ignore_mismatched_sizes" not in str(error):
                raise
            raise ValueError(f"The weights do not fit config.json: {error}") from error
        if source is not None:
            _refuse_parts_of_encoders(model, set(info["missing_keys"]))
        check_finite(model)
        return (model, info) if with_info else model

    @classmethod
    def refuse_large(cls, config: StackedEmotionConfig, stored: int) -> None:
        """Refuse a configuration with many more weights than are stored.

        Args:
            config: of the model.
            stored: bytes of its weights; each weight takes at least one.

        Raises:
            ValueError: with both numbers.
        """
        if most_weights(config) <= stored + _SPARE_WEIGHTS:
            return
        with torch.device("meta"):
            asked = sum(weight.numel() for weight in cls(config).parameters())
        if asked > stored + _SPARE_WEIGHTS:
            raise ValueError(
                f"The weights do not fit config.json: it asks for {asked:,} weights, and the files "
                f"have {stored:,} bytes."
            )

    def save_pretrained(
        self, save_directory: str | os.PathLike[str], *args: Any, **kwargs: Any
    ) -> None:
        """As in `PreTrainedModel`.

        Raises:
            ValueError: a link in the folder leads out of it.
        """
        refuse_links(Path(save_directory))
        super().save_pretrained(save_directory, *args, **kwargs)

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
            encoders: a Hub ID, folder or loaded model for each name; their order is the order of
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
                cls,
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


def check_finite(model: nn.Module) -> None:
    """Refuse NaN and infinite weights; it reads each weight once.

    Raises:
        ValueError: with the name of the weight.
    """
    for name, weight in [*model.named_parameters(), *model.named_buffers()]:
        if weight.is_meta or not weight.is_floating_point() or not weight.numel():
            continue
        low, high = torch.aminmax(weight.detach())
        if not (torch.isfinite(low) and torch.isfinite(high)):
            raise ValueError(f"The weights are damaged: {name} holds NaN or infinity.")


def _refuse_parts_of_encoders(model: PreTrainedModel, missing: set[str]) -> None:
    """Refuse weights that have some of an encoder's weights and lack others.

    Args:
        model: as it was loaded.
        missing: names of the weights that were not in the files.
    """
    names = [name for name, _ in model.named_parameters()]
    for encoder in model.config.encoder_names:
        own = [name for name in names if f"encoder_{encoder}." in name]
        lacking = [name for name in own if name in missing]
        if 0 < len(lacking) < len(own):
            raise ValueError(
                f"The weights do not fit config.json: the files lack {len(lacking):,} of the "
                f"{len(own):,} weights of the encoder {encoder!r}, such as {lacking[0]}."
            )
