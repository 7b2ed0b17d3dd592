"""What is known of the texts and labels of a run: from its recipe, and from the data set it names.

A model of other texts and labels gets nothing from the data sets of this package.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...common.privacy import is_hub_id
from ...common.settings import read_yaml
from ...recipes import RECIPES
from ...trainer.arguments import CREDIT, DESCRIBED

if TYPE_CHECKING:
    from ..run_record import RunRecord

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


@dataclass(frozen=True)
class Credit:
    """Who made labeled texts, as far as a recipe says.

    Attributes:
        name: what the data is called, or its Hub ID.
        license: its terms.
        citation: BibTeX, or a sentence.
    """

    name: str = ""
    license: str | None = None
    citation: str = ""

    @classmethod
    def of(cls, recipe: Mapping[str, Any]) -> Credit:
        """The credit that a recipe, or a section of one, gives."""
        name, license, citation = (recipe.get(key) for key in CREDIT)
        return cls(name or "", license, citation or "")

    @property
    def hub_id(self) -> str | None:
        """The name, if it is a Hub ID."""
        return self.name if is_hub_id(self.name) else None

    def __str__(self) -> str:
        return f"{self.name or 'own data'} ({self.license})" if self.license else self.name


@dataclass(frozen=True)
class KnownData:
    """What is known of texts and labels.

    Attributes:
        credit: who made the data.
        languages: ISO 639 codes of the texts.
        definitions: definition by label.
        examples: invented texts by caption.
    """

    credit: Credit
    languages: tuple[str, ...] = ()
    definitions: Mapping[str, str] = field(default_factory=dict)
    examples: Mapping[str, str] = field(default_factory=dict)


def known_data(record: RunRecord) -> KnownData:
    """What the recipe of a run says of its data.

    Where the recipe says nothing, and the run was trained on a data set that a recipe of this
    package is for, that recipe is asked.

    Args:
        record: the run.
    """
    own, packaged = record.results.get("recipe") or {}, _packaged(record)
    said = {name: own.get(name) or packaged.get(name) for name in DESCRIBED}
    language = said["language"] or ()
    return KnownData(
        Credit.of(said),
        (language,) if isinstance(language, str) else tuple(language),
        said["label_definitions"] or {},
        said["examples"] or {},
    )


def related_credits(record: RunRecord) -> dict[str, tuple[str, Credit]]:
    """Source and credit of related data that encoders were fine-tuned on first, by name."""
    encoders = (record.results.get("recipe") or {}).get("encoders") or {}
    found: dict[str, tuple[str, Credit]] = {}
    for encoder, steps in record.related_data.items():
        given = (encoders.get(encoder) or {}).get("pretraining") or []
        for place, step in enumerate(steps):
            credit = Credit.of(given[place]) if place < len(given) else Credit()
            for name, source in zip(step["names"], step["sources"], strict=True):
                found.setdefault(name, (source, credit))
    return found


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
