"""What the app shows, as HTML: scores and where they are cut, colored words, trusted encoders.

Blue speaks for a label and orange against it; readers with any common color vision can tell them
apart. Everything from outside is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ...common.inert_text import in_html
from ...inference.explanations.rendering import UNITS, text_direction
from ...inference.score_bars import abstained, cut, ranked

if TYPE_CHECKING:
    from ...inference.decisions import Decision
    from ...inference.explanations.explanation import Explanation

RIGHT_TO_LEFT = ("ar", "arq", "ary", "arz", "ckb", "fa", "he", "ps", "ur")
FOR, AGAINST = "0,114,178", "213,94,0"
_SEGMENTS = ("#56B4E9", "#E69F00", "#35B88F", "#E29BC4", "#F0E442", "#BBBBBB")
_STRONGEST = 0.75


def side(language: str | None) -> str:
    """ "rtl", "ltr" or "auto": the direction of an empty box for texts of a language."""
    return "auto" if language is None else "rtl" if language in RIGHT_TO_LEFT else "ltr"


def placeholder(language: str | None) -> str:
    """What an empty box says."""
    return "اكتب نصًا هنا" if language == "ar" else "Write a text here"


def meaning(decision: Decision) -> str:
    """How labels are given, in a sentence or two."""
    if decision.rule == "threshold":
        return "The model gives a label (✓) at or above its threshold."
    least = ", at least one" if decision.min_labels else ""
    return (
        "The model gives the labels (✓) whose bars pass this text's cut: the set that is expected "
        f"to match best (expected Jaccard){least}. A bar is the probability, adjusted so "
        "that rarer labels need less."
    )


def bars(scores: Mapping[str, float], given: Sequence[str], decision: Decision) -> str:
    """One bar per label, in the order of the decision, and where labels stop being given.

    With per-label thresholds, each bar has its own. Else one line goes through all bars.

    Args:
        scores: probability by label.
        given: the labels given.
        decision: what gave them.
    """
    ranking = ranked(scores, given, decision)
    by_threshold, line = decision.rule == "threshold", cut(ranking, decision)
    thresholds = dict(zip(decision.labels, decision.thresholds, strict=True))
    rows = []
    for bar in ranking:
        name, limit = in_html(bar.label), thresholds[bar.label] if by_threshold else line
        title = f"threshold {limit:.2f}" if by_threshold else "this text's cut"
        rows.append(
            f'<div class="se-row{" se-given" if bar.given else ""}" data-label="{name}" '
            f'data-given="{str(bar.given).lower()}">'
            f'<span class="se-name"><span class="se-tick">{"✓" if bar.given else ""}</span>'
            f"<bdi>{name}</bdi></span>"
            f'<span class="se-track" role="meter" aria-label="{name}" aria-valuemin="0" '
            f'aria-valuemax="1" aria-valuenow="{bar.score:.3f}">'
            f'<span class="se-fill" style="width:{100 * bar.length:.1f}%"></span>'
            + ("" if limit is None else f'<span class="se-limit" style="left:{100 * limit:.1f}%" '
               f'title="{title}"></span>')
            + f'</span><span class="se-score">{bar.score:.2f}</span>'
            + (f'<span class="se-threshold">{limit:.2f}</span>' if by_threshold else "")
            + (f'<span class="se-why">{bar.why}</span>' if bar.why else "")
            + "</div>"
        )  # fmt: skip
    named = ", ".join(f"<bdi>{in_html(bar.label)}</bdi>" for bar in ranking if bar.given)
    key = "threshold" if by_threshold else "cut"
    note = f'<span class="se-limit-key"></span> {key}. {meaning(decision)}'
    if not named:
        named = "none"
        if abstained(scores, given, decision):
            named = "none: the model is not sure of this text"
            note = "The model gives no label to the texts that it is least sure of."
    head = '<span class="se-threshold">threshold</span>' if by_threshold else ""
    return (
        f'<div class="se-card{"" if by_threshold else " se-one-cut"}">'
        f'<p class="se-given-labels">Labels given: <strong>{named}</strong></p>'
        f'<div class="se-head"><span></span><span></span><span>score</span>{head}</div>'
        f'{"".join(rows)}<p class="se-note">{note}</p></div>'
    )


def words(explanation: Explanation) -> str:
    """The text with its words colored by what they do for the label."""
    largest = max((abs(word.contribution) for word in explanation.words), default=0.0) or 1.0
    pieces, position = [], 0
    for word in explanation.words:
        pieces.append(in_html(explanation.text[position : word.start]))
        strength = _STRONGEST * abs(word.contribution) / largest
        color = FOR if word.contribution >= 0 else AGAINST
        trusted = _trusted(word.gates)
        trusts = f"; trusts {in_html(trusted)}" if trusted else ""
        pieces.append(
            f'<span class="se-word" data-contribution="{word.contribution:.5f}" '
            f'style="background:rgba({color},{strength:.2f})" '
            f'title="{word.contribution:+.3f}{trusts}">'
            f"{in_html(word.word)}</span>"
        )
        position = word.end
    pieces.append(in_html(explanation.text[position:]))
    unread = explanation.text[position:].strip()
    note = (
        f'<p class="se-warning">The text is long: only its first {len(explanation.words)} words '
        "were read.</p>"
        if unread and explanation.words
        else ""
    )
    return (
        f'<div class="se-card"><p class="se-note">What speaks <span class="se-for">for</span> and '
        f'<span class="se-against">against</span> <strong><bdi>{in_html(explanation.label)}</bdi>'
        f"</strong> ({explanation.score:.2f})</p>"
        f'<p class="se-text" dir="{text_direction(explanation.text)}">{"".join(pieces)}</p>{note}'
        f"{_word_table(explanation)}</div>"
    )


def _trusted(gates: Mapping[str, float]) -> str:
    """The most trusted encoder; empty where there is only one."""
    return max(gates, key=lambda name: gates[name]) if len(gates) > 1 else ""


def _word_table(explanation: Explanation) -> str:
    rows, column = [], ""
    for word in explanation.words:
        cells = f"<td>{word.contribution:+.3f}</td>"
        if trusted := _trusted(word.gates):
            cells += f"<td><bdi>{in_html(trusted)}</bdi> {word.gates[trusted]:.2f}</td>"
            column = "<th>most trusted encoder</th>"
        rows.append(
            f'<tr><td class="se-word-cell"><bdi>{in_html(word.word)}</bdi></td>{cells}</tr>'
        )
    return (
        '<details><summary>Word by word</summary><div class="se-scroll"><table><thead><tr>'
        f'<th class="se-word-cell">word</th><th>{UNITS[explanation.method]}</th>'
        f"{column}</tr></thead><tbody>{''.join(rows)}</tbody></table></div></details>"
    )


def trust(weights: Mapping[str, float], label: str) -> str:
    """How much each encoder counts for a label of one text, as one bar in parts.

    Args:
        weights: by encoder, summing to 1.
        label: the label.
    """
    ranked = sorted(weights.items(), key=lambda entry: -entry[1])
    order = {name: place for place, name in enumerate(weights)}
    parts = "".join(
        f'<span style="width:{100 * share:.2f}%;background:'
        f'{_SEGMENTS[order[name] % len(_SEGMENTS)]}" title="{in_html(name)} {share:.2f}"></span>'
        for name, share in ranked
    )
    names = "".join(
        f'<li data-encoder="{in_html(name)}"><span class="se-key" style="background:'
        f'{_SEGMENTS[order[name] % len(_SEGMENTS)]}"></span><bdi>{in_html(name)}</bdi> '
        f"<strong>{100 * share:.1f} %</strong></li>"
        for name, share in ranked
    )
    return (
        f'<div class="se-card"><p class="se-note">Trust in each encoder for <strong><bdi>'
        f"{in_html(label)}</bdi></strong>, in this text</p>"
        f'<div class="se-parts">{parts}</div><ul class="se-names">{names}</ul></div>'
    )


def preview(rows: Sequence[tuple[str, str]], total: int) -> str:
    """The first rows of a file: text and labels.

    Args:
        rows: texts with their labels, joined.
        total: rows of the whole file.
    """
    lines = "".join(
        f'<tr><td dir="{text_direction(text)}">{in_html(text)}</td>'
        f"<td><bdi>{in_html(labels)}</bdi></td></tr>"
        for text, labels in rows
    )
    return (
        '<div class="se-card">'
        f'<p class="se-note">Rows: {total}, of which the first {len(rows)}:</p>'
        '<div class="se-scroll"><table><thead><tr><th>text</th><th>labels</th></tr></thead>'
        f"<tbody>{lines}</tbody></table></div></div>"
    )


def problem(message: str) -> str:
    """What went wrong, and how to fix it."""
    return f'<div class="se-error" role="alert"><strong>Sorry.</strong> {in_html(message)}</div>'
