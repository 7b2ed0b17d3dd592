"""What is known of the data sets that this package has recipes for.

Everything here is about one data set and is used for models trained on it alone; a model of other
texts and labels gets its words from the publisher.

The label definitions of SemEval-2018 Task 1, E-c, are those given to its annotators (Mohammad et
al. 2018). The examples were written for this project.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..run_record import RunRecord

SEMEVAL = "SemEvalWorkshop/sem_eval_2018_task_1"
NO_DEFINITION = "as the annotators of the training texts used it; no definition was given"
LANGUAGE_NAMES = {"ar": "Arabic", "en": "English", "es": "Spanish"}
EMOTIONS = {
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
_EXAMPLES = {
    "ar": {
        "Modern Standard": "ما أجمل هذا الصباح، قلبي مطمئن رغم كل شيء",
        "Egyptian": "يا لهوي، اتخضيت من الخبر ده ومش عارف أنام 😱",
        "Levantine": "شو هالخبر الحلو، اشتقتلكن كتير ❤️",
        "Gulf": "والله إني زعلان، ما توقعتها منك أبد 💔",
        "Maghrebi": "شنو هاد الخدمة الخايبة؟ عصبتوني بزاف 😡",
        "Iraqi": "هسه ارتاحيت، چنت خايف ما يوصلون بالسلامة",
    },
    "en": {
        "joy": "I passed the exam and I still cannot believe it 😍",
        "sadness": "Nobody answered my calls again, I feel so alone tonight.",
        "anger": "Two hours on hold and then they hang up on me? Unbelievable 😡",
    },
    "es": {
        "joy": "¡Aprobé el examen y todavía no me lo creo! 😍",
        "sadness": "Otra noche sin dormir, ya no sé qué hacer.",
        "anger": "Dos horas esperando y me cuelgan, qué vergüenza 😡",
    },
}
_CITATION = """@inproceedings{mohammad2018semeval,
  title = {{SemEval}-2018 Task 1: Affect in Tweets},
  author = {Mohammad, Saif and Bravo-Marquez, Felipe and Salameh, Mohammad and
            Kiritchenko, Svetlana},
  booktitle = {Proceedings of the 12th International Workshop on Semantic Evaluation},
  year = {2018}
}"""


@dataclass(frozen=True)
class KnownData:
    """A data set that this package has a recipe for.

    Attributes:
        title: what a text calls it.
        license: its terms.
        languages: ISO 639 codes of the texts.
        definitions: definition by label.
        examples: invented texts by caption.
        citation: BibTeX.
    """

    title: str = ""
    license: str | None = None
    languages: tuple[str, ...] = ()
    definitions: Mapping[str, str] = field(default_factory=dict)
    examples: Mapping[str, str] = field(default_factory=dict)
    citation: str = ""


def known_data(record: RunRecord) -> KnownData:
    """What is known of the data a run was trained on; nothing of somebody's own data.

    Args:
        record: the run.
    """
    if record.synthetic:
        return KnownData(
            "bundled synthetic sample",
            "apache-2.0 (synthetic, part of stacked_emotion)",
            ("ar",),
            EMOTIONS,
            _EXAMPLES["ar"],
        )
    if record.dataset_name != SEMEVAL:
        return KnownData()
    language = (record.dataset_config or "").rsplit(".", 1)[-1].capitalize()
    codes = tuple(code for code, name in LANGUAGE_NAMES.items() if name == language)
    return KnownData(
        "SemEval-2018 Task 1, E-c",
        "unknown on the Hub; its README asks to cite the task's paper and forbids passing the data "
        "on, https://competitions.codalab.org/competitions/17751",
        codes,
        EMOTIONS,
        {caption: text for code in codes for caption, text in _EXAMPLES[code].items()},
        _CITATION,
    )


def definitions(
    labels: Sequence[str], known: Mapping[str, str], given: Mapping[str, str] | None = None
) -> dict[str, str]:
    """A definition of every label: the given one, the data's own, or a note that there is none.

    Args:
        labels: the model's labels.
        known: definitions of the data.
        given: definitions by label; they come first.

    Raises:
        ValueError: a definition of a label that the model does not have.
    """
    given = given or {}
    if unknown := sorted(set(given) - set(labels)):
        raise ValueError(f"Definitions of {unknown}, but the labels are {list(labels)}.")
    return {label: given.get(label) or known.get(label) or NO_DEFINITION for label in labels}
