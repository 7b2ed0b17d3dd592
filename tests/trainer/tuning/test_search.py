"""Tuning: scored out of fold, kept in a study that goes on, printed as lines of a recipe."""

from __future__ import annotations

import builtins
import json
import random
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tiny_runs import tiny_run_options
from transformers import TrainingArguments

from stacked_emotion.trainer import (
    StackedEmotionTrainer,
    UserError,
    build_loss,
    parse_recipe,
    run_training,
)
from stacked_emotion.trainer.arguments import TrainingRecipe
from stacked_emotion.trainer.data_collator import FeatureCollator
from stacked_emotion.trainer.recipe import read_recipe
from stacked_emotion.trainer.stages.cached_training import build_stack
from stacked_emotion.trainer.stages.context import RunContext
from stacked_emotion.trainer.stages.features import training_features
from stacked_emotion.trainer.tuning import search
from stacked_emotion.trainer.tuning.search import hyperparameter_search, main

BEST_EPOCH = ("--gain_in_errors", "0")
PARAMETERS = ["head.learning_rate", "dropout=0.1..0.5", "head.loss.options.correlation_weight"]


@pytest.fixture(scope="module")
def run(
    finished_run: Path, tmp_path_factory: pytest.TempPathFactory,
    tiny_encoder_folders: dict[str, Path],
) -> Path:  # fmt: skip
    """A run that takes the best epoch, however small its gain, as every trial does."""
    folder = Path(shutil.copytree(finished_run, tmp_path_factory.mktemp("tuning") / "run"))
    run_training(parse_recipe(tiny_run_options(tiny_encoder_folders, folder, *BEST_EPOCH)))
    shutil.rmtree(folder / "features/validation")
    return folder


@pytest.fixture(scope="module")
def recipe(run: Path, tiny_encoder_folders: dict[str, Path]) -> TrainingRecipe:
    return parse_recipe(tiny_run_options(tiny_encoder_folders, run, *BEST_EPOCH))


@pytest.fixture(scope="module")
def outcome(recipe: TrainingRecipe) -> dict[str, Any]:
    return hyperparameter_search(recipe, trials=2, parameters=PARAMETERS)


def test_the_first_trial_is_the_recipe(outcome: dict[str, Any], run: Path) -> None:
    stages = json.loads((run / "results.json").read_text(encoding="utf-8"))["stages"]
    assert outcome["recipe"]["score"] == stages["head"]["decision"]["score"]
    assert outcome["recipe"]["values"] == {
        "head.learning_rate": 5e-4, "dropout": 0.3, "head.loss.options.correlation_weight": 0.5
    }  # fmt: skip
    assert outcome["trials"][0]["meta_epoch"] == stages["meta"]["epoch"]
    first, second = (trial["values"] for trial in outcome["trials"])
    assert all(first[name] != second[name] for name in first)
    assert outcome["best"]["score"] == max(trial["score"] for trial in outcome["trials"])


def test_held_out_texts_are_not_looked_at(outcome: dict[str, Any], run: Path) -> None:
    assert not (run / "features/validation").exists()
    assert not (run / "tuning_trial").exists()
    assert len(outcome["trials"]) == 2


def test_lines_are_a_recipe(
    outcome: dict[str, Any], run: Path, tiny_encoder_folders: dict[str, Path]
) -> None:
    settings = read_recipe(run / "tuned.yaml")
    values = outcome["best"]["values"]
    assert settings["dropout"] == values["dropout"]
    options = tiny_run_options(tiny_encoder_folders, run)
    tuned = parse_recipe(["--config", str(run / "tuned.yaml"), *options])
    assert tuned.head.learning_rate == values["head.learning_rate"]
    given = tuned.head.loss.options
    assert given["correlation_weight"] == values["head.loss.options.correlation_weight"]


