"""Why a text got a label: gates, attention and contributions of its words, from torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...common.errors import UserError, did_you_mean, quoted, shorten
from ...pipeline_stacked_emotion import without_word
from ..predictor import StackedEmotionPredictor
from ..score_bars import ranked
from ..text_predictor import TextPredictor
from .explanation import METHODS, Explanation, Method, WordExplanation


def explain(
    predictor: StackedEmotionPredictor,
    text: str,
    label: str | None = None,
    method: Method = "occlusion",
) -> Explanation:
    """Gates, attention and contributions of the words of a text.

    * "occlusion" (Zeiler & Fergus 2014): the label's probability, minus its probability for
      `without_word(text, start, end)`, both from `predictor.predict_proba`. One more text is
      computed for each word.
    * "gradient", gradient x input (Shrikumar et al. 2016): the gradient of the label's logit by
      the token embeddings that an encoder reads for the word, times these embeddings, summed over
      the word's sub-words and over the encoders: the slope of the logit as the word fades. One
      forward and one backward pass.

    In bfloat16 small contributions drown in rounding: load the predictor with `dtype="float32"`.
    Of a text that is too long, the part that the encoders read at once is explained.

    Args:
        predictor: the predictor. Gates, attention and gradients are always computed by torch.
        text: the text.
        label: which label; by default the most likely one.
        method: "occlusion" or "gradient".

    Raises:
        UserError: a label the model does not have, an unknown method, or something that is not
            one text.

    Example:
        >>> from stacked_emotion.inference import StackedEmotionPredictor, explain
        >>> predictor = StackedEmotionPredictor.from_pretrained("user/name", dtype="float32")
        >>> explanation = explain(predictor, "فرحان جدا", label="joy")
        >>> [word.word for word in explanation.words]
        ['فرحان', 'جدا']
    """
    if not isinstance(text, str):
        raise UserError(f"explain takes one text (str), not {type(text).__name__}.")
    if method not in METHODS:
        raise UserError(f"There is no method {method!r}; use one of {', '.join(METHODS)}.")
    labels = list(predictor.labels)
    if label is not None and label not in labels:
        raise UserError(
            f"The model has no label {shorten(label)}{did_you_mean(label, labels)}; it has "
            f"{quoted(labels)}."
        )
    model, tokenizer = predictor.model, predictor.tokenizer
    encoded = tokenizer([text], padding=True, return_tensors="pt", return_word_offsets=True)
    spans = encoded.pop("word_offsets")[0]
    inputs = {name: encoded[name].to(model.device) for name in tokenizer.model_input_names}
    occluded = _occluded(text, spans) if method == "occlusion" else []
    at_once = TextPredictor(predictor.encoder, predictor.decision, predictor.runner)
    found = at_once.score([text, *occluded])
    scores = found.probabilities
    place = int(scores[0].argmax()) if label is None else labels.index(label)
    if method == "occlusion":
        output = _forward(model, inputs)
        contributions = (scores[0, place].astype(float) - scores[1:, place]).tolist()
    else:
        output, by_word = _gradient_times_input(model, inputs, place, len(spans))
        contributions = by_word.tolist()
    names = list(model.config.encoder_names)
    by_head = torch.sigmoid(output.encoder_logits[0, :, place].float()).tolist()
    gates, attention = _word_values(output, len(spans))
    words = [
        WordExplanation(
            text[start:end],
            start,
            end,
            dict(zip(names, gates[index], strict=True)),
            attention[index],
            contributions[index],
        )
        for index, (start, end) in enumerate(spans)
    ]
    return Explanation(
        text=text,
        label=labels[place],
        score=float(scores[0, place]),
        given=bool(found.given[0, place]),
        method=method,
        encoder_scores=dict(zip(names, by_head, strict=True)),
        words=words,
        truncated=bool(found.truncated[0]),
        ranking=ranked(
            dict(zip(labels, scores[0].tolist(), strict=True)), found.labels[0], predictor.decision
        ),
    )


def _occluded(text: str, spans: Sequence[tuple[int, int]]) -> list[str]:
    """The text without each of its words; what truncation leaves out does not move in."""
    seen = text[: spans[-1][1]] if spans else text
    return [without_word(seen, start, end) for start, end in spans]


@torch.no_grad()
def _forward(model: Any, inputs: dict[str, Tensor]) -> Any:
    return model(**inputs, output_gates=True, return_dict=True)


def _gradient_times_input(
    model: Any, inputs: dict[str, Tensor], place: int, words: int
) -> tuple[Any, Tensor]:
    """The model's output for one text, and gradient x input of each word, (words,) float64."""
    read: dict[str, list[Tensor]] = {name: [] for name in model.config.encoder_names}
    hooks = []

    def catch(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
            leaf = output.detach().requires_grad_(True)
            read[name].append(leaf)
            return leaf

        return hook

    try:
        for name in read:
            embeddings = model.get_encoder(name).get_input_embeddings()
            hooks.append(embeddings.register_forward_hook(catch(name)))
        # cuDNN's LSTM has no backward pass in evaluation mode
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            output = model(**inputs, output_gates=True, return_dict=True)
            leaves = [leaf for caught in read.values() for leaf in caught]
            slopes = torch.autograd.grad(
                output.logits[0, place].float(), leaves, allow_unused=True, materialize_grads=True
            )
    finally:
        for handle in hooks:
            handle.remove()
    contributions = torch.zeros(words + 1, dtype=torch.float64)  # the first for no word
    encoders = [index for index, caught in enumerate(read.values()) for _ in caught]
    for encoder, leaf, slope in zip(encoders, leaves, slopes, strict=True):
        products = (leaf.detach().double() * slope.double()).sum(-1)[0].cpu()
        word_index = inputs["word_index"][0, : len(products), encoder].cpu()
        contributions.index_add_(0, word_index, products)
    return output, contributions[1:]


def _word_values(output: Any, words: int) -> tuple[list[list[float]], list[float]]:
    """Gates (words, encoders) and attention (words,); a text stacked as a whole shares its own."""
    gates = output.gates[0].detach().float().tolist()
    attention = output.word_attention[0].detach().float().tolist()
    if len(gates) < words:  # stacking_level "sentence": one vector per text
        return gates[:1] * words, [1 / words] * words
    return gates[:words], attention[:words]
