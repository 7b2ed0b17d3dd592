"""The Python front door: `train()` on tables in memory and on files, and a run opened again."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas
import pytest
import torch
from tiny_models import ROOT

import stacked_emotion
from stacked_emotion import Run, train
from stacked_emotion.cli import main
from stacked_emotion.common.errors import UserError
from stacked_emotion.common.files import read_json
from stacked_emotion.common.locks import locked
from stacked_emotion.runs import Results, _labels
from stacked_emotion.trainer.labeling.review import training_texts
from stacked_emotion.trainer.running.provenance import settings_of

SAMPLE = ROOT / "recipes" / "sample"
LABELS = ["joy", "anger", "sadness"]


@pytest.fixture(scope="module")
def frame() -> pandas.DataFrame:
    rows = [json.loads(line) for line in (SAMPLE / "train.jsonl").read_text("utf-8").splitlines()]
    found = pandas.DataFrame({"words": [row["text"] for row in rows[:60]]})
    for label in LABELS:
        found[label] = [int(label in row["labels"]) for row in rows[:60]]
    found["trust"] = 0  # a column that is not asked for
    return found


def settings(encoders: dict[str, Path]) -> dict[str, Any]:
    return {
        "encoders": {"zeta": encoders["zeta"], "alpha": {"source": encoders["alpha"], "epochs": 2}},
        "cross_fit": 2, "head_seeds": [0], "max_length": 32, "decisions": ["global"],
        "encoder_defaults": {"epochs": 1, "learning_rate": 1e-3, "gradient_accumulation_steps": 2},
        "meta": {"epochs": 1}, "head": {"epochs": 1, "loss": "bce"},
    }  # fmt: skip


@pytest.fixture(scope="module")
def run(
    frame: pandas.DataFrame, tiny_encoder_folders: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:  # fmt: skip
    folder = tmp_path_factory.mktemp("front_door") / "run"
    return train(
        **settings(tiny_encoder_folders), train=frame[:40], validation=frame[40:], text="words",
        labels=LABELS, output_dir=folder,
    )  # fmt: skip


def test_settings_reach_the_run(run: Run) -> None:
    recipe = run.recipe
    assert recipe["encoders"]["alpha"]["epochs"] == 2
    assert recipe["encoders"]["zeta"]["gradient_accumulation_steps"] == 2
    public = run.results["recipe"]
    assert public.keys() == recipe.keys()
    assert public["head"] == recipe["head"]
    assert (public["train_file"], public["output_dir"]) == ("train.jsonl", "a local folder")
    text = (run.folder / "results.json").read_text(encoding="utf-8")
    assert str(run.folder.parent) not in text
    assert not re.search(r'"[^"]*/(tmp|home|root)/', text), "no path of this machine"
    assert settings_of(run.folder, run.results.values) == recipe, "a run opens with its paths"
    assert recipe["label_columns"] == LABELS
    log = json.loads((run.folder / "encoders/zeta/final/done.json").read_text())["record"][
        "settings"
    ]
    assert log["training_arguments"] == {"gradient_accumulation_steps": 2}


def test_results_are_a_table(run: Run) -> None:
    table = run.results.to_pandas()
    assert list(table.index.names) == ["split", "system"]
    assert table.index.tolist() == [
        ("validation", name) for name in ("zeta", "alpha", "average", "meta", "stack")
    ]
    scores = run.results["systems"]["stack"]["validation"]
    assert table.loc[("validation", "stack"), "jaccard"] == scores["jaccard"]["mean"]
    assert {"jaccard", "micro_f1", "macro_f1", "hamming_loss"} <= set(table.columns)
    assert len(table.columns) <= 6
    everything = run.results.to_pandas(all_metrics=True)
    assert set(table.columns) < set(everything.columns)
    assert not [name for name in everything.columns if name.endswith("_joy")]
    by_label = run.results.to_pandas(by_label=True)
    assert by_label.loc[("validation", "stack", "joy"), "f1"] == scores["f1_joy"]["mean"]
    assert "<table" in run.results._repr_html_()
    assert "jaccard" in repr(run.results)
    left = Results(run.results.to_dict() | {"left_at_start": ["meta"]})
    for shown in (repr(left), left._repr_html_()):
        assert "meta (training not kept: the average)" in shown
        assert "(best single encoder here)" in shown
    assert ("validation", "meta") in left.to_pandas().index


def test_model_tokenizer_and_predictions_agree(run: Run) -> None:
    texts = ["فرحان جدا", "خائف", ""]
    answers = run.predict(texts)
    assert [set(answer.scores) for answer in answers] == [set(LABELS)] * 3
    assert run.model.config.id2label == dict(enumerate(LABELS))
    with torch.inference_mode():
        logits = run.model(**run.tokenizer(texts, padding=True, return_tensors="pt"))["logits"]
    expected = torch.sigmoid(logits.float()).numpy()
    found = np.array([[answer.scores[label] for label in LABELS] for answer in answers])
    assert run.predictor.backend == "torch float32"  # nothing was exported
    np.testing.assert_allclose(found[:2], expected[:2], atol=2e-6)
    assert len(run.predict("فرحان")) == 1
    frame = pandas.DataFrame({"id": ["a", "b"], "words": texts[:2]}, index=[7, 9])
    table = datasets.Dataset.from_pandas(frame, preserve_index=False)
    assert run.predict(frame, text="words") == run.predict(table, text="words") == answers[:2]
    assert run.predict(frame, text="words").to_pandas().index.tolist() == [7, 9]
    with pytest.raises(UserError, match="Which column has the texts"):
        run.predict(frame)
    kept = run.predict(frame, text="words").to_pandas()
    assert kept[["id", "words"]].equals(frame)
    assert kept.columns[:3].tolist() == ["id", "words", "labels"]
    again = run.predict(kept, text="words")
    with pytest.raises(UserError, match=r"already has the columns 'labels', .*another prefix"):
        again.to_pandas()
    assert again.to_pandas("new_").columns[-1] == "new_has_words"


def test_a_run_opens_by_its_folder(run: Run, tmp_path: Path) -> None:
    for again in (Run(run.folder), stacked_emotion.Run.from_folder(str(run.folder))):
        assert again.results.to_dict() == run.results.to_dict()
        assert again.recipe == run.recipe
        assert again.predict(["فرحان"]) == run.predict(["فرحان"])
    assert repr(run).splitlines()[0] == f"Run({str(run.folder)!r})"
    assert "zeta and alpha, 3 labels, trained on 40 texts of train (DataFrame)" in repr(run)
    best = run.results.to_pandas().loc[("validation", "stack"), "jaccard"]
    assert f"validation (20 texts): Jaccard {best:.3f}, " in repr(run)
    assert "<table" in run._repr_html_()
    assert "40 texts" in run._repr_html_()
    with pytest.raises(UserError, match="holds no run"):
        Run(tmp_path)


def test_a_run_without_held_out_texts_says_so() -> None:
    results = Results({"labels": LABELS, "splits": [], "systems": {}})
    assert repr(results).startswith("No scores: ")
    assert results._repr_html_().startswith("<p>No scores: ")
    decisions = {"zeta": {"score": 1.25}, "stack": {"score": 1.5}}
    found = Results({"labels": LABELS, "splits": [], "systems": {}, "decisions": decisions})
    table = found.to_pandas()
    assert table.index.tolist() == [("out of fold", "zeta"), ("out of fold", "stack")]
    assert table.iloc[:, 0].tolist() == [1.25, 1.5]
    assert "1.500" in repr(found)
    assert "1.500" in found._repr_html_()


def test_publish_gathers_the_run(run: Run) -> None:
    publication = run.publish("somebody/stack", license="mit", dry_run=True, plots=False,
                              language="ar")  # fmt: skip
    assert publication.commit is None
    assert "language:\n- ar\n" in (publication.folder / "README.md").read_text(encoding="utf-8")
    with pytest.raises(UserError, match=r"dryrun is not known \(did you mean 'dry_run'"):
        run.publish("somebody/stack", license="mit", dryrun=True)
    assert "model.safetensors" in {file.path for file in publication.files}
    assert not [file.path for file in publication.files if file.path.endswith(".jsonl")]


def test_data_sets_files_and_the_recipe_itself_give_the_same_run(
    run: Run, frame: pandas.DataFrame, tiny_encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    """No part is trained again: all of them are the same texts to every key."""
    names = datasets.Sequence(datasets.ClassLabel(names=LABELS))
    table = datasets.Dataset.from_dict(
        {"words": frame["words"], "tags": [np.flatnonzero(row).tolist() for row in
                                           frame[LABELS].to_numpy()]},
        features=datasets.Features({"words": datasets.Value("string"), "tags": names}),
    )  # fmt: skip
    again = train(
        **settings(tiny_encoder_folders), train=table.select(range(40)), labels="tags",
        label_names=LABELS, text="words", output_dir=tmp_path / "classes", stage=["encoders"],
        train_encoders=["zeta"],
    )  # fmt: skip
    key = json.loads((run.folder / "encoders/zeta/final/done.json").read_text())["key"]
    assert json.loads((again.folder / "encoders/zeta/final/done.json").read_text())["key"] == key
    with pytest.raises(UserError, match="has not finished"):
        _ = again.results

    frame[:40].to_csv(tmp_path / "train.csv", index=False)
    before = (run.folder / "encoders/zeta/final/done.json").stat().st_mtime_ns
    common = {"validation": frame[40:], "text": "words", "labels": LABELS}
    train(**settings(tiny_encoder_folders), train=tmp_path / "train.csv", **common,
          output_dir=run.folder)  # fmt: skip
    same = train(config=run.folder / "recipe.yaml", output_dir=run.folder)
    assert (run.folder / "encoders/zeta/final/done.json").stat().st_mtime_ns == before
    assert same.results["systems"] == run.results["systems"]


def files_of(folder: Path) -> dict[str, bytes]:
    kinds = (".jsonl", ".yaml", ".json", ".md")
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.suffix in kinds
    }


def test_a_refused_or_failed_call_leaves_a_finished_run_as_it_was(
    run: Run, frame: pandas.DataFrame, tiny_encoder_folders: dict[str, Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    folder = tmp_path / "run"
    shutil.copytree(run.folder, folder)
    before = files_of(folder)
    tables = {"train": frame[:5], "validation": frame[5:9], "text": "words", "labels": LABELS}
    given = settings(tiny_encoder_folders) | tables | {"output_dir": folder}
    for wrong in (
        {"verbose": True}, {"head": {"epochs": "many"}}, {"head": {"loss": "no_such_loss"}},
        {"text": "nowhere"}, {"labels": ["joy", "hope"]}, {"cross_fit": 1}, {"test": 5},
        {"encoders": {"a": tmp_path / "nowhere"}}, {"report_to": ["no_tracker"]},
        {"train": frame[:5].assign(words=None)}, {"cross_fit": 20},
    ):  # fmt: skip
        with pytest.raises(UserError):
            train(**given | wrong)
        assert files_of(folder) == before, wrong
    with locked(folder / ".lock", folder), pytest.raises(UserError, match="is in use"):
        train(**given)
    assert files_of(folder) == before

    def stops(*_: Any) -> None:
        raise RuntimeError("the power is gone")

    monkeypatch.setattr("stacked_emotion.trainer.train._run_stages", stops)
    with pytest.raises(RuntimeError, match="power"):
        train(**given)
    after = files_of(folder)
    assert before.items() <= after.items(), "what the finished run was trained on is still there"
    kept = {name for name in after if name not in before}
    assert {Path(name).name for name in kept} == {"train.jsonl", "validation.jsonl"}
    assert len(training_texts(folder).texts) == 40
    assert not list(folder.rglob("*.lock")), "the lock is free again"


def test_a_bad_row_of_a_table_is_named_as_its_owner_knows_it(tmp_path: Path) -> None:
    frame = pandas.DataFrame(
        {"text": ["a b", "c d", None, "e f"], "joy": [1, 0, 1, 0]}, index=[10, 3, 7, 5]
    )
    for table, where in (
        (frame, r"train \(DataFrame\): 1 row .*index\):\n  row 7, column 'text'"),
        (frame.set_axis(list("abcd")), r"train \(DataFrame\).*\n  record 3, column 'text'"),
        (frame.to_dict("records"), r"train \(list\).*\n  record 3, column 'text'"),
        (datasets.Dataset.from_pandas(frame), r"train \(Dataset\).*\n  row 3, column 'text'"),
    ):
        with pytest.raises(UserError, match=where) as caught:
            train({"a": "x"}, train=table, output_dir=tmp_path / "run")
        assert "jsonl" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_run_scores_and_explains(
    run: Run, frame: pandas.DataFrame, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = frame[40:].rename(columns={"words": "Message"})
    found = run.evaluate(table, text="Message", labels=LABELS)
    report = tmp_path / "figures.json"
    table.to_csv(tmp_path / "test.csv", index=False)
    command = ["evaluate", "--model", str(run.folder), "--test_file", str(tmp_path / "test.csv"),
               "--text_column", "Message", "--output", str(report)]  # fmt: skip
    assert main([*command, "--ignore_columns", "trust"]) == 0
    same = json.loads(report.read_text(encoding="utf-8"))["scores"]
    assert found.to_pandas(all_metrics=True).loc[("test", "stack"), "jaccard"] == same["jaccard"]
    assert {m: s["mean"] for m, s in found["systems"]["stack"]["test"].items()} == same
    own = run.results.to_pandas().loc[("validation", "stack"), "jaccard"]
    assert same["jaccard"] == pytest.approx(own, abs=0.05), "the same texts and model"
    assert "joy" in found.to_pandas(by_label=True).index.get_level_values("label")
    with pytest.raises(UserError, match=r"no column 'Mesage'.*text="):
        run.evaluate(table, text="Mesage")
    with pytest.raises(UserError, match=r"evaluate\(\): delimeter is not known .*'delimiter'"):
        run.evaluate(table, delimeter=",")
    with pytest.raises(UserError, match="label"):
        run.evaluate(table, text="Message", labels=["joy", "trust"])
    explanation = run.explain("فرحان جدا", label="joy")
    assert [word.word for word in explanation.words] == ["فرحان", "جدا"]
    again = Run(run.folder)
    predictor = again.predictor
    whole = predictor.model.config.use_classifier == read_json(
        run.folder / "model/config.json"
    )["use_classifier"]  # fmt: skip
    assert (again.model is predictor.model) == (predictor.backend == "torch float32" and whole)
    assert again.model.dtype == torch.float32
    other = Run(run.folder)
    model, later = other.model, other.predictor
    assert later.backend == predictor.backend
    shared = {id(weight) for weight in later.model.parameters()}
    assert (shared <= {id(weight) for weight in model.parameters()}) == (
        predictor.backend == "torch float32"
    )
    assert model.config.use_classifier == again.model.config.use_classifier
    np.testing.assert_array_equal(
        later.score(["فرحان جدا"]).logits, predictor.score(["فرحان جدا"]).logits
    )


def test_mistakes(frame: pandas.DataFrame, tmp_path: Path) -> None:
    given = {"train": frame, "text": "words", "output_dir": tmp_path}
    with pytest.raises(UserError, match=r"train\(\): crossfit is not known .*'cross_fit'"):
        train({"a": "x"}, **given, crossfit=2)
    with pytest.raises(UserError, match=r"head\.epochs is 'many'"):
        train({"a": "x"}, **given, head={"epochs": "many"})
    with pytest.raises(UserError, match="No encoders"):
        train(**given, labels=LABELS)
    with pytest.raises(UserError, match="train is a dict"):
        train({"a": "x"}, train={"text": []}, output_dir=tmp_path)
    with pytest.raises(UserError, match=r"label_format= is 'nmes'\. Use one of"):
        train({"a": "x"}, **given, labels=LABELS, label_format="nmes")
    with pytest.raises(UserError, match=r"with encoders=\{'NAME': 'HUB_ID_OR_FOLDER'\}"):
        train(**given, labels=LABELS)
    with pytest.raises(UserError, match=r"no column 'mood'.* Set labels= to") as caught:
        train({"a": tmp_path}, **given, labels="mood")
    assert "--" not in str(caught.value)
    with pytest.raises(UserError, match=r"a: .*no/such/folder"):
        train({"a": tmp_path / "no/such/folder"}, **given, labels=LABELS)
    for wrong, message in (
        (
            {"encoders": ["some/encoder"]},
            r"encoders is \['some/encoder'\]; it must be a dictionary, \{name: source\}\.",
        ),
        ({"head": 5}, r"head is 5; it must be a dictionary, \{key: value\}\."),
        ({"text_col": "words"}, r"text_col is not known \(did you mean 'text'\?\)"),
        ({"label_name": ["joy"]}, r"label_name is not known \(did you mean 'labels'"),
        ({"epochs": 1}, r"a key of encoder_defaults, .* Give encoder_defaults=\{'epochs': 1\}\."),
        ({"labels": 5}, "labels is 5; it must be a name or a list"),
        ({"labels": ["joy", "joy"]}, r"labels= has 'joy' more than once"),
        ({"config": {"seed": 1}}, r"config is \{'seed': 1\}; it must be a path"),
        ({"output_dir": None}, "output_dir is None; it must be a path"),
        ({"train_file": "a.csv"}, "train and train_file are the same"),
    ):
        with pytest.raises(UserError, match=message):
            train(**{"encoders": {"a": "x"}} | given | wrong)
    (tmp_path / "file").write_text("a")
    with pytest.raises(UserError, match="cannot be made a folder"):
        train({"a": "x"}, **given | {"output_dir": tmp_path / "file"})
    assert (tmp_path / "file").read_text() == "a"


def test_one_column_of_0_and_1_is_a_label_of_its_own(frame: pandas.DataFrame) -> None:
    rows = frame.to_dict("records")
    assert _labels("joy", {"train_file": rows}) == {"label_columns": ["joy"]}
    assert _labels("words", {"train_file": rows}) == {"labels_column": "words"}
    assert _labels("joy", {"train_file": rows, "label_names": ["a"]}) == {"labels_column": "joy"}
    assert _labels("mood", {"train_file": rows}) == {"labels_column": "mood"}
    assert _labels("label", {"train_file": [{"label": 0}]}) == {"labels_column": "label"}
