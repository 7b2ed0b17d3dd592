"""The rows of an ablation follow from the recipe."""

from __future__ import annotations

import pytest

from stacked_emotion.trainer import UserError, parse_recipe
from stacked_emotion.trainer.ablation.variants import (
    FULL,
    Variant,
    chosen_variants,
    variants_of,
)
from stacked_emotion.trainer.losses import LOSSES
from stacked_emotion.trainer.training_sections import HeadTraining


def rows(*options: str) -> dict[str, Variant]:
    recipe = parse_recipe(["--encoders", "b=one", "a=two", *options])
    return {variant.title: variant for variant in variants_of(recipe)}


def test_every_encoder_part_and_loss_has_a_row() -> None:
    found = rows()
    for name in ("b", "a"):
        kinds = [found[f"{name}{end}"].kind for end in ("", ", own tokens", ", layers on top")]
        assert kinds == ["encoder", "own_tokens", "stack"]
    parts = ["meta-learner", "Bi-LSTM", "ensemble start", "cross-fitting"]
    assert all(f"without {part}" in found for part in parts)
    assert {"average", "meta", "sentence level", FULL} <= set(found)
    compared = {variant.loss: variant.title for variant in found.values() if variant.loss}
    assert set(compared) == set(LOSSES)
    assert compared[HeadTraining().loss.name] == FULL
    slugs = [variant.slug for variant in found.values()]
    assert len(set(slugs)) == len(slugs)


def test_changes_are_options_of_the_recipe() -> None:
    recipe = parse_recipe(["--encoders", "b=one", "--head.loss.options.correlation_weight", "2.0"])
    found = rows(
        "--head.loss.options.correlation_weight",
        "2.0",
        "--head.loss.options.class_weight_power",
        "0.7",
    )
    changed = recipe.changed(found["without Bi-LSTM"].changes | {"output_dir": "x"})
    assert not changed.stack.use_lstm
    assert changed.stages.output_dir == "x"
    assert recipe.stack.use_lstm
    weighted = recipe.changed(found["class-weighted BCE"].changes)
    assert weighted.head.loss.options == {"class_weight_power": 0.7}
    assert recipe.changed(found["BCE"].changes).head.loss.options == {}
    plain = recipe.changed(found["hybrid without class weights"].changes)
    assert plain.head.loss.options == {"correlation_weight": 2.0, "class_weights": "none"}
    bare = recipe.changed(found["hybrid without correlation"].changes)
    assert bare.head.loss.options == {"correlation_weight": 0, "class_weight_power": 0.7}
    kept = recipe.changed(found["hybrid without contrastive"].changes).head.loss.options
    assert kept["contrastive_weight"] == 0
    assert kept["correlation_weight"] == 2.0


def test_what_is_off_is_shown_switched_on() -> None:
    found = rows("--use_lstm", "false", "--stacking_level", "sentence", "--cross_fit", "0")
    assert found["with Bi-LSTM"].changes == {"use_lstm": True}
    assert found["word level"].changes == {"stacking_level": "word"}
    assert "without cross-fitting" not in found
    assert "hybrid without contrastive" not in rows("--head.loss.options.contrastive_weight", "0")


def test_stage_meta_follows_where_the_recipe_gives_both_one_loss() -> None:
    apart = rows("--meta.loss", "weighted_bce", "--head.loss", "hybrid")
    assert "meta.loss" not in apart["focal loss"].changes
    together = rows("--meta.loss", "bce", "--head.loss", "bce")
    assert together["focal loss"].changes["meta.loss"]["name"] == "focal"
    assert together["hybrid loss"].loss == "hybrid"
    assert together[FULL].loss == "bce"


def test_rows_can_be_chosen() -> None:
    recipe = parse_recipe(["--encoders", "b=one"])
    chosen = chosen_variants(recipe, ["without_bi_lstm", "class-weighted BCE"])
    assert [variant.title for variant in chosen] == [FULL, "without Bi-LSTM", "class-weighted BCE"]
    with pytest.raises(UserError, match=r"without_bilstm.*did you mean 'without_bi_lstm'"):
        chosen_variants(recipe, ["without_bilstm"])
