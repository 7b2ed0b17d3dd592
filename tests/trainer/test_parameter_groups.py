"""Learning rates by part of the model."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_models import build_stack

from stacked_emotion.trainer.parameter_groups import (
    top_parameter_groups,
    top_parameters,
    width_scaled_learning_rate,
)


def test_width_scaled_learning_rate_is_the_usual_one_at_base_width() -> None:
    assert width_scaled_learning_rate(768) == pytest.approx(2.5e-5)
    assert width_scaled_learning_rate(384) == pytest.approx(1e-4)


def test_label_trust_has_a_rate_of_its_own_and_no_decay(
    tiny_encoder_folders: dict[str, Path],
) -> None:
    stack, _ = build_stack(tiny_encoder_folders)
    stack.requires_grad_(False)
    for _, parameter in top_parameters(stack):
        parameter.requires_grad_(True)
    groups = top_parameter_groups(stack, 1e-3, 50.0, 0.01)
    settings = {
        id(member): (group["lr"], group["weight_decay"])
        for group in groups
        for member in group["params"]
    }
    learner = stack.stacked.meta_learner
    assert settings[id(learner.label_trust)] == (pytest.approx(0.05), 0.0)
    assert settings[id(learner.hidden.weight)] == (pytest.approx(1e-3), 0.01)
    assert settings[id(learner.hidden.bias)] == (pytest.approx(1e-3), 0.0)
    assert set(settings) == {id(parameter) for _, parameter in top_parameters(stack)}
