"""Thresholds that give each label as often as the teacher, and what the teacher's run says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from stacked_emotion.trainer.distillation.arguments import DistillationArguments
from stacked_emotion.trainer.distillation.finish import MARGIN, rate_matched
from stacked_emotion.trainer.distillation.teacher import Teacher


def test_every_label_is_given_as_often() -> None:
    chance = np.random.default_rng(0)
    logits = chance.normal(size=(200, 5)) * [1, 2, 0.1, 3, 1] + [0, -3, 2, 0, 1]
    given = chance.random((200, 5)) < [0.5, 0.02, 0.9, 0.0, 1.0]
    decision = rate_matched(logits, given)
    assert decision.kind == "teacher_rates"
    np.testing.assert_array_equal(decision.decide(logits).sum(0), given.sum(0))
    # to none: a little above the highest; to all: a little below the lowest
    edges = np.log(decision.thresholds / (1 - decision.thresholds))
    assert edges[3] == pytest.approx(logits[:, 3].max() + MARGIN)
    assert edges[4] == pytest.approx(logits[:, 4].min() - MARGIN)


def test_a_monotone_change_of_the_scores_changes_no_label() -> None:
    chance = np.random.default_rng(1)
    logits, given = chance.normal(size=(60, 3)), chance.random((60, 3)) < 0.3
    bent = np.sinh(logits) - 2
    np.testing.assert_array_equal(
        rate_matched(logits, given).decide(logits), rate_matched(bent, given).decide(bent)
    )


def test_shapes() -> None:
    with pytest.raises(ValueError, match="must be"):
        rate_matched(np.zeros((3, 2)), np.zeros((3, 3)))
    with pytest.raises(ValueError, match="at least one row"):
        rate_matched(np.zeros((0, 2)), np.zeros((0, 2)))


def test_card_and_app_of_a_student_know_what_its_teacher_does(
    tiny_stack_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_stack_folder, tmp_path / "model")
    said = {"language": ["ary"], "label_definitions": {"joy": "a good day"}, "examples": {"a": "b"}}
    results = {"recipe": said | {"seed": 3}}
    (tmp_path / "results.json").write_text(json.dumps(results), encoding="utf-8")
    teacher = Teacher.load(DistillationArguments(model=str(tmp_path), student="user/mini"))
    assert {k: v for k, v in teacher.description.items() if v is not None} == said
