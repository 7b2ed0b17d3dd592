"""What is known of the texts and labels of a run: from its recipe, and from the data set it names.

A model of other texts and labels gets nothing from the data sets of this package.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...common.settings import read_yaml
from ...recipes import RECIPES
from ...trainer.arguments import DESCRIBED

if TYPE_CHECKING:
    from ..run_record import RunRecord

SEMEVAL = "SemEvalWorkshop/sem_eval_2018_task_1"
NO_DEFINITION = "as the annotators of the training texts used it; no definition was given"
LANGUAGE_NAMES = {
    "ar": "Arabic", "arq": "Algerian Arabic", "ary": "Moroccan Arabic", "arz": "Egyptian Arabic",
    "de": "German", "en": "English", "es": "Spanish", "fa": "Persian", "fr": "French",
    "he": "Hebrew", "hi": "Hindi", "id": "Indonesian", "it": "Italian", "pt": "Portuguese",
    "ru": "Russian", "tr": "Turkish", "ur": "Urdu", "zh": "Chinese",
}  # fmt: skip
ARABIC = frozenset({"ar", "arq", "ary", "arz"})
EMOTIONS = frozenset({
    "anger", "anticipation", "disgust", "fear", "joy", "love", "optimism", "pessimism", "sadness",
    "surprise", "trust",
})  # fmt: skip
"""Labels that name emotions."""
_TERMS = (
    "unknown on the Hub; its README asks to cite the task's paper and forbids passing the data on, "
    "https://competitions.codalab.org/competitions/17751"
)
_CITATION = """@inproceedings{mohammad2018semeval,
  title = {{SemEval}-2018 Task 1: Affect in Tweets},
  author = {Mohammad, Saif and Bravo-Marquez, Felipe and Salameh, Mohammad and
            Kiritchenko, Svetlana},
  booktitle = {Proceedings of the 12th International Workshop on Semantic Evaluation},
  year = {2018}
}"""


@dataclass(frozen=True)
class KnownData:
    """What is known of texts and labels.

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
    """What the recipe of a run says of its data, and what is known of the data set.

    Where the recipe says nothing, and the run was trained on a data set that a recipe of this
    package is for, that recipe is asked.

    Args:
        record: the run.
    """
    own, packaged = record.results.get("recipe") or {}, _packaged(record)
    said = {name: own.get(name) or packaged.get(name) for name in DESCRIBED}
    language = said["language"] or ()
    title, license, citation = "", None, ""
    if record.synthetic:
        title, license = (
            "bundled synthetic sample",
            "apache-2.0 (synthetic, part of stacked_emotion)",
        )
    elif record.dataset_name == SEMEVAL:
        title, license, citation = "SemEval-2018 Task 1, E-c", _TERMS, _CITATION
    return KnownData(
        title,
        license,
        (language,) if isinstance(language, str) else tuple(language),
        said["label_definitions"] or {},
        said["examples"] or {},
        citation,
    )


def _packaged(record: RunRecord) -> dict[str, Any]:
    """The recipe of this package for the data of a run; empty if there is none."""
    if record.synthetic:
        return read_yaml(RECIPES / "demo.yaml")
    for file in sorted(RECIPES.glob("*.yaml")) if record.dataset_name else ():
        recipe = read_yaml(file)
        names = recipe.get("dataset_name"), recipe.get("dataset_config_name")
        if names == (record.dataset_name, record.dataset_config):
            return recipe
    return {}


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
