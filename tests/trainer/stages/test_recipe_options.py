"""What a recipe may ask for: LoRA, frozen layers and parts, layer decay, checkpointing, bf16."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_models import ROOT, build_stack
from transformers import AutoModel
from transformers.models.xlm_roberta.modeling_xlm_roberta import XLMRobertaIntermediate

from stacked_emotion.trainer import StackedEmotionTrainer, UserError, parse_recipe, run_training
from stacked_emotion.trainer.losses.contrastive import add_projection
from stacked_emotion.trainer.parameter_groups import freeze_parts, parameter_groups, parts_of
from stacked_emotion.trainer.stages.context import RunContext
from stacked_emotion.trainer.stages.encoders import run_encoders

SAMPLE = ROOT / "recipes" / "sample"


def fine_tuned(folder: Path, encoders: dict[str, Path], *more: str) -> dict[str, torch.Tensor]:
    """Weights of the one encoder after stage `encoders`."""
    recipe = parse_recipe(
        ["--train_file", str(SAMPLE / "train.jsonl"), "--max_train_samples", "40",
         "--encoders", f"zeta={encoders['zeta']}", "--output_dir", str(folder),
         "--cross_fit", "0", "--encoder_defaults.epochs", "2",
         "--encoder_defaults.learning_rate", "1e-3", "--encoder_defaults.batch_size", "10",
         "--max_length", "32", *more]
    )  # fmt: skip
    run_encoders(RunContext.load(recipe))
    state = load_file(folder / "encoders/zeta/final/model.safetensors")
    begin = "stacked.encoder_zeta."
    return {key.removeprefix(begin): value for key, value in state.items() if begin in key}


@pytest.fixture(scope="module")
def source(tiny_encoder_folders: dict[str, Path]) -> dict[str, torch.Tensor]:
    return AutoModel.from_pretrained(
        tiny_encoder_folders["zeta"], add_pooling_layer=False
    ).state_dict()


@pytest.fixture(scope="module")
def plain(
    tiny_encoder_folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, torch.Tensor]:
    return fine_tuned(tmp_path_factory.mktemp("plain"), tiny_encoder_folders)


def moved(after: dict[str, torch.Tensor], before: dict[str, torch.Tensor]) -> set[str]:
    assert set(after) <= set(before)
    return {name for name, value in after.items() if not torch.equal(value, before[name])}


def test_everything_moves_without_an_option(
    plain: dict[str, torch.Tensor], source: dict[str, torch.Tensor]
) -> None:
    names = moved(plain, source)
    assert any("embeddings" in name for name in names)
    assert any("layer.0" in name for name in names)


def test_lora_moves_linear_layers_by_its_rank_and_goes_on_when_killed(
    tiny_encoder_folders: dict[str, Path], source: dict[str, torch.Tensor], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    pytest.importorskip("peft")
    options = (
        "--encoder_defaults.lora_rank",
        "2",
        "--encoder_defaults.save_steps",
        "3",
        "--joint.save_steps",
        "3",
    )
    whole = fine_tuned(tmp_path / "whole", tiny_encoder_folders, *options)
    names = moved(whole, source)
    assert {name for name in names if not name.endswith(".weight")} == set()
    assert not [name for name in names if "Norm" in name or "embeddings" in name]
    assert len([name for name in names if "query" in name or "dense" in name]) == 8
    for name in names:
        assert torch.linalg.matrix_rank((whole[name] - source[name]).double(), tol=1e-6) <= 2

    save, calls = StackedEmotionTrainer._save_checkpoint, 0

    def dying(self: StackedEmotionTrainer, *arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        save(self, *arguments)

    monkeypatch.setattr(StackedEmotionTrainer, "_save_checkpoint", dying)
    with pytest.raises(KeyboardInterrupt):
        fine_tuned(tmp_path / "killed", tiny_encoder_folders, *options)
    resumed = fine_tuned(tmp_path / "killed", tiny_encoder_folders, *options)
    assert not moved(resumed, whole)


def test_any_field_of_the_training_arguments_reaches_the_trainer(
    tiny_encoder_folders: dict[str, Path], plain: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    log = ["--encoder_defaults.logging_steps", "1"]
    constant = ["--encoder_defaults.lr_scheduler_type", "constant_with_warmup",
                "--encoder_defaults.warmup", "0"]  # fmt: skip
    fine_tuned(tmp_path / "constant", tiny_encoder_folders, *log, *constant)
    entries = log_of(tmp_path / "constant")
    assert len(entries) == 8  # 40 texts, 10 per step, two epochs
    assert {entry["learning_rate"] for entry in entries} == {1e-3}
    more = ["--encoder_defaults.gradient_accumulation_steps", "2"]
    fine_tuned(tmp_path / "accumulated", tiny_encoder_folders, *log, *more)
    assert len(log_of(tmp_path / "accumulated")) == 4
    other = fine_tuned(
        tmp_path / "sgd", tiny_encoder_folders, "--encoders.zeta.optim", "sgd",
        "--encoders.zeta.max_steps", "3", *log,
    )  # fmt: skip
    assert len(log_of(tmp_path / "sgd")) == 3
    assert moved(other, plain)


def test_one_value_of_the_training_arguments_that_does_not_fit(
    tiny_encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    """It is refused before anything is trained, with its section."""
    for words, message in (
        (["--encoder_defaults.optim", "adamm"], r"--encoder_defaults\.optim is 'adamm'"),
        (["--head.lr_scheduler_type", "linar"], "it must be .*did you mean 'linear'"),
        (["--joint.save_strategy", "sometimes"], r"--joint\.save_strategy is 'sometimes'"),
        (["--dropout", "2"], "dropout is 2"),
        (["--head.loss.options.temperature", "-1"], r"head\.loss: .*temperature"),
        (["--stacking_level", "letter"], "stacking_level"),
    ):
        with pytest.raises(UserError, match=message):
            fine_tuned(tmp_path, tiny_encoder_folders, *words)
    assert not (tmp_path / "encoders").exists()


def log_of(run: Path) -> list[dict[str, Any]]:
    return json.loads((run / "encoders/zeta/final/done.json").read_text())["record"]["log"]


def test_frozen_layers_stay(
    tiny_encoder_folders: dict[str, Path], source: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    after = fine_tuned(tmp_path, tiny_encoder_folders, "--encoders.zeta.frozen_layers", "1")
    names = moved(after, source)
    assert names
    assert all("layer.1." in name for name in names)


def test_layer_decay_of_zero_trains_the_top_layer_only(
    tiny_encoder_folders: dict[str, Path], source: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    after = fine_tuned(tmp_path, tiny_encoder_folders, "--encoder_defaults.layer_decay", "0")
    names = moved(after, source)
    assert names
    assert all("layer.1." in name for name in names)


def test_learning_rates_by_layer(tiny_encoder_folders: dict[str, Path]) -> None:
    model, _ = build_stack({"zeta": tiny_encoder_folders["zeta"]})
    groups = parameter_groups(model, {"zeta": 1.0}, 10.0, 0.01, layer_decay=0.5)
    rate_of = {id(p): group["lr"] for group in groups for p in group["params"]}
    rates = {name: rate_of[id(parameter)] for name, parameter in model.named_parameters()}
    begin = "stacked.encoder_zeta."
    assert rates[f"{begin}encoder.layer.1.output.dense.weight"] == 1.0
    assert rates[f"{begin}encoder.layer.0.output.dense.weight"] == 0.5
    assert rates[f"{begin}embeddings.word_embeddings.weight"] == 0.25
    assert rates["stacked.head_zeta.output.weight"] == 10.0
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert {decays[id(p)] for p in model.parameters() if p.dim() == 1} == {0.0}


def test_gradient_checkpointing_changes_nothing_but_memory(
    tiny_encoder_folders: dict[str, Path], plain: dict[str, torch.Tensor], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    calls, original = 0, XLMRobertaIntermediate.forward

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += arguments[0].training  # not those of the checks before the training
        return original(*arguments, **options)

    monkeypatch.setattr(XLMRobertaIntermediate, "forward", counted)
    after = fine_tuned(
        tmp_path, tiny_encoder_folders, "--encoder_defaults.gradient_checkpointing", "true"
    )
    assert calls == 2 * 8 * 2  # layers, steps, once more in the backward pass
    for name, value in after.items():
        torch.testing.assert_close(value, plain[name], atol=1e-5, rtol=1e-4)


def test_parts_are_frozen_by_name(tiny_encoder_folders: dict[str, Path]) -> None:
    folders = {name: tiny_encoder_folders[name] for name in ("zeta", "alpha")}
    model, _ = build_stack(folders)
    add_projection(model, 8)
    assert set(parts_of(model)) == {
        "zeta", "alpha", "encoders", "heads", "stack_norm", "meta_learner", "lstm", "pooling",
        "projection", "classifier",
    }  # fmt: skip
    freeze_parts(model, ["zeta", "lstm"])
    trained = {name for name, value in model.named_parameters() if value.requires_grad}
    assert not [name for name in trained if "encoder_zeta" in name or "lstm" in name]
    assert any("encoder_alpha" in name for name in trained)
    assert any("head_zeta" in name for name in trained)
    with pytest.raises(UserError, match="nothing to be trained"):
        freeze_parts(model, list(parts_of(model)))


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("--joint.frozen_parts", "lstn", r"frozen_parts.*'lstn' \(did you mean 'lstm'.*zeta, enc"),
        ("--joint.frozen_parts", "alpha", "there is no part 'alpha'"),
        ("--head.optim", "adamw_tourch", r"head\.optim is 'adamw_tourch'.*mean 'adamw_torch'"),
        ("--encoders.zeta.optim", "best", r"encoders\.zeta\.optim is 'best'.*one of adamw_torch"),
        ("--joint.lr_scheduler_type", "cosin", r"joint\.lr_scheduler_type.*mean 'cosine'"),
    ],
)
def test_wrong_names_are_told_when_the_recipe_is_read(option: str, value: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        parse_recipe(["--train_file", "a.csv", "--encoders", "zeta=a/b", option, value])


def test_all_stages_in_bf16_on_a_cpu(tiny_encoder_folders: dict[str, Path], tmp_path: Path) -> None:
    recipe = parse_recipe(
        ["--train_file", str(SAMPLE / "train.jsonl"), "--validation_file",
         str(SAMPLE / "validation.jsonl"), "--max_train_samples", "40",
         "--max_validation_samples", "20", "--encoders", f"zeta={tiny_encoder_folders['zeta']}",
         f"alpha={tiny_encoder_folders['alpha']}", "--output_dir", str(tmp_path),
         "--cross_fit", "2", "--encoder_defaults.epochs", "1", "--meta.epochs", "1",
         "--head.epochs", "1", "--head_seeds", "0", "--max_length", "32",
         "--decisions", "global", "--stage", "encoders", "meta", "head", "joint",
         "--joint.frozen_parts", "zeta", "lstm", "--bf16", "true"]
    )  # fmt: skip
    results = run_training(recipe)
    assert list(results["systems"]) == ["zeta", "alpha", "average", "meta", "stack", "joint"]
    state = load_file(tmp_path / "model/model.safetensors")
    assert all(value.dtype == torch.float32 for value in state.values())
    assert all(torch.isfinite(value).all() for value in state.values())
    before = {}
    for name in ("zeta", "alpha"):
        final = load_file(tmp_path / f"encoders/{name}/final/model.safetensors")
        before |= {key: value for key, value in final.items() if f"encoder_{name}" in key}
    changed = {name for name, value in before.items() if not torch.equal(value, state[name])}
    assert changed
    assert all("encoder_alpha" in name for name in changed)  # zeta is frozen in stage joint
