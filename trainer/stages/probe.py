"""A linear probe on hidden layers of an encoder that is not trained."""

from __future__ import annotations

import numpy as np
import torch
from accelerate import PartialState
from sklearn.linear_model import LogisticRegression

from ...alignment_stacked_emotion import INPUTS
from ...common.batching import batches_by_length
from ...layers_stacked_emotion import masked_mean
from ...modeling_stacked_emotion import StackedEmotionForSequenceClassification
from ..data_collator import EncodedTextCollator, EncodedTexts
from ..running.progress import report_progress

_LEAST_DEVIATION = 1e-6


def fit_probe(
    model: StackedEmotionForSequenceClassification,
    name: str,
    texts: EncodedTexts,
    c: float,
) -> None:
    """Fit the output layer of an encoder's head: logistic regression per label.

    The head reads text means of hidden layers, standardized over these texts; means and deviations
    become part of its weights. A label that all texts or none have keeps its initial weights.

    Args:
        model: the stack of this encoder; its head has no dense layer.
        name: of the encoder.
        texts: encoded texts with their labels.
        c: inverse of the L2 penalty, as in scikit-learn.
    """
    labels = np.asarray(texts.labels)
    features = text_means(model, name, texts)
    means, deviations = features.mean(0), features.std(0).clip(_LEAST_DEVIATION)
    features = (features - means) / deviations
    output = model.get_encoder_head(name).output
    for label in range(labels.shape[1]):
        if 0 < labels[:, label].sum() < len(labels):
            found = LogisticRegression(C=c, max_iter=1000).fit(features, labels[:, label])
            weights = found.coef_[0] / deviations
            bias = found.intercept_[0] - weights @ means
        else:
            weights, bias = np.zeros_like(means), float(output.bias[label].detach())
        with torch.no_grad():
            output.weight[label] = torch.from_numpy(weights)
            output.bias[label] = float(bias)


@torch.inference_mode()
def text_means(
    model: StackedEmotionForSequenceClassification,
    name: str,
    texts: EncodedTexts,
    batch_tokens: int = 4096,
) -> np.ndarray:
    """(texts, width) float64: what the head of an encoder pools of each text."""
    encoder, head = model.get_encoder(name), model.get_encoder_head(name)
    device = PartialState().device
    encoder.to(device).eval()
    collate = EncodedTextCollator()
    found = np.zeros((len(texts), head.output.in_features))
    batches = batches_by_length(texts.lengths, batch_tokens)
    pad = encoder.config.pad_token_id or 0
    for number, batch in enumerate(batches, 1):
        inputs = collate([texts[int(row)] for row in batch])
        ids, mask = (inputs[key][..., 0].to(device) for key in INPUTS[:2])
        mask = (mask != 0).long()
        output = encoder(
            input_ids=ids.long().masked_fill(mask == 0, pad), attention_mask=mask,
            output_hidden_states=True, return_dict=True,
        )  # fmt: skip
        found[batch] = masked_mean(head.read(output), mask).double().cpu().numpy()
        report_progress(number / len(batches))
    encoder.cpu()
    return found
