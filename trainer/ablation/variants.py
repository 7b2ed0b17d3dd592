"""The rows of an ablation: what is left out of a recipe, or put in its place."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ...common.errors import UserError, did_you_mean
from ..arguments import TrainingRecipe
from ..losses import loss_options

FULL = "stack"
LOSS_TITLES = {
    "bce": "BCE",
    "weighted_bce": "class-weighted BCE",
    "focal": "focal loss",
    "asymmetric": "asymmetric loss (ASL)",
    "lca": "label-correlation-aware loss (LCA)",
    "hybrid": "hybrid loss",
}
_PARTS = {
    "use_meta_learner": "meta-learner",
    "use_lstm": "Bi-LSTM",
    "ensemble_start": "ensemble start",
}


@dataclass(frozen=True)
class Variant:
    """A row of the table.

    Attributes:
        title: its name.
        group: heading of its block.
        kind: `most_frequent`, `tfidf`, `encoder`, `own_tokens`, `average`, `meta`, or `stack` for
            what the stages `meta` and `head` train for the row.
        encoder: the one encoder it is about, where there is one.
        changes: what differs from the recipe, for `TrainingRecipe.changed`.
        loss: the loss of stage `head`, where the row is there to compare losses.
    """

    title: str
    group: str
    kind: str = "stack"
    encoder: str | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    loss: str | None = None

    @property
    def slug(self) -> str:
        """The title as the name of a folder, and as `--variants` takes it too."""
        return slug(self.title)


def slug(title: str) -> str:
    """Lower case, with one `_` for everything that is not a letter, a digit or a dot."""
    return re.sub(r"[^a-z0-9.]+", "_", title.lower()).strip("_")


def variants_of(recipe: TrainingRecipe) -> list[Variant]:
    """All rows of a recipe's ablation, in the order of the table.

    What the recipe switches off appears as a row with it switched on. The other losses take the
    options of the recipe's own where they have them (its class weights), and defaults elsewhere.
    """
    names = list(recipe.sources())
    rows = [
        Variant("most frequent labels", "Baselines", "most_frequent"),
        Variant("TF-IDF + logistic regression", "Baselines", "tfidf"),
    ]
    rows += [Variant(name, "Single encoders", "encoder", name) for name in names]
    rows += [
        Variant(f"{name}, own tokens", "Single encoders", "own_tokens", name)
        for name in names
        if recipe.encoders[name].source
    ]
    rows += [Variant(f"{name}, layers on top", "Single encoders", "stack", name) for name in names]
    rows += [
        Variant("average", "Stack", "average"),
        Variant("meta", "Stack", "meta"),
        Variant(FULL, "Stack", loss=recipe.head.loss.name),
    ]
    rows += _structure(recipe) + _losses(recipe) + _hybrid(recipe)
    return rows


def chosen_variants(recipe: TrainingRecipe, wanted: Iterable[str]) -> list[Variant]:
    """The rows with these titles or slugs, in the order of the table, and the stack itself.

    Raises:
        UserError: an unknown one, with the nearest.
    """
    rows = variants_of(recipe)
    slugs = {slug(title) for title in wanted}
    known = {row.slug: row.title for row in rows}
    for name in sorted(slugs - set(known)):
        raise UserError(
            f"There is no variant {name!r}{did_you_mean(name, known)}. The variants are "
            f"{', '.join(known)}."
        )
    return [row for row in rows if not slugs or row.slug in slugs or row.title == FULL]


def _structure(recipe: TrainingRecipe) -> list[Variant]:
    rows = []
    for option, part in _PARTS.items():
        on = getattr(recipe.stack, option)
        title = f"{'without' if on else 'with'} {part}"
        rows.append(Variant(title, "Parts of the stack", changes={option: not on}))
    if recipe.stages.cross_fit:
        rows.append(
            Variant("without cross-fitting", "Parts of the stack", changes={"cross_fit": 0})
        )
    other = "sentence" if recipe.stack.stacking_level == "word" else "word"
    rows.append(Variant(f"{other} level", "Parts of the stack", changes={"stacking_level": other}))
    return rows


def _losses(recipe: TrainingRecipe) -> list[Variant]:
    return [
        _loss_variant(recipe, title, "Losses", name, _options(recipe, name))
        for name, title in LOSS_TITLES.items()
        if name != recipe.head.loss.name
    ]


def _hybrid(recipe: TrainingRecipe) -> list[Variant]:
    """The hybrid loss minus each part: its class weights, and every part that has a weight."""
    options, known = _options(recipe, "hybrid"), loss_options("hybrid")
    without_weights = {k: v for k, v in options.items() if not k.startswith("class_weight")}
    found = {"class weights": without_weights | {"class_weights": "none"}}
    for option, default in known.items():
        if option.endswith("_weight") and options.get(option, default):
            found[option.removesuffix("_weight").replace("_", " ")] = options | {option: 0}
    return [
        _loss_variant(recipe, f"hybrid without {part}", "Parts of the hybrid loss", "hybrid", left)
        for part, left in found.items()
        if part != "bce"  # the class weights are its
    ]


def _options(recipe: TrainingRecipe, name: str) -> dict[str, Any]:
    """Options of a loss, taken over from the recipe's own where both have them."""
    own = recipe.head.loss
    if name == own.name:
        return own.options
    shared = set(loss_options(name)) & set(loss_options(own.name))
    return {
        key: value
        for key, value in own.options.items()
        if key in shared and key.startswith("class_weight")
    }


def _loss_variant(
    recipe: TrainingRecipe, title: str, group: str, name: str, options: dict[str, Any]
) -> Variant:
    """The loss of stage `head`, and of stage `meta` too where the recipe gives both the same."""
    loss = {"name": name, "options": options}
    changes: dict[str, Any] = {"head.loss": loss}
    if recipe.meta.loss == recipe.head.loss:
        changes["meta.loss"] = loss
    return Variant(title, group, changes=changes, loss=name if group == "Losses" else None)
