"""What `review` found, as a page of HTML: texts, their labels, and what speaks against them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ...common.inert_text import in_html
from ...inference.explanations.rendering import html_page, text_direction
from .review import Review

_CONFUSIONS = 20
_STYLE = """\
h2 { margin: 2.5rem 0 .5rem; }
article { border-top: 1px solid #ccc; padding: .8rem 0; }
.where { color: #555; font-size: .85rem; margin: 0; overflow-wrap: anywhere; }
.text { font-size: 1.15rem; line-height: 1.7; margin: .4rem 0; white-space: pre-wrap;
        overflow-wrap: anywhere; }
.labels { display: flex; flex-wrap: wrap; gap: .35rem; list-style: none; margin: 0; padding: 0; }
.labels + .where { margin-top: .8rem; }
.labels li { border: 1px solid #bbb; border-radius: 1rem; font-size: .9rem; padding: .1rem .6rem;
             overflow-wrap: anywhere; }
.labels .doubtful { background: #fde3d3; border-color: #b54a00; }
.labels .missing { background: #d9ecf9; border-color: #00639c; border-style: dashed; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { border-bottom: 1px solid #ddd; padding: .3rem .8rem .3rem 0; text-align: left; }
td.number { text-align: right; }
@media (max-width: 40rem) { body { margin: 1rem auto; } th, td { padding-right: .4rem; } }
"""


def review_page(review: Review, most: int = 200) -> str:
    """A page of HTML without scripts or links, right to left where a text is.

    Args:
        review: what was found.
        most: rows, and pairs, that are shown.
    """
    return html_page(
        [
            f"<h1>Labels to check</h1>\n<p>{_summary(review)}</p>",
            *_rows(review, most),
            *_pairs(review, most),
            *_confusions(review),
        ],
        "Labels to check",
        _STYLE,
    )


def _summary(review: Review) -> str:
    texts, name = review.texts, Path(review.texts.source).name
    return (
        f"{len(texts):,} training texts from <bdi>{in_html(name)}</bdi>, each judged by "
        "models that did not see it. The models can be wrong: read the text before you change a "
        "label. The first rows are the most likely to be wrong; further down, the models are wrong "
        "more often. Percentages are the models' probability that the label is right to give."
    )


def _rows(review: Review, most: int) -> Iterable[str]:
    rows = np.flatnonzero(review.doubted.any(1))
    rows = rows[np.argsort(review.quality[rows], kind="stable")]
    yield f"<h2>Labels that look wrong: {len(rows):,} texts</h2>"
    yield (
        '<ul class="labels"><li class="doubtful">given, but looks wrong</li>'
        '<li class="missing">not given, but looks right</li><li>given</li></ul>'
        f"{_shown(most, len(rows))}"
    )
    for rank, row in enumerate(rows[:most].tolist(), 1):
        yield f"<article>\n{_text(review, row, f'{rank}. ')}\n</article>"


def _pairs(review: Review, most: int) -> Iterable[str]:
    count = len(review.pairs)
    yield f"<h2>Nearly the same text, different labels: {count:,} pairs</h2>{_shown(most, count)}"
    for pair, value in zip(review.pairs[:most].tolist(), review.similarities, strict=False):
        both = "\n".join(_text(review, row) for row in pair)
        yield f'<article>\n<p class="where">{value:.0%} alike</p>\n{both}\n</article>'


def _confusions(review: Review) -> Iterable[str]:
    yield "<h2>Labels that are confused</h2>"
    yield (
        "<p>Texts that have the first label, where the models give the second one instead. Phi is "
        "the correlation of the two, 1 if they always come together. If annotators use two labels "
        "for the same thing, say in the guidelines which is which.</p>"
    )
    rows = "\n".join(
        f"<tr><td><bdi>{in_html(row.given)}</bdi></td><td><bdi>{in_html(row.predicted)}</bdi></td>"
        f'<td class="number">{row.texts:,}</td><td class="number">{row.share:.0%}</td>'
        f'<td class="number">{row.phi:.2f}</td></tr>'
        for row in review.confusions.head(_CONFUSIONS).itertuples()
    )
    head = "".join(
        f"<th>{title}</th>" for title in ("given", "predicted", "texts", "of those missed", "phi")
    )
    yield f'<div class="scroll"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>'
    yield f"{rows}\n</tbody>\n</table></div>"


def _shown(most: int, count: int) -> str:
    return f"<p>The first {most:,} are shown; the table has all.</p>" if most < count else ""


def _text(review: Review, row: int, before: str = "") -> str:
    """One text with where it is and its labels, those that look wrong marked."""
    texts = review.texts
    place = f"{before}{texts.unit} {texts.row_numbers[row]}"
    if texts.ids is not None:
        place += f", id <bdi>{in_html(texts.ids[row])}</bdi>"
    items = []
    for label, name in enumerate(texts.label_names):
        given, doubted = texts.labels[row, label], review.doubted[row, label]
        kind = "doubtful" if given and doubted else "missing" if doubted else "given"
        if given or doubted:
            items.append(
                f'<li class="{kind}"><bdi>{in_html(name)}</bdi> '
                f"{review.probabilities[row, label]:.0%}</li>"
            )
    text = texts.texts[row]
    labels = "".join(items) or "<li>no label</li>"
    return (
        f'<p class="where">{place}</p>\n'
        f'<p class="text" dir="{text_direction(text)}">{in_html(text)}</p>\n'
        f'<ul class="labels">{labels}</ul>'
    )
