"""How much each encoder counts in a stack, text by text and label by label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor


@torch.inference_mode()
def encoder_weights(model: Any, batches: Iterable[Mapping[str, Tensor]]) -> np.ndarray:
    """The weights with which the meta-learner adds up the encoders' own logits.

    They are read where the model uses them: `meta_logits` of a text is the sum over the encoders of
    these weights times the encoders' logits.

    Args:
        model: the stack, of either class; it is put into evaluation mode.
        batches: inputs of the model, from texts or from cached features.

    Returns:
        (texts, encoders, labels) float32 that sum to 1 over the encoders, in the batches' order.
    """
    model.eval()
    stack, labels, found = model.stack, model.config.num_labels, []

    def keep(_module: object, _inputs: object, outputs: tuple[Tensor, ...]) -> None:
        weights = outputs[1].float().cpu()  # (B, E, L), or (B, E, 1) for equal trust
        found.append(weights.expand(-1, -1, labels).numpy().copy())

    hook = stack.meta_learner.register_forward_hook(keep)
    try:
        for batch in batches:
            stack(**{key: value.to(model.device) for key, value in batch.items()})
    finally:
        hook.remove()
    if not found:
        return np.zeros((0, len(model.config.encoder_names), labels), np.float32)
    return np.concatenate(found)
