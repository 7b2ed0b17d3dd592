"""A whole run on the embedded sample: its products, its honesty, and what a second run repeats."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import ROOT

from stacked_emotion import StackedEmotionForSequenceClassification
from stacked_emotion.inference import StackedEmotionPredictor
from stacked_emotion.trainer import UserError, parse_recipe, run_training
from stacked_emotion.trainer.features.cache import open_cache
from stacked_emotion.trainer.stages.context import RunContext
from stacked_emotion.trainer.stages.encoders import encoder_parts, load_fine_tuned
from stacked_emotion.trainer.stages.features import scored_features, training_features
from stacked_emotion.trainer.train import main

SAMPLE = ROOT / "recipes" / "sample"


def options(folders: dict[str, Path], output: Path, *more: str) -> list[str]:
    names = ("zeta", "alpha")
    return [
        "--train_file", str(SAMPLE / "train.jsonl"),
        "--validation_file", str(SAMPLE / "validation.jsonl"),
        "--max_train_samples", "90", "--max_validation_samples", "40",
        "--encoders", *(f"{name}={folders[name]}" for name in names),
        "--output_dir", str(output), "--cross_fit", "2", "--encoder_defaults.epochs", "1",
        "--encoder_defaults.learning_rate", "1e-3", "--meta.epochs", "1", "--head.epochs", "1",
        "--head_seeds", "0", "1", "--max_length", "40", "--gain_in_errors", "-1000", *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_encoder_folders: dict[str, Path]) -> Path:
    folder = tmp_path_factory.mktemp("run")
    run_training(parse_recipe(options(tiny_encoder_folders, folder)))
    return folder


@pytest.fixture(scope="module")
def context(run: Path, tiny_encoder_folders: dict[str, Path]) -> RunContext:
    return RunContext.load(parse_recipe(options(tiny_encoder_folders, run)))


def test_products(run: Path) -> None:
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    assert list(results["systems"]) == ["zeta", "alpha", "average", "meta", "stack"]
    for system in results["systems"].values():
        assert 0 <= system["validation"]["jaccard"]["mean"] <= 1
    assert len(results["systems"]["stack"]["validation"]["jaccard"]["values"]) == 2
    assert results["data"]["train"]["rows"] == 90
    assert len(results["labels"]) == 11
    table = (run / "results.md").read_text(encoding="utf-8")
    assert "| stack " in table
    assert "nan" not in table.lower()
    assert not list(run.rglob("*.bin.partial"))
    assert not [path for path in run.rglob("*.bin") if path.parent.parent.name != "features"]


def test_the_model_gives_the_reported_figures(run: Path, context: RunContext) -> None:
    predictor = StackedEmotionPredictor.from_pretrained(str(run / "model"), dtype="float32")
    texts = context.splits["validation"].texts
    saved = np.load(run / "predictions_validation.npz")
    difference = np.abs(predictor.predict_proba(texts) - saved["probabilities"]).max()
    assert difference < 1e-3  # the cached word vectors are float16
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    config = predictor.model.config
    assert config.thresholds == pytest.approx(list(results["thresholds"].values()))
    assert config.label_prevalence == pytest.approx(context.splits["train"].labels.mean(0).tolist())


def test_features_are_out_of_fold(context: RunContext) -> None:
    parts = encoder_parts(context)
    features = training_features(context)
    for fold in range(2):
        inside = np.flatnonzero(context.fold_of_row == fold)
        assert not set(parts[f"fold_{fold}"]) & set(inside)
        for index, name in enumerate(context.names):
            model = load_fine_tuned(context, name, f"fold_{fold}")
            row = int(inside[0])
            item = context.encoded["train"].column(index)[row]
            keys = ("input_ids", "attention_mask", "word_index")
            with torch.no_grad():
                batch = [torch.from_numpy(item[key].astype(np.int64))[None] for key in keys]
                words, _, logits, *_ = model.stacked.encode(*batch)
            begin = sum(features.layout.sizes[:index])
            end = begin + features.layout.sizes[index]
            cached = features[row]["word_embeddings"][:, begin:end].astype(np.float32)
            np.testing.assert_allclose(cached, words[0].numpy(), atol=5e-3)
            np.testing.assert_allclose(
                features[row]["encoder_logits"][index], logits[0, 0], atol=1e-4
            )


def test_without_epochs_the_stack_is_the_average(
    run: Path, tiny_encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    more = ["--encoders_from", str(run), "--meta.epochs", "0", "--head.epochs", "0"]
    results = run_training(parse_recipe(options(tiny_encoder_folders, tmp_path, *more)))
    scores = {name: entry["validation"] for name, entry in results["systems"].items()}
    for name in ("meta", "stack"):
        for metric in ("jaccard", "macro_ap", "brier"):
            assert scores[name][metric]["mean"] == pytest.approx(
                scores["average"][metric]["mean"], abs=1e-5
            )


def test_what_is_finished_is_not_done_again(
    run: Path, tiny_encoder_folders: dict[str, Path]
) -> None:
    weights = sorted(run.glob("encoders/*/*/model.safetensors"))
    assert len(weights) == 6
    times = {path: path.stat().st_mtime_ns for path in [*weights, run / "meta/done.json"]}
    head = (run / "head/done.json").stat().st_mtime_ns
    run_training(parse_recipe(options(tiny_encoder_folders, run, "--head.learning_rate", "1e-4")))
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert (run / "head/done.json").stat().st_mtime_ns != head


def test_a_damaged_cache_is_made_again(
    run: Path, context: RunContext, caplog: pytest.LogCaptureFixture
) -> None:
    before = scored_features(context, "validation")
    expected = before.encoder_logits().copy()
    words = np.array(before.words)
    file = run / "features/validation/words.bin"
    damaged = bytearray(file.read_bytes())
    damaged[10] ^= 255
    file.write_bytes(bytes(damaged))
    assert open_cache(file.parent, before.layout, "x") is None
    again = scored_features(context, "validation")
    np.testing.assert_array_equal(again.encoder_logits(), expected)
    np.testing.assert_array_equal(np.array(again.words), words)
    file.write_bytes(file.read_bytes()[:-8])
    np.testing.assert_array_equal(scored_features(context, "validation").words, words)
    (run / "features/validation/done.json").write_text("{")
    np.testing.assert_array_equal(scored_features(context, "validation").words, words)


def test_a_full_disk_is_told_first(
    run: Path, tiny_encoder_folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(run)._replace(free=10)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    recipe = parse_recipe(options(tiny_encoder_folders, run))
    recipe.data.max_validation_samples = 30
    with pytest.raises(UserError, match="free"):
        scored_features(RunContext.load(recipe), "validation")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--stage", "head"], "stage"),
        (["--encoders", "zeta"], "name=value"),
        (["--head.loss", "hinge"], "hinge"),
        (["--cross_fit", "1"], "cross_fit"),
        (["--decisions", "coin"], "coin"),
        (["--train_encoders", "omega"], "omega"),
        (["--head.loss.options.gamma", "2"], "gamma"),
        (["--train_file", "/nowhere.csv"], "/nowhere.csv"),
    ],
)
def test_mistakes_are_told(
    more: list[str], message: str, tiny_encoder_folders: dict[str, Path], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert main(options(tiny_encoder_folders, tmp_path, *more)) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said


def test_a_run_without_what_it_starts_from_is_refused(
    tiny_encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="stage encoders"):
        run_training(parse_recipe(options(tiny_encoder_folders, tmp_path, "--stage", "meta")))


def test_joint_stage(run: Path, tiny_encoder_folders: dict[str, Path], tmp_path: Path) -> None:
    more = [
        "--encoders_from",
        str(run),
        "--stage",
        "encoders",
        "meta",
        "head",
        "joint",
        "--joint.epochs",
        "1",
    ]
    results: dict[str, Any] = run_training(
        parse_recipe(options(tiny_encoder_folders, tmp_path, *more))
    )
    assert "joint" in results["systems"]
    joint = StackedEmotionForSequenceClassification.from_pretrained(tmp_path / "model")
    head = StackedEmotionForSequenceClassification.from_pretrained(run / "model")
    name = "stacked.encoder_zeta.encoder.layer.1.output.dense.weight"
    assert not torch.equal(joint.state_dict()[name], head.state_dict()[name])