def test_a_finished_study_is_not_run_again(
    outcome: dict[str, Any], recipe: TrainingRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_run_trial", None)
    assert hyperparameter_search(recipe, 2, parameters=PARAMETERS)["trials"] == outcome["trials"]


def test_a_killed_trial_is_tried_again(
    outcome: dict[str, Any], recipe: TrainingRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []

    def killed(context: Any, values: dict[str, Any], *args: Any) -> Any:
        seen.append(values)
        if len(seen) == 1:
            raise KeyboardInterrupt
        return 0.25, {"meta_epoch": 0, "head_epoch": 0, "meta_score": 0.0, "seconds": 1.0}

    monkeypatch.setattr(search, "_run_trial", killed)
    with pytest.raises(KeyboardInterrupt):
        hyperparameter_search(recipe, 3, parameters=PARAMETERS)
    after = hyperparameter_search(recipe, 3, parameters=PARAMETERS)
    assert seen[0] == seen[1]
    assert after["trials"][:2] == outcome["trials"]
    assert after["trials"][2]["score"] == 0.25
    assert after["best"] == outcome["best"]
    other = hyperparameter_search(recipe, 1, parameters=PARAMETERS[:1])
    assert other["study"] != after["study"]


def test_a_damaged_study(
    outcome: dict[str, Any], run: Path, recipe: TrainingRecipe, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """A score that changed in the database, then bits that flipped anywhere in it."""
    database, whole = run / "tuning.db", tmp_path / "whole.db"
    shutil.copy(database, whole)
    record = {"meta_epoch": 0, "head_epoch": 0, "meta_score": 0.0, "seconds": 1.0}
    monkeypatch.setattr(search, "_run_trial", lambda *args: (0.125, record))
    study = f"study_id = (SELECT study_id FROM studies WHERE study_name = '{outcome['study']}')"
    with closing(sqlite3.connect(database)) as connection:
        connection.execute(
            "UPDATE trial_values SET value = 9 WHERE trial_id = (SELECT trial_id FROM trials "
            f"WHERE number = 0 AND {study})"
        )
        connection.commit()
    again = hyperparameter_search(recipe, 3, parameters=PARAMETERS)
    assert "1 damaged trials" in capsys.readouterr().err
    scores = [trial["score"] for trial in again["trials"]]
    assert len(scores) >= 3
    assert scores[0] == outcome["trials"][1]["score"]
    assert scores[-1] == 0.125
    known = {trial["score"] for trial in outcome["trials"]} | {0.25, 0.125}
    for seed in range(24):
        shutil.copy(whole, database)
        data = bytearray(whole.read_bytes())
        chance = random.Random(seed)
        data[0 if seed == 0 else chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        database.write_bytes(bytes(data))
        found = hyperparameter_search(recipe, 2, parameters=PARAMETERS)
        assert len(found["trials"]) >= 2
        assert {trial["score"] for trial in found["trials"]} <= known
    assert (run / "tuning.db.damaged").exists()
    shutil.copy(whole, database)


def test_command(
    run: Path, tiny_encoder_folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    record = {"meta_epoch": 0, "head_epoch": 0, "meta_score": 0.0, "seconds": 1.0}
    monkeypatch.setattr(search, "_run_trial", lambda *args: (0.5, record))
    options = tiny_run_options(tiny_encoder_folders, run)
    asked = ["--trials", "2", "--parameters", "meta.learning_rate", *options]
    assert main(["demo", *asked]) == 0
    said = capsys.readouterr()
    assert "Best of 2 trials" in said.out
    assert "\nmeta:\n  learning_rate: " in said.out
    assert "Trial 2 of 2; best so far 0.5000" in said.err
    assert main(["demo", "--trials", "none", *options]) == 2
    assert "--trials: 'none' is not a number above 0" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    monkeypatch.setattr(search, "join_ranks", lambda: SimpleNamespace(num_processes=2))
    assert main(["demo", *asked]) == 2
    assert "one process" in capsys.readouterr().err


def test_the_trainer_s_own_search(recipe: TrainingRecipe, tmp_path: Path) -> None:
    """`Trainer.hyperparameter_search` with Optuna, on cached features and rows left out."""
    context = RunContext.load(recipe)
    features = training_features(context)
    folds = context.fold_of_row
    trainer = StackedEmotionTrainer(
        model_init=lambda trial: build_stack(context),
        args=TrainingArguments(
            output_dir=str(tmp_path), num_train_epochs=1, eval_strategy="epoch", save_strategy="no",
            disable_tqdm=True, report_to="none", remove_unused_columns=False, use_cpu=True,
            label_names=["labels"],
        ),
        train_dataset=features.select(np.flatnonzero(folds != 0)),
        eval_dataset=features.select(np.flatnonzero(folds == 0)),
        data_collator=FeatureCollator(),
        loss=build_loss("hybrid", context.statistics),
    )  # fmt: skip
    best = trainer.hyperparameter_search(
        hp_space=lambda trial: {"learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-2)},
        compute_objective=lambda metrics: metrics["eval_jaccard"],
        n_trials=2,
        direction="maximize",
        backend="optuna",
    )
    assert 1e-4 <= best.hyperparameters["learning_rate"] <= 1e-2
    assert 0 <= best.objective <= 1


def test_optuna_that_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "optuna":
            raise ImportError(name)
        return found(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=r"stacked_emotion\[tuning\]"):
        hyperparameter_search(parse_recipe(["--encoders", "a=one"]))
