"""Where the layers on top begin, and which of their epochs is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from tiny_models import build_stack
from tiny_runs import tiny_run_options

from stacked_emotion.trainer import parse_recipe
from stacked_emotion.trainer.stages.cached_training import (
    META_PARTS,
    choose_epoch,
    reset_top,
    top_state,
)
from stacked_emotion.trainer.stages.context import RunContext
from stacked_emotion.trainer.stages.meta_and_head import (
    out_of_fold_logits,
    run_meta,
    scored_logits,
    stage_key,
)

CANDIDATES = ["global", "expected_jaccard"]


def epochs(better: float, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits of a start and of one epoch, nearer to the labels by `better` but for `noise`."""
    generator = np.random.default_rng(seed)
    labels = (generator.random((400, 4)) < 0.4).astype(np.int8)
    start = 2.0 * labels - 1 + generator.normal(size=labels.shape)
    after = start + better * (2.0 * labels - 1) + noise * generator.normal(size=labels.shape)
    return np.stack([start, after]).astype(np.float32), labels


def test_a_real_gain_is_kept() -> None:
    logits, labels = epochs(1.0, 0.1)
    epoch, scores, decision = choose_epoch(logits, labels, "jaccard", CANDIDATES, gain_in_errors=1)
    assert epoch == 1
    assert scores[1] > scores[0]
    assert decision.score == scores[1]


def test_a_gain_within_its_error_is_kept_only_without_the_rule() -> None:
    logits, labels = epochs(0.05, 0.5, seed=7)
    epoch, scores, decision = choose_epoch(logits, labels, "jaccard", CANDIDATES, gain_in_errors=1)
    assert scores[1] > scores[0]
    assert epoch == 0
    assert decision.score == scores[0]
    assert choose_epoch(logits, labels, "jaccard", CANDIDATES)[0] == 1


def test_a_loss_is_kept_only_where_the_rule_allows_it() -> None:
    logits, labels = epochs(-0.1, 0.5)
    chosen = {
        errors: choose_epoch(logits, labels, "jaccard", CANDIDATES, gain_in_errors=errors)[0]
        for errors in (1, 0, -0.01, -1000)
    }
    assert chosen == {1: 0, 0: 0, -0.01: 0, -1000: 1}
    same = np.stack([logits[0], logits[0]])
    for errors, epoch in ((1, 0), (0, 0), (-1000, 1)):
        assert choose_epoch(same, labels, "jaccard", CANDIDATES, errors)[0] == epoch


def start(folders: dict[str, Path], seed: int, **options: object) -> dict[str, torch.Tensor]:
    model, _ = build_stack(folders, **options)
    reset_top(model, seed)
    return top_state(model)


def test_a_part_begins_the_same_whatever_else_there_is(
    tiny_encoder_folders: dict[str, Path],
) -> None:
    whole = start(tiny_encoder_folders, 5)
    hidden = "stacked.meta_learner.hidden.weight"
    assert not torch.equal(whole[hidden], start(tiny_encoder_folders, 6)[hidden])
    assert float(whole[hidden].std()) > 0
    forward, backward = (
        whole[f"stacked.lstm.{way}_lstm.weight_hh_l0"] for way in ("forward", "backward")
    )
    assert not torch.equal(forward, backward)
    for left_out in (
        {"use_lstm": False},
        {"use_meta_learner": False},
        {"use_classifier": False},
        {"contrastive_dim": 0},
        {"lstm_hidden_size": 9},
        {"stacking_level": "sentence"},
    ):
        other = start(tiny_encoder_folders, 5, **left_out)
        shared = {n for n, value in other.items() if n in whole and value.shape == whole[n].shape}
        assert any(value.dim() > 1 for value in (other[name] for name in shared))
        for name in shared:
            if left_out != {"use_meta_learner": False} or "lstm" not in name:
                assert torch.equal(other[name], whole[name]), (left_out, name)
        if "use_meta_learner" not in left_out:
            assert {name for name in whole if name.startswith(META_PARTS)} <= shared


def test_stage_meta_is_the_same_without_the_parts_behind_it(
    finished_run: Path, tiny_encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    shared = ("--encoders_from", str(finished_run))
    more = ("--use_lstm", "false", "--ensemble_start", "false", "--classifier_hidden_size", "9")
    contexts = [
        RunContext.load(parse_recipe(tiny_run_options(tiny_encoder_folders, folder, *options)))
        for folder, options in ((finished_run, ()), (tmp_path / "run", (*shared, *more)))
    ]
    whole, bare = contexts
    assert stage_key(whole, "meta") == stage_key(bare, "meta")
    assert stage_key(whole, "head") != stage_key(bare, "head")
    run_meta(bare)
    for found in (
        lambda context: out_of_fold_logits(context, "meta"),
        lambda context: scored_logits(context, "meta", "validation"),
    ):
        np.testing.assert_array_equal(found(whole), found(bare))


def test_a_contrastive_part_in_stage_meta_sees_what_is_behind_it(
    finished_run: Path, tiny_encoder_folders: dict[str, Path]
) -> None:
    keys = []
    for lstm in ("true", "false"):
        options = ("--meta.loss", "hybrid", "--use_lstm", lstm)
        recipe = parse_recipe(tiny_run_options(tiny_encoder_folders, finished_run, *options))
        keys.append(stage_key(RunContext.load(recipe), "meta"))
    assert keys[0] != keys[1]
