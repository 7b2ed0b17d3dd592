"""An explanation of a text's label, as lines for a terminal and as HTML."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from ...common.inert_text import in_html, printable
from ..score_bars import Bar, sides
from .rendering import UNITS, isolated, text_direction

Method = Literal["occlusion", "gradient"]
METHODS: tuple[Method, ...] = ("occlusion", "gradient")


@dataclass(frozen=True)
class WordExplanation:
    """One word of a text.

    Attributes:
        word: the word in the text: `text[start:end]`.
        start, end: its characters (code points) in the text, the end excluded.
        gates: trust in each encoder for this word, by encoder name; they sum to 1.
        attention: the word's weight in the pooling; the words' weights sum to 1.
        contribution: what the word does for the label, see `explain` for its unit.
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
        text: the text, as it was given.
        label: the label.
        score: its probability, the same that `predict_proba` gives.
        given: whether the model gives the text this label.
        method: how the contributions were computed, "occlusion" or "gradient".
        encoder_scores: the label's probability by each encoder's own head, by encoder name.
        words: one entry per word that the model reads, in reading order; what truncation leaves
            out has none.
        truncated: whether the end of the text was not read.
        ranking: every label of the text in the order of the decision, those given first.
    """

    text: str
    label: str
    score: float
    given: bool
    method: Method
    encoder_scores: dict[str, float]
    words: list[WordExplanation]
    truncated: bool = False
    ranking: list[Bar] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """Whether the label is given; with the reason where the score alone would say otherwise."""
        why = next((bar.why for bar in self.ranking if bar.label == self.label), "")
        return why or ("given" if self.given else "not given")

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return asdict(self)

    def to_text(self, width: int = 20) -> str:
        """The text, the labels on either side of the cut, then a table with a line per word.

        The bar of a word against the label is light (░). The word stands last, in an isolate, so
        that neither its direction nor its width moves the other columns. Control characters are
        shown as escapes.

        Args:
            width: characters of the longest bar.
        """
        heads = ", ".join(
            f"{printable(name)} {score:.2f}" for name, score in self.encoder_scores.items()
        )
        lines = [
            isolated(printable(self.text)),
            f"{printable(self.label)} {self.score:.3f} ({self.verdict}; by encoder: {heads})",
        ]
        if self.ranking:
            lines.append("  given: {} ┃ cut ┃ not given: {}".format(*sides(self.ranking)))
        largest, rows = _largest(self.words), []
        for word in self.words:
            sign = "█" if word.contribution >= 0 else "░"
            bar = sign * round(width * abs(word.contribution) / largest)
            trusted = max(word.gates, key=lambda name: word.gates[name])
            rows.append(
                (
                    f"{word.contribution:+.3f} {bar}",
                    f"{word.attention:.2f}",
                    f"{printable(trusted)} {word.gates[trusted]:.2f}",
                    isolated(printable(word.word)),
                )
            )
        if rows:
            rows.insert(0, (UNITS[self.method], "attention", "trusts most", "word"))
            widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
            lines += [
                "  " + "  ".join([*map(str.ljust, cells, widths), cells[-1]]) for cells in rows
            ]
            lines.append("  (█ for the label, ░ against it)")
        else:
            lines.append("  (no words)")
        if self.truncated:
            lines.append("  (the end of the text was not read)")
        return "\n".join(lines)

    def to_html(self) -> str:
        """A `<figure>`: the text with its words colored, and a table of all values.

        Green is for the label, red against it; the table gives the signed numbers. The text has
        the `dir` of its first letter; names and words in the table are isolates (`<bdi>`). All
        names and texts are escaped; control characters are shown as escapes. There is
        no script and no link.
        """
        words, names = self.words, list(self.encoder_scores)
        largest = _largest(words)
        pieces, position = [], 0
        for word in words:
            pieces.append(in_html(self.text[position : word.start]))
            share = abs(word.contribution) / largest
            color = "0,128,0" if word.contribution >= 0 else "192,0,0"
            pieces.append(
                f'<span style="background:rgba({color},{0.6 * share:.2f})" '
                f'title="{word.contribution:+.4f}">{in_html(word.word)}</span>'
            )
            position = word.end
        pieces.append(in_html(self.text[position:]))
        heads = ", ".join(
            f"<bdi>{in_html(name)}</bdi> {self.encoder_scores[name]:.2f}" for name in names
        )
        header = "".join(
            f'<th scope="col">{title}</th>'
            for title in ("word", UNITS[self.method], "attention",
                          *(f"gate <bdi>{in_html(name)}</bdi>" for name in names))
        )  # fmt: skip
        rows = "\n".join(
            f'<tr><th scope="row"><bdi dir="{text_direction(word.word)}">{in_html(word.word)}</bdi>'
            "</th>"
            + "".join(
                f"<td>{value}</td>"
                for value in (f"{word.contribution:+.4f}", f"{word.attention:.3f}",
                              *(f"{word.gates[name]:.3f}" for name in names))
            )
            + "</tr>"
            for word in words
        )  # fmt: skip
        first, rest = sides(self.ranking, lambda label: f"<bdi>{in_html(label)}</bdi>")
        cut = f"<div>Given: <strong>{first}</strong> ┃ cut ┃ not given: {rest}</div>\n"
        return f"""\
<figure dir="ltr" style="color:#111;background:#fff;margin:0 0 2em">
<figcaption><strong><bdi>{in_html(self.label)}</bdi> {self.score:.3f}</strong> \
({self.verdict}; by encoder: {heads})</figcaption>
{cut if self.ranking else ""}<p dir="{text_direction(self.text)}" lang="" \
style="font-size:1.3em;line-height:1.8;white-space:pre-wrap">{"".join(pieces)}</p>
<table style="border-spacing:1em 0;text-align:start">
<thead><tr>{header}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
</figure>"""

    _repr_html_ = to_html


def _largest(words: list[WordExplanation]) -> float:
    return max((abs(word.contribution) for word in words), default=0.0) or 1.0
