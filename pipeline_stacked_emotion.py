"""`pipeline("emotion-classification")`: the labels the model gives, by its own decision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import Pipeline

_OCCLUDED_AT_ONCE = 32


class StackedEmotionPipeline(Pipeline):
    """Texts to the labels that `model.decide` gives them, most likely first.

    Args:
        top_k: at most this many of the given labels; None for all of them.
        return_words: also say what each word does for these labels, see `__call__`.
        **tokenizer_options: options of the tokenizer, such as `max_length`.

    Example, not run: the code comes from a published repository.
        >>> from transformers import pipeline
        >>> classify = pipeline("emotion-classification", model="user/emotions",
        ...                     trust_remote_code=True)  # doctest: +SKIP
        >>> classify("فرحان جدا اليوم")  # doctest: +SKIP
        [{'label': 'joy', 'score': 0.93}, {'label': 'optimism', 'score': 0.58}]
    """

    _load_processor = False
    _load_image_processor = False
    _load_feature_extractor = False
    _load_tokenizer = True

    def _sanitize_parameters(
        self, top_k: Any = "", return_words: bool | None = None, **tokenizer_options: Any
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        before, between = dict(tokenizer_options), {}
        after: dict[str, Any] = {}
        if tokenizer_options:
            between["tokenizer_options"] = tokenizer_options
        if return_words is not None:
            before["return_words"] = return_words
        if top_k != "":
            whole = isinstance(top_k, int) and not isinstance(top_k, bool)
            if top_k is not None and not (whole and top_k >= 1):
                raise ValueError(f"top_k is {top_k!r}; it must be None or at least 1.")
            after["top_k"] = top_k
        return before, between, after

    def __call__(self, inputs: Any, **options: Any) -> Any:
        """Classify one text, or several.

        Args:
            inputs: a text, a list or column of texts, a dataset or a generator of texts.
            **options: `top_k`, `return_words`, `batch_size`, `num_workers`, and those of the
                tokenizer.

        Returns:
            For a text: `[{"label": name, "score": probability}, …]`, the most likely label first;
            empty if no label is given. A text without any word gets none. For a list of texts: a
            list of these. With `return_words`, for each text `{"labels": […], "words": […]}`. Each
            word is `{"word", "start", "end", "gates": {encoder: trust}, "contribution": {label:
            share}}`: the label's probability, minus that of the text without the word (occlusion,
            Zeiler & Fergus 2014). If no label is given, the contribution is for the most likely
            one. This takes one more text per word.

        Raises:
            ValueError: something that is not a text, or a `top_k` below 1.
        """
        if hasattr(inputs, "columns"):  # a DataFrame
            raise ValueError("Give one column of the table: classify(table['text']).")
        column = isinstance(inputs, Sequence) or hasattr(inputs, "tolist")  # of a table
        if column and not isinstance(inputs, str):
            inputs = list(inputs)
        return super().__call__(inputs, **options) if inputs != [] else []

    def preprocess(
        self, text: Any, return_words: bool = False, **tokenizer_options: Any
    ) -> dict[str, Any]:
        """A text to a batch of one."""
        if isinstance(text, dict) and set(text) == {"text"}:
            text = text["text"]
        if not isinstance(text, str):
            raise ValueError(f"A text must be a str, not {type(text).__name__}: {text!r:.100}")
        encoded = self.tokenizer(
            [text], return_tensors="pt", return_word_offsets=return_words, **tokenizer_options
        )
        batch = {name: encoded[name] for name in self.tokenizer.model_input_names}
        if return_words:
            spans = [(int(start), int(end)) for start, end in encoded["word_offsets"][0]]
            batch |= {"text": text, "spans": spans}
        return batch

    def _forward(
        self, batch: dict[str, Any], tokenizer_options: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        inputs = {name: batch[name] for name in self.tokenizer.model_input_names}
        explained = "text" in batch
        output = self.model(**inputs, output_gates=explained, return_dict=True)
        answer = {
            "logits": output.logits,  # (B, L)
            "has_words": inputs["word_index"].amax((1, 2)) > 0,  # (B,)
        }
        if not explained:
            return answer
        alone = isinstance(batch["text"], str)  # not collated: a batch of one
        texts = [batch["text"]] if alone else batch["text"]
        spans = [batch["spans"]] if alone else batch["spans"]
        probabilities = torch.sigmoid(output.logits.float())
        contributions = [
            row - self._without_each_word(text, words, tokenizer_options or {}).to(row.device)
            for row, text, words in zip(probabilities, texts, spans, strict=True)
        ]
        return answer | {
            "gates": output.gates,  # (B, W, E)
            "contributions": contributions[0] if alone else contributions,  # (words, L) each
            "text": batch["text"],
            "spans": batch["spans"],
        }

    def _without_each_word(
        self, text: str, spans: list[tuple[int, int]], options: dict[str, Any]
    ) -> Tensor:
        """(words, L) probabilities of the text without each of its words."""
        # What truncation leaves out must not move in.
        seen = text[: spans[-1][1]] if spans else text
        texts = [without_word(seen, start, end) for start, end in spans]
        found = [torch.zeros(0, self.model.config.num_labels)]
        options = {**options, "padding": True, "return_tensors": "pt"}
        for first in range(0, len(texts), _OCCLUDED_AT_ONCE):
            encoded = self.tokenizer(texts[first : first + _OCCLUDED_AT_ONCE], **options)
            inputs = {
                name: encoded[name].to(self.device) for name in self.tokenizer.model_input_names
            }
            found.append(torch.sigmoid(self.model(**inputs).logits.float()).cpu())
        return torch.cat(found)

    def postprocess(self, output: dict[str, Any], top_k: int | None = None) -> Any:
        """Logits of one text to its labels."""
        names = [self.model.config.id2label[place] for place in range(output["logits"].shape[-1])]
        logits = output["logits"].reshape(1, -1)
        given = self.model.decide(logits, output["has_words"].reshape(-1))[0].tolist()
        scores = torch.sigmoid(logits[0].float()).tolist()
        ranked = sorted(range(len(names)), key=lambda place: -scores[place])
        chosen = [place for place in ranked if given[place]][:top_k]
        labels = [{"label": names[place], "score": scores[place]} for place in chosen]
        if "spans" not in output:
            return labels
        places = chosen or ranked[:1]
        contributions = output["contributions"].reshape(-1, len(names))  # (words, L)
        gates = output["gates"].float().flatten(0, 1).tolist()  # (W, E)
        if len(gates) < len(output["spans"]):  # stacking_level "sentence": one vector per text
            gates = gates[:1] * len(output["spans"])
        encoders = self.model.config.encoder_names
        words = [
            {
                "word": output["text"][start:end],
                "start": start,
                "end": end,
                "gates": dict(zip(encoders, gates[index], strict=True)),
                "contribution": {
                    names[place]: contributions[index, place].item() for place in places
                },
            }
            for index, (start, end) in enumerate(output["spans"])
        ]
        return {"labels": labels, "words": words}


def without_word(text: str, start: int, end: int) -> str:
    """The text without the characters `[start, end)`, its neighbors neither joined nor parted.

    Where white space stood on both sides, or the text's edge on one, one piece of it goes too;
    where there was none on either side, a space takes the word's place.

    Example:
        >>> without_word("not so good", 4, 6)
        'not good'
        >>> without_word("good,but", 4, 5)
        'good but'
    """
    left, right = text[:start], text[end:]
    spaced_left = not left or left[-1].isspace()
    spaced_right = not right or right[0].isspace()
    if spaced_left and spaced_right:
        return left + right[1:] if right else left[:-1]
    return left + right if spaced_left or spaced_right else f"{left} {right}"
