"""What the trackers of `report_to` get to see."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_runs import tiny_run_options

from stacked_emotion import StackedEmotionForSequenceClassification
from stacked_emotion.trainer import UserError, parse_recipe
from stacked_emotion.trainer.running import tracking
from stacked_emotion.trainer.stages.context import RunContext
from stacked_emotion.trainer.stages.features import scored_features


def scalars(folder: Path) -> dict[str, list[float]]:
    events = EventAccumulator(str(folder))
    events.Reload()
    tags = events.Tags()["scalars"]
    return {tag: [entry.value for entry in events.Scalars(tag)] for tag in tags}


@pytest.mark.parametrize("part", ["head/fold_0", "head/fold_1", "meta/fold_1"])
def test_loss_parts_gates_and_held_out_scores(finished_run: Path, part: str) -> None:
    seen = scalars(finished_run / "tensorboard" / part)
    gates = np.array([seen["train/gate_zeta"], seen["train/gate_alpha"]])
    assert gates.shape == (2, 2)  # step 0 and one epoch
    np.testing.assert_allclose(gates.sum(0), 1, atol=1e-5)
    if part.startswith("meta"):
        np.testing.assert_allclose(gates[:, 0], 0.5, atol=1e-6)  # gates start uniform
        assert not np.allclose(gates[:, 1], 0.5, atol=1e-6)
        assert "train/loss_contrastive" not in seen
    else:
        parts = [seen[f"train/loss_{name}"] for name in ("bce", "correlation", "contrastive")]
        np.testing.assert_allclose(np.sum(parts, axis=0), seen["train/loss"], rtol=1e-3)
    assert all(0 <= value <= 1 for value in seen["train/held_out_jaccard"])
    assert len(seen["train/held_out_bce"]) == len(seen["train/held_out_threshold"]) == 2


def test_thresholds_and_encoders(finished_run: Path) -> None:
    results = json.loads((finished_run / "results.json").read_text(encoding="utf-8"))
    stage = results["stages"]["head"]
    if stage["epoch"]:
        seen = scalars(finished_run / "tensorboard/head/seed_1")
        found = stage["decision"]["thresholds"]  # of the uncalibrated logits of the stage
        for name, value in zip(results["labels"], found, strict=True):
            assert seen[f"train/threshold_{name}"] == [pytest.approx(value, abs=1e-6)]
    assert scalars(finished_run / "tensorboard/encoders/zeta/fold_1")["train/loss_bce"]
    curve = [entry for entry in stage["fold_logs"][0] if "loss_correlation" in entry]
    assert curve
    assert any("gate_zeta" in entry for entry in stage["fold_logs"][0])


def test_gates_of_texts(finished_run: Path, tiny_encoder_folders: dict[str, Path]) -> None:
    saved = np.load(finished_run / "predictions_validation.npz")["gates"]
    assert saved.shape == (40, 2)
    np.testing.assert_allclose(saved.sum(1), 1, atol=1e-5)
    context = RunContext.load(parse_recipe(tiny_run_options(tiny_encoder_folders, finished_run)))
    features = scored_features(context, "validation")
    model = StackedEmotionForSequenceClassification.from_pretrained(finished_run / "model")
    np.testing.assert_allclose(tracking.text_gates(model, features), saved, atol=1e-5)
    one = tracking.text_gates(model, features.select([7]))
    np.testing.assert_allclose(one[0], saved[7], atol=1e-5)
    words = torch.from_numpy(np.array(features[7]["word_embeddings"], np.float32))[None]
    with torch.no_grad():
        gates = model.eval()(
            word_embeddings=words,
            word_mask=torch.ones(1, words.shape[1], dtype=torch.long),
            encoder_logits=torch.from_numpy(np.array(features[7]["encoder_logits"]))[None],
            output_gates=True,
        ).gates
    np.testing.assert_allclose(gates.mean(1)[0], saved[7], atol=1e-5)


def test_tensorboard_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    tracking.check_trackers(["none"])
    with pytest.raises(UserError, match=r"stacked_emotion\[tracking\]"):
        tracking.check_trackers(["tensorboard"])
