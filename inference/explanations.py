"""Why a text got its labels: gates, attention, and each word's contribution."""

from __future__ import annotations

import html
from dataclasses import dataclass

import torch

from .predictor import StackedEmotionPredictor


@dataclass(frozen=True)
class WordExplanation:
    """One word of a text.

    Attributes:
        word: the word as it stands in the text.
        start, end: its characters in the text.
        gates: trust in each encoder, by name.
        attention: its weight in the pooling of the words.
        contribution: change of the label's logit by this word (see `explain`).
    """

    word: str
    start: int
    end: int
    gates: dict[str, float]
    attention: float
    contribution: float


@dataclass(frozen=True)
class Explanation:
    """A text explained for one label.

    Attributes:
        text: the text.
        label: the label.
        score: its probability.
        words: one entry a word that the model sees.
    """

    text: str
    label: str
    score: float
    words: list[WordExplanation]

    def to_text(self, width: int = 20) -> str:
        """Bars for a terminal, one word a line."""
        largest = max((abs(word.contribution) for word in self.words), default=0.0) or 1.0
        longest = max((len(word.word) for word in self.words), default=0)
        lines = [f"{self.label} {self.score:.2f}"]
        for word in self.words:
            bar = "█" * round(width * abs(word.contribution) / largest)
            trusted = max(word.gates, key=lambda name: word.gates[name])
            sign = "+" if word.contribution >= 0 else "-"
            lines.append(f"  {word.word:<{longest}} {sign} {bar:<{width}} {trusted}")
        return "\n".join(lines)

    def to_html(self) -> str:
        """The text with its words coloured, green for the label and red against it.

        The text is escaped and marked `dir="auto"`, so that it reads right to left where it does.
        """
        largest = max((abs(word.contribution) for word in self.words), default=0.0) or 1.0
        pieces, position = [], 0
        for word in self.words:
            pieces.append(html.escape(self.text[position : word.start]))
            share = abs(word.contribution) / largest
            colour = "0,128,0" if word.contribution >= 0 else "192,0,0"
            title = ", ".join(f"{name} {gate:.2f}" for name, gate in word.gates.items())
            pieces.append(
                f'<span style="background:rgba({colour},{0.6 * share:.2f})" '
                f'title="{html.escape(title)}">{html.escape(word.word)}</span>'
            )
            position = word.end
        pieces.append(html.escape(self.text[position:]))
        return (
            f'<p dir="auto"><strong dir="ltr">{html.escape(self.label)} {self.score:.2f}</strong> '
            f"{''.join(pieces)}</p>"
        )


def explain(predictor: StackedEmotionPredictor, text: str, label: str | None = None) -> Explanation:
    """Gates, attention and contributions of the words of a text.

    A word's contribution is gradient x input: the gradient of the label's logit by the word's
    stacked embedding, times that embedding (Shrikumar et al. 2016). It covers the layers on top of
    the encoders; the encoders' own heads see the text as a whole.

    Args:
        predictor: the predictor.
        text: the text.
        label: which label; by default the most likely one.

    Raises:
        ValueError: a label the model does not have.
    """
    model, tokenizer = predictor.model, predictor.tokenizer
    encoded = tokenizer([text], return_tensors="pt", return_word_offsets=True)
    spans = encoded.pop("word_offsets")[0]
    inputs = {key: value.to(model.device) for key, value in encoded.items()}
    with torch.no_grad():
        embeddings, mask, logits, *_ = model.stacked.encode(**inputs)
    embeddings = embeddings.detach().requires_grad_(True)
    with torch.enable_grad():
        output = model(
            word_embeddings=embeddings, word_mask=mask, encoder_logits=logits, output_gates=True
        )
        scores = torch.sigmoid(output.logits[0].float())
        if label is None:
            label = predictor.labels[int(scores.argmax())]
        if label not in predictor.labels:
            raise ValueError(f"The model has no label {label!r}; it has {predictor.labels}.")
        place = predictor.labels.index(label)
        (gradient,) = torch.autograd.grad(output.logits[0, place], embeddings)
    score = float(scores[place].detach())
    contributions = (gradient * embeddings).sum(-1)[0].tolist()
    names = model.config.encoder_names
    sentence = output.gates.shape[1] != embeddings.shape[1]
    words = []
    for index, (start, end) in enumerate(spans):
        row = 0 if sentence else index
        gates = dict(zip(names, output.gates[0, row].tolist(), strict=True))
        attention = 1 / len(spans) if sentence else float(output.word_attention.detach()[0, index])
        words.append(
            WordExplanation(text[start:end], start, end, gates, attention, contributions[index])
        )
    return Explanation(text, label, score, words)
