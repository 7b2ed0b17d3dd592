"""Emotions of texts: batches by length, scores in the order of the texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from ..modeling_stacked_emotion import StackedEmotionForSequenceClassification
from ..tokenization_stacked_emotion import StackedEmotionTokenizer

WINDOW = 4096
BATCH_TOKENS = 4096


@dataclass(frozen=True)
class Prediction:
    """The answer for one text.

    Attributes:
        labels: the labels given (see `decision` in the config), most likely first.
        scores: probability of every label, in the model's order.
    """

    labels: list[str]
    scores: dict[str, float]


class StackedEmotionPredictor:
    """Predicts emotions with a stack, from one text to a stream without end.

    Args:
        model: the stack.
        tokenizer: its tokenizer; one made for other encoders is refused.
        device: where the model runs.

    Example:
        >>> predictor = StackedEmotionPredictor.from_pretrained("user/name")  # doctest: +SKIP
        >>> predictor.predict(["فرحان جدا"])[0].labels  # doctest: +SKIP
        ['joy']
    """

    def __init__(
        self,
        model: StackedEmotionForSequenceClassification,
        tokenizer: StackedEmotionTokenizer,
        device: str | torch.device = "cpu",
    ) -> None:
        tokenizer.check_model(model.config)
        self.model = model.to(device).eval()
        self.tokenizer = tokenizer

    @classmethod
    def from_pretrained(
        cls,
        path_or_id: str,
        dtype: str | torch.dtype = "auto",
        device: str = "auto",
        revision: str | None = None,
        **hub_options: Any,
    ) -> StackedEmotionPredictor:
        """Load a folder or a Hub repository.

        Args:
            path_or_id: the folder, or the id.
            dtype: of the weights; "auto" for bfloat16 where the device computes in it natively,
                float32 elsewhere.
            device: "auto" for the first GPU, if there is one.
            revision: commit, tag or branch of a Hub id.
            **hub_options: `token`, `cache_dir`, `local_files_only`.

        Raises:
            OSError: what is there is not a whole model, with what is missing.
        """
        where = torch.device(
            ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        )
        if isinstance(dtype, str):
            dtype = native_dtype(where) if dtype == "auto" else getattr(torch, dtype)
        options = {"revision": revision or "main", **hub_options}
        model = StackedEmotionForSequenceClassification.from_pretrained(
            path_or_id, dtype=dtype, **options
        )
        tokenizer = StackedEmotionTokenizer.from_pretrained(path_or_id, **options)
        return cls(model, tokenizer, where)

    @property
    def labels(self) -> list[str]:
        """The labels, in the order of the scores."""
        return self.model.config.label_names

    @property
    def thresholds(self) -> list[float]:
        """The probability at which each label is given; 0.5 where none is stored."""
        return list(self.model.config.thresholds or [0.5] * len(self.labels))

    def predict(
        self, texts: Sequence[str], batch_tokens: int = BATCH_TOKENS, progress: bool = False
    ) -> list[Prediction]:
        """Labels and scores of texts, in their order.

        Args:
            texts: the texts; an empty one is a text without words.
            batch_tokens: positions a batch, padding included.
            progress: show a bar.

        Raises:
            ValueError: something that is not a text, with its position.
        """
        scores = self.predict_proba(texts, batch_tokens, progress)
        return [
            self._answer(row, given) for row, given in zip(scores, self.decide(scores), strict=True)
        ]

    def decide(self, scores: np.ndarray) -> np.ndarray:
        """The labels given for (texts, labels) probabilities, as the model's config says."""
        logits = torch.logit(torch.from_numpy(scores).double(), eps=1e-9)
        return self.model.decide(logits).numpy()

    def stream(
        self, texts: Iterable[str], window: int = WINDOW, batch_tokens: int = BATCH_TOKENS
    ) -> Iterator[Prediction]:
        """As `predict`, over an iterable of any length in bounded memory.

        Args:
            texts: the texts.
            window: texts read ahead; they are sorted by length, and equal ones computed once.
            batch_tokens: positions a batch.
        """
        source = iter(texts)
        while part := list(islice(source, window)):
            yield from self.predict(part, batch_tokens)

    def predict_proba(
        self, texts: Sequence[str], batch_tokens: int = BATCH_TOKENS, progress: bool = False
    ) -> np.ndarray:
        """Probabilities of texts, (texts, labels) float32, in their order.

        Args:
            texts: the texts.
            batch_tokens: positions a batch, padding included.
            progress: show a bar.

        Raises:
            ValueError: something that is not a text, with its position.
        """
        texts = self._checked(texts)
        scores = np.zeros((len(texts), len(self.labels)), np.float32)
        with tqdm(total=len(texts), disable=not progress, unit="texts") as bar:
            for start in range(0, len(texts), WINDOW):
                part = texts[start : start + WINDOW]
                scores[start : start + len(part)] = self._window(part, batch_tokens)
                bar.update(len(part))
        return scores

    @torch.inference_mode()
    def _window(self, texts: Sequence[str], batch_tokens: int) -> np.ndarray:
        different = list(dict.fromkeys(texts))
        encoded = self.tokenizer(different, padding=True, return_tensors="pt")
        lengths = encoded["attention_mask"].sum(1).amax(1).tolist()
        order = sorted(range(len(different)), key=lengths.__getitem__)
        scores = np.zeros((len(different), len(self.labels)), np.float32)
        for rows in _batches(order, lengths, batch_tokens):
            longest = max(lengths[rows[-1]], int(encoded["word_index"][rows].max()) + 1)
            batch = {
                key: encoded[key][rows, :longest].to(self.model.device)
                for key in self.tokenizer.model_input_names
            }
            logits = self.model(**batch).logits
            scores[rows] = torch.sigmoid(logits.float()).cpu().numpy()
        place = {text: row for row, text in enumerate(different)}
        return scores[[place[text] for text in texts]]

    def _checked(self, texts: Sequence[str]) -> Sequence[str]:
        if isinstance(texts, str):
            raise ValueError("Give a list of texts: [text] for a single one.")
        for position, text in enumerate(texts):
            if not isinstance(text, str):
                raise ValueError(
                    f"texts[{position}] is {type(text).__name__} ({text!r}), not str: drop it or "
                    "turn it into a text."
                )
        return texts

    def _answer(self, scores: np.ndarray, given: np.ndarray) -> Prediction:
        pairs = dict(zip(self.labels, scores.tolist(), strict=True))
        labels = [label for label, chosen in zip(self.labels, given, strict=True) if chosen]
        return Prediction(sorted(labels, key=lambda label: -pairs[label]), pairs)


def native_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the device computes in it natively, float32 elsewhere; torch is asked."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    native = getattr(torch.cpu, "_is_avx512_bf16_supported", bool)()
    tiles = getattr(torch.cpu, "_is_amx_tile_supported", bool)()
    return torch.bfloat16 if native or tiles else torch.float32


def _batches(
    order: Sequence[int], lengths: Sequence[int], batch_tokens: int
) -> Iterator[list[int]]:
    """Rows, shortest first, in batches of at most `batch_tokens` padded positions."""
    batch: list[int] = []
    for row in order:
        if batch and lengths[row] * (len(batch) + 1) > batch_tokens:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
