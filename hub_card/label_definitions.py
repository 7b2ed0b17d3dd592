"""What the labels mean, and invented example texts, where both are known.

The definitions paraphrase those given to the annotators of SemEval-2018 Task 1, E-c (Mohammad et
al. 2018). The texts were written for this project.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

SEMEVAL_2018_E_C = {
    "anger": "anger, annoyance or rage",
    "anticipation": "anticipation, interest or vigilance",
    "disgust": "disgust, disinterest, dislike or loathing",
    "fear": "fear, apprehension, anxiety or terror",
    "joy": "joy, serenity or ecstasy",
    "love": "love or affection",
    "optimism": "optimism, hopefulness or confidence",
    "pessimism": "pessimism, cynicism or lack of confidence",
    "sadness": "sadness, pensiveness or grief",
    "surprise": "surprise, distraction or amazement",
    "trust": "trust, acceptance, liking or admiration",
}
NO_DEFINITION = "as used by the annotators of the training texts; no definition was handed over"

EXAMPLES = {
    "ar": [
        "الحمد لله نجحت في الامتحان، فرحانة ومش مصدقة 😍",
        "والله تعبت، كل يوم نفس الهم ولا أحد يسمعني 💔",
        "شنو هاد الخدمة الخايبة؟ عصبتوني بزاف 😡",
        "شو هالخبر الحلو، اشتقتلكن كتير ❤️",
    ],
    "en": [
        "I passed the exam and I still cannot believe it 😍",
        "Nobody answered my calls again, I feel so alone tonight.",
        "Two hours on hold and then they hang up on me? Unbelievable 😡",
    ],
    "es": [
        "¡Aprobé el examen y todavía no me lo creo! 😍",
        "Otra noche sin dormir, ya no sé qué hacer.",
        "Dos horas esperando y me cuelgan, qué vergüenza 😡",
    ],
}
"""Texts to show a model with, by language."""

DIALECTS = {
    "Modern Standard": "ما أجمل هذا الصباح، قلبي مطمئن رغم كل شيء",
    "Egyptian": "يا لهوي، اتخضيت من الخبر ده ومش عارف أنام 😱",
    "Levantine": "شو هالخبر الحلو، اشتقتلكن كتير ❤️",
    "Gulf": "والله إني زعلان، ما توقعتها منك أبد 💔",
    "Maghrebi": "شنو هاد الخدمة الخايبة؟ عصبتوني بزاف 😡",
    "Iraqi": "هسه ارتاحيت، چنت خايف ما يوصلون بالسلامة",
}
"""One invented text a dialect group."""


def definitions(labels: Sequence[str], given: Mapping[str, str] | None = None) -> dict[str, str]:
    """A definition of every label: the given one, SemEval's, or the statement that there is none.

    Args:
        labels: the model's labels.
        given: definitions by label; others are refused.

    Raises:
        ValueError: a definition of a label the model does not have.
    """
    given = given or {}
    if unknown := sorted(set(given) - set(labels)):
        raise ValueError(f"Definitions of {unknown}, but the labels are {list(labels)}.")
    known = SEMEVAL_2018_E_C if set(labels) <= set(SEMEVAL_2018_E_C) else {}
    return {label: given.get(label) or known.get(label) or NO_DEFINITION for label in labels}
