"""A whole distillation on a part of the sample: its products, its honesty, its resuming."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from tiny_models import ROOT
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from stacked_emotion import Run
from stacked_emotion.common.command_line import Parser
from stacked_emotion.common.errors import UserError
from stacked_emotion.common.settings import read_yaml
from stacked_emotion.data.labeled_texts import load_labeled_texts
from stacked_emotion.inference import StackedEmotionPredictor
from stacked_emotion.trainer.arguments import DESCRIBED
from stacked_emotion.trainer.distillation import training
from stacked_emotion.trainer.distillation.arguments import (
    Distillation,
    add_distillation_options,
    distillation_of,
)
from stacked_emotion.trainer.distillation.command import main, run_distillation
from stacked_emotion.trainer.distillation.run import DistillationContext
from stacked_emotion.trainer.distillation.teacher import Teacher, logits_of
from stacked_emotion.trainer.distillation.training import student_logits
from stacked_emotion.trainer.running.provenance import settings_of

SAMPLE = ROOT / "recipes" / "sample"


def parse_distillation(words: list[str]) -> Distillation:
    parser = Parser(prog="stacked-emotion distill")
    add_distillation_options(parser)
    return distillation_of(parser, parser.parse_args(words))


def arguments(teacher: Path, student: Path, output: Path, *more: str) -> list[str]:
    return [
        "--model", str(teacher), "--student", str(student), "--output_dir", str(output),
        "--train_file", str(SAMPLE / "train.jsonl"),
        "--validation_file", str(SAMPLE / "validation.jsonl"),
        "--max_train_samples", "90", "--max_validation_samples", "40",
        "--epochs", "1", "--learning_rate", "1e-3", "--seeds", "0", "1", "--max_length", "40",
        "--teacher_dtype", "float32", *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def unlabeled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("texts") / "unlabeled.txt"
    rows = [json.loads(line) for line in (SAMPLE / "train.jsonl").read_text("utf-8").splitlines()]
    file.write_text("\n".join(row["text"] for row in rows[80:120]) + "\n", encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def distilled(
    finished_run: Path, family_folders: dict[str, Path], unlabeled: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:  # fmt: skip
    folder = tmp_path_factory.mktemp("distilled") / "run"
    run_distillation(parse_distillation(full(finished_run, family_folders, unlabeled, folder)))
    return folder


def full(
    run: Path, folders: dict[str, Path], unlabeled: Path, output: Path, *more: str
) -> list[str]:
    return arguments(
        run / "model", folders["bert"], output, "--augmented_copies", "1",
        "--unlabeled_file", str(unlabeled), *more,
    )  # fmt: skip


def test_products(distilled: Path, finished_run: Path) -> None:
    results = json.loads((distilled / "results.json").read_text(encoding="utf-8"))
    assert results["format"] == 1
    assert results["kind"] == "student"
    names = ["teacher", "alone", "student"]
    assert list(results["systems"]) == names + [f"{name}, thresholds" for name in names]
    for name, entry in results["systems"].items():
        values = entry["validation"]["jaccard"]["values"]
        assert len(values) == (1 if name.startswith("teacher") else 2)
        assert all(0 <= value <= 1 for value in values)
    assert results["teacher"]["training_scores"] == "out of fold"
    assert results["teacher"]["augmented_scores"] == "out of fold"
    counts = results["teacher"]["texts_without_labels"]
    assert 40 < counts["augmented"] <= 90
    assert 0 < counts["unlabeled"] <= 30  # ten of the forty are training texts
    assert {"student - alone", "teacher - student"} <= set(results["comparisons"]["validation"])
    table = (distilled / "results.md").read_text(encoding="utf-8")
    assert "| student, thresholds |" in table
    assert "nan" not in table.lower()
    saved = json.loads((finished_run / "results.json").read_text(encoding="utf-8"))
    assert results["labels"] == saved["labels"]
    assert not list((distilled / "model").rglob("*.py"))
    assert not list(distilled.rglob("checkpoints"))


def test_the_model_gives_the_reported_figures(distilled: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(distilled / "model")
    tokenizer = AutoTokenizer.from_pretrained(distilled / "model")
    context = DistillationContext.load(_again(distilled))
    texts = context.splits["validation"]
    logits = student_logits(model, tokenizer, texts.texts)
    probabilities = 1 / (1 + np.exp(-logits))
    saved = np.load(distilled / "predictions_validation.npz")
    np.testing.assert_allclose(probabilities, saved["probabilities"], atol=1e-5)
    results = json.loads((distilled / "results.json").read_text(encoding="utf-8"))
    limits = np.array(list(results["thresholds"].values()))
    assert model.config.thresholds == pytest.approx(limits.tolist())
    decided = (probabilities >= limits).astype(int)
    union = (decided | texts.labels).sum(1)
    rows = np.where(union == 0, 1.0, (decided & texts.labels).sum(1) / np.maximum(union, 1))
    reported = results["systems"]["student, thresholds"]["validation"]["jaccard"]["values"][0]
    assert rows.mean() == pytest.approx(reported, abs=1e-6)


def _again(folder: Path) -> Distillation:
    """The arguments a finished distillation was given."""
    recipe = read_yaml(folder / "recipe.yaml")
    more = ["--augmented_copies", "1", "--unlabeled_file", recipe["unlabeled_file"]]
    return parse_distillation(
        arguments(Path(recipe["model"]), Path(recipe["student"]), folder, *more)
    )


def test_fold_models_give_the_out_of_fold_scores(finished_run: Path, distilled: Path) -> None:
    given = _again(distilled)
    teacher = Teacher.load(given.options)
    train = load_labeled_texts(given.data, "train", teacher.labels)
    assert train is not None
    run = teacher.find_run(None, train)
    assert run is not None
    assert run.fold_models_digest(teacher.config.encoder_names) is not None
    expected = teacher.calibrated(run.out_of_fold_logits())
    in_sample = logits_of(teacher.predictor(), train.texts, progress=False)
    for fold in range(run.folds):
        predictor = teacher.predictor()
        run.load_fold(predictor.model, fold)
        inside = np.flatnonzero(run.fold_of_row == fold)
        found = logits_of(predictor, [train.texts[row] for row in inside], progress=False)
        np.testing.assert_allclose(found, expected[inside], atol=2e-2)  # cached as float16
        assert np.abs(in_sample[inside] - expected[inside]).max() > 2e-2


def test_no_altered_copy_of_a_held_out_text_is_learned(distilled: Path) -> None:
    context = DistillationContext.load(_again(distilled))
    rows = training_rows(context, "student", "fold_1")
    train, folds = context.splits["train"], context.scores.fold_of_row
    held_out = {word for row in np.flatnonzero(folds == 1) for word in train.texts[row].split()}
    learned = {word for row in np.flatnonzero(folds != 1) for word in train.texts[row].split()}
    texts = [rows[row]["text"] for row in range(len(rows)) if not rows[row]["labeled"]]
    assert texts
    copies = set(context.scores.extra.filter(lambda row: row["fold"] == 1)["text"])
    assert copies
    assert not copies & set(texts)
    assert held_out - learned  # the two folds can be told apart


def training_rows(context: DistillationContext, variant: str, part: str) -> Any:
    """The rows that a part would be trained on."""
    seen: list[Any] = []

    class Stop(Exception):
        pass

    def catch(options: Any, plan: Any, rows: Any, *rest: Any) -> Any:
        seen.append(rows)
        raise Stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stacked_emotion.trainer.distillation.run.train_student", catch)
        with pytest.raises(Stop):
            context._train(variant, part, 0, context.output)
    return seen[0]


def test_thresholds_follow_the_teachers_rates_or_the_labels(
    distilled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stacked_emotion.trainer.distillation.run.train_student", None)
    copy = Path(shutil.copytree(distilled, tmp_path / "run"))
    given = _again(copy)
    context = DistillationContext.load(given)
    rows, held_out = context.held_out_logits("student")
    results = json.loads((distilled / "results.json").read_text(encoding="utf-8"))
    assert results["decisions"]["student"]["kind"] == context.teacher.decision.kind
    assert results["decisions"]["student, thresholds"]["kind"] == "teacher_rates"
    limits = np.array(list(results["thresholds"].values()))
    taught = context.teacher.decision.decide(context.scores.training[rows])
    np.testing.assert_array_equal(
        (1 / (1 + np.exp(-held_out.astype(np.float64))) >= limits).sum(0), taught.sum(0)
    )
    given.options.thresholds_from = "labels"
    by_labels = run_distillation(given)
    kinds = {name: entry["kind"] for name, entry in by_labels["decisions"].items()}
    assert kinds["student, thresholds"] in ("global", "shrunk")
    alone = "alone, thresholds"
    assert by_labels["decisions"][alone] == results["decisions"][alone]


def test_what_is_finished_is_not_done_again(
    distilled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("computed again")

    monkeypatch.setattr(StackedEmotionPredictor, "predict_proba", never)
    monkeypatch.setattr("stacked_emotion.trainer.distillation.run.train_student", never)
    before = json.loads((distilled / "results.json").read_text(encoding="utf-8"))
    results = run_distillation(_again(distilled))
    assert results["systems"] == before["systems"]
    assert results["thresholds"] == before["thresholds"]


def test_fold_thresholds_repeats_nothing_but_the_folder(
    distilled: Path, finished_run: Path, family_folders: dict[str, Path], unlabeled: Path,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    copy = Path(shutil.copytree(distilled, tmp_path / "run"))
    monkeypatch.setattr("stacked_emotion.trainer.distillation.run.train_student", None)
    more = ("--fold_thresholds", "true")
    given = parse_distillation(full(finished_run, family_folders, unlabeled, copy, *more))
    results = run_distillation(given)
    assert set(results["thresholds"].values()) == {0.5}
    before, after = (
        np.load(folder / "predictions_validation.npz")["probabilities"]
        for folder in (distilled, copy)
    )
    limits = json.loads((distilled / "results.json").read_text())["thresholds"].values()
    sure = np.abs(before - np.array(list(limits))) > 1e-6
    decided = before >= np.array(list(limits))
    np.testing.assert_array_equal((after >= 0.5)[sure], decided[sure])
    model = AutoModelForSequenceClassification.from_pretrained(copy / "model")
    tokenizer = AutoTokenizer.from_pretrained(copy / "model")
    texts = load_labeled_texts(given.data, "validation", results["labels"])
    assert texts is not None
    scores = torch.sigmoid(torch.from_numpy(student_logits(model, tokenizer, texts.texts)))
    np.testing.assert_allclose(scores.numpy(), after, atol=1e-5)


def test_a_killed_training_goes_on(
    distilled: Path, finished_run: Path, family_folders: dict[str, Path], unlabeled: Path,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    copy = Path(shutil.copytree(distilled, tmp_path / "run"))
    shutil.rmtree(copy / "student" / "fold_1")
    more = ("--save_steps", "2", "--epochs", "1")
    given = parse_distillation(full(finished_run, family_folders, unlabeled, copy, *more))
    step = training.StackedEmotionTrainer.training_step

    def killed(trainer: Any, *inputs: Any, **options: Any) -> Any:
        if trainer.state.global_step == 3:
            raise KeyboardInterrupt
        return step(trainer, *inputs, **options)

    with monkeypatch.context() as patch:
        patch.setattr(training.StackedEmotionTrainer, "training_step", killed)
        with pytest.raises(KeyboardInterrupt):
            run_distillation(given)
    assert (copy / "student/fold_1/checkpoints/checkpoint-2").is_dir()
    run_distillation(given)
    name = "student/fold_1/held_out.safetensors"
    found, expected = (load_file(folder / name)["logits"] for folder in (copy, distilled))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_bare_model_is_an_in_sample_teacher(
    finished_run: Path, family_folders: dict[str, Path], tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    model = Path(shutil.copytree(finished_run / "model", tmp_path / "bare" / "model"))
    command = arguments(model, family_folders["distilbert"], tmp_path / "out", "--alone", "false",
                        "--seeds", "0", "--cross_fit", "2", "--augmented_copies", "1",
                        "--student_layers", "1", "--held_out_folds", "1")  # fmt: skip
    logging.getLogger("transformers").propagate = True
    with caplog.at_level(logging.WARNING):
        results = run_distillation(parse_distillation(command))
    assert "in sample" in caplog.text
    assert results["teacher"]["training_scores"] == "in sample"
    assert results["teacher"]["augmented_scores"] == "in sample"
    assert list(results["systems"]) == ["teacher", "student", "student, thresholds"]


def test_mistakes(
    finished_run: Path, family_folders: dict[str, Path], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    model, student = finished_run / "model", family_folders["bert"]
    cases = [
        (arguments(student, student, tmp_path), "must be a stack"),
        (arguments(tmp_path, student, tmp_path), "not a finished model"),
        (arguments(model, tmp_path / "none", tmp_path), "--student"),
        (arguments(model, model, tmp_path), "not a stock encoder"),
        (arguments(model, student, tmp_path, "--teacher_run", str(tmp_path)), "--teacher_run"),
        (arguments(model, student, tmp_path, "--temperature", "0"), "--temperature"),
        (arguments(model, student, tmp_path, "--soft_weight", "2"), "--soft_weight"),
        (arguments(model, student, tmp_path, "--thresholds_from", "dev"), "--thresholds_from"),
        (arguments(model, student, tmp_path, "--unlabeled_file", "none.csv"), "none.csv"),
        (arguments(model, student, tmp_path, "--student_layers", "7"), "--student_layers"),
        (["--student", str(student)], "--model"),
    ]
    for command, message in cases:
        assert main(command) == 2, message
        said = capsys.readouterr().err
        assert message in said
        assert "Traceback" not in said


def test_other_training_texts_are_no_out_of_fold_rows(
    finished_run: Path, family_folders: dict[str, Path], tmp_path: Path
) -> None:
    more = ("--max_train_samples", "60", "--teacher_run", str(finished_run))
    given = parse_distillation(
        arguments(finished_run / "model", family_folders["bert"], tmp_path, *more)
    )
    assert main(arguments(finished_run / "model", family_folders["bert"], tmp_path, *more)) == 2
    teacher = Teacher.load(given.options)
    train = load_labeled_texts(given.data, "train", teacher.labels)
    assert train is not None
    assert teacher.find_run(None, train) is None


def test_it_opens_and_runs_again_from_its_recipe(distilled: Path) -> None:
    run = Run(distilled)
    table = run.results.to_pandas()
    assert ("validation", "student") in table.index
    assert type(run.model).__name__ == "BertForSequenceClassification"
    recipe = settings_of(distilled, run.results.values)
    assert {k: v for k, v in recipe.items() if k not in DESCRIBED} == run.recipe
    text = (distilled / "results.json").read_text(encoding="utf-8")
    assert str(distilled.parent) not in text
    assert run.recipe["model"] not in text, "no path of this machine"
    with pytest.raises(UserError, match="stock encoder"):
        run.predict(["فرحان"])
    again = parse_distillation(["--config", str(distilled / "recipe.yaml"), "--optim", "adafactor"])
    assert again.options.training_arguments == {"optim": "adafactor"}
    assert again.to_dict() == run.recipe | {"optim": "adafactor"}
    with pytest.raises(UserError, match=r"--output_dri is not known|did you mean '--output_dir'"):
        parse_distillation(["--output_dri", "x"])
