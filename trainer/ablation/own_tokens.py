"""Single encoders on their own tokenization, without our word cutting.

An encoder's head pools the sub-words its tokenizer makes of the raw text, so the words matter to a
single encoder only where a text is cut (at whole words here, at `max_length` tokens there) and
where the recipe normalizes texts or puts placeholders in. So the texts are tokenized once more by
each encoder's own tokenizer alone; those whose tokens differ are run again, the others are scored
as they are already.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer

from ...common.batching import batches_by_length
from ...modeling_stacked_emotion import StackedEmotionForSequenceClassification
from ..stages.context import RunContext
from ..stages.encoders import load_fine_tuned
from ..stages.features import encoder_parts_of_rows, scored_features, training_features


def own_token_logits(
    context: RunContext, name: str, batch_size: int = 32
) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, dict[str, int]]]:
    """Logits of one fine-tuned encoder on what its own tokenizer makes of the texts.

    The encoder was fine-tuned on the run's tokens; where `changed` is 0 for the training texts,
    fine-tuning on its own tokens would have been the same.

    Args:
        context: the run, its encoders fine-tuned.
        name: the encoder.
        batch_size: texts at a time.

    Returns:
        Out-of-fold logits of the training rows (rows, labels); logits by held-out split; and by
        split the number of `texts` and of those with `changed` tokens.
    """
    index = context.names.index(name)
    logits: dict[str, np.ndarray] = {}
    counts: dict[str, dict[str, int]] = {}
    for split in ("train", *context.held_out_splits):
        cache = training_features(context) if split == "train" else scored_features(context, split)
        found = np.array(cache.encoder_logits()[:, index])
        own = own_tokens(context, name, split)
        differing = np.array(sorted(own), int)
        for part, rows in encoder_parts_of_rows(context, split).items():
            again = differing[np.isin(differing, rows)]
            if len(again):
                model = load_fine_tuned(context, name, part)
                found[again] = _run(model, [own[int(row)] for row in again], batch_size)
        logits[split] = found
        counts[split] = {"texts": len(found), "changed": len(differing)}
    return logits.pop("train"), logits, counts


def own_tokens(context: RunContext, name: str, split: str) -> dict[int, list[int]]:
    """By row the ids that the encoder's own tokenizer gives where they are not those of the run."""
    recipe = context.recipe
    index = context.names.index(name)
    given, state = recipe.encoders[name], context.source_states.get(name) or {}
    revision = state.get("commit") or given.revision
    tokenizer: Any = AutoTokenizer.from_pretrained(given.source, revision=revision)
    prefix = recipe.prefixes().get(name, "")
    texts = [prefix + text for text in context.splits[split].texts]
    ids = tokenizer(texts, truncation=True, max_length=context.tokenizer.model_max_length)
    encoded = context.encoded[split].column(index)
    found = {}
    for row, own in enumerate(ids["input_ids"]):
        item = encoded[row]
        attended = item["attention_mask"][:, 0].astype(bool)
        if item["input_ids"][attended, 0].tolist() != own:
            found[row] = own
    return found


@torch.inference_mode()
def _run(
    model: StackedEmotionForSequenceClassification, rows: list[list[int]], batch_size: int
) -> np.ndarray:
    """(rows, labels) logits of the encoder's head; no sub-word belongs to a word."""
    model.eval()
    lengths = np.array([len(row) for row in rows])
    logits = np.zeros((len(rows), model.config.num_labels), np.float32)
    for batch in batches_by_length(lengths, size=batch_size):
        ids = torch.zeros(len(batch), max(1, lengths[batch].max()), 1, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for place, row in enumerate(batch):
            ids[place, : lengths[row], 0] = torch.tensor(rows[row])
            mask[place, : lengths[row], 0] = 1
        logits[batch] = model.stacked.encode(ids, mask, torch.zeros_like(ids))[2][:, 0].numpy()
    return logits
