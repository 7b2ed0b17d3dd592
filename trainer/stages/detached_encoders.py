"""Training on cached features without carrying the encoders along."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...modeling_stacked_emotion import StackedEmotionForSequenceClassification


@contextmanager
def encoders_aside(model: StackedEmotionForSequenceClassification) -> Iterator[None]:
    """Take the encoders and their heads out of the model, and put them back in the end.

    On cached features they have nothing to do, but `Trainer` goes through every module and every
    parameter of the model several times a step: `train()`, `zero_grad()`, the clipping of
    gradients.

    Args:
        model: the stack; meanwhile it takes `word_embeddings` only. Its modules come back in their
            old order, so that its parameters and its state dict are as before.
    """
    modules = model.stack._modules
    before = dict(modules)
    for name in model.config.encoder_names:
        del modules[f"encoder_{name}"], modules[f"head_{name}"]
    try:
        yield
    finally:
        added = {name: module for name, module in modules.items() if name not in before}
        modules.clear()
        modules.update(before | added)
