"""Encoders that are fine-tuned on related data first: once, in order, never on scored texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file
from tiny_models import ROOT
from tiny_runs import tiny_run_options

from stacked_emotion.common.settings import checked, dump_yaml
from stacked_emotion.hub_card.card.sections import card_sections
from stacked_emotion.hub_card.card.terms import terms_of
from stacked_emotion.hub_card.run_record import RunRecord
from stacked_emotion.trainer import UserError, parse_recipe, run_training
from stacked_emotion.trainer.arguments import TrainingRecipe
from stacked_emotion.trainer.recipe import make_recipe
from stacked_emotion.trainer.stages.context import RunContext
from stacked_emotion.trainer.stages.encoders import run_encoders
from stacked_emotion.trainer.stages.related_data import without_accents

SAMPLE = ROOT / "recipes" / "sample"
ROWS = [json.loads(line) for line in (SAMPLE / "train.jsonl").open(encoding="utf-8")]
LABELS = sorted({label for row in ROWS for label in row["labels"]})


def table(path: Path, rows: list[dict[str, Any]], labels: list[str]) -> Path:
    """A CSV file with a 0/1 column for each label, in that order."""
    lines = [",".join(["text", *labels])]
    for row in rows:
        cells = [str(int(label in row["labels"])) for label in labels]
        lines.append(",".join(['"' + row["text"].replace('"', '""') + '"', *cells]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Other labels; the same labels in another order, with three training texts, in two files."""
    folder = tmp_path_factory.mktemp("related")
    return {
        "other": table(folder / "other.csv", ROWS[300:330], ["joy", "anger"]),
        "one": table(folder / "one.csv", ROWS[200:220], LABELS[::-1]),
        "two": table(folder / "two.csv", [*ROWS[220:240], *ROWS[:3]], LABELS[::-1]),
    }


def recipe_of(
    output: Path, encoders: dict[str, Path], pretraining: list[Any], **more: Any
) -> TrainingRecipe:
    """One encoder, no folds, and a target that hardly moves the weights."""
    settings = {
        "train_file": str(SAMPLE / "train.jsonl"), "max_train_samples": 40, "cross_fit": 0,
        "validation_file": str(SAMPLE / "validation.jsonl"), "max_length": 32,
        "output_dir": str(output), "encoder_defaults": {"learning_rate": 1e-3, "epochs": 1},
        "encoders": {"zeta": {"source": str(encoders["zeta"]), "learning_rate": 1e-12,
                              "pretraining": pretraining}},
    }  # fmt: skip
    return make_recipe(checked(TrainingRecipe, settings | more))


def weights(output: Path, part: str) -> dict[str, np.ndarray]:
    return load_file(output / "encoders/zeta" / part / "model.safetensors")


def head(output: Path, part: str) -> tuple[np.ndarray, dict[str, int]]:
    """Output weights (labels, width) of an encoder's head, and the row of each label."""
    config = json.loads((output / "encoders/zeta" / part / "config.json").read_text())
    rows = {label: int(row) for row, label in config["id2label"].items()}
    return weights(output, part)["stacked.head_zeta.output.weight"], rows


def encoder_moved(output: Path, one: str, other: str) -> float:
    first, second = weights(output, one), weights(output, other)
    names = [name for name in first if "encoder_zeta" in name]
    assert len(names) > 10
    return max(float(np.abs(first[name] - second[name]).max()) for name in names)


def test_each_step_is_trained_as_its_encoder_unless_it_says_otherwise() -> None:
    recipe = make_recipe(
        checked(
            TrainingRecipe,
            {
                "pretraining": ["a.csv"],
                "encoder_defaults": {"learning_rate": 1e-4, "loss": "bce", "epochs": 7},
                "encoders": {
                    "one": "x/one",
                    "two": {"source": "x/two", "pretraining": []},
                    "three": {
                        "source": "x/three", "batch_size": 4, "gradient_accumulation_steps": 2,
                        "pretraining": {"train_file": ["b.tsv", "c.tsv"], "text_column": "Tweet",
                                        "learning_rate": 1e-5},
                    },
                },
            },
        )
    )  # fmt: skip
    (one,), (three,) = (recipe.encoders[name].pretraining for name in ("one", "three"))
    assert (one.data.train_file, one.epochs, one.learning_rate) == ("a.csv", 3.0, 1e-4)
    assert one.loss.name == "bce"
    assert recipe.encoders["two"].pretraining == []
    assert three.data.train_file == ["b.tsv", "c.tsv"]
    assert three.data.text_column == "Tweet"
    assert (three.batch_size, three.learning_rate) == (4, 1e-5)
    assert three.training_arguments == {"gradient_accumulation_steps": 2}
    again = yaml.safe_load(dump_yaml(recipe.to_dict()))
    assert make_recipe(checked(TrainingRecipe, again)).encoders == recipe.encoders
    given = parse_recipe(["--encoders", "a=x/a", "b=x/b", "--pretraining", "e.csv", "f.csv",
                          "--encoders.b.pretraining", "g.csv"])  # fmt: skip
    sources = [[s.data.train_file for s in e.pretraining] for e in given.encoders.values()]
    assert sources == [["e.csv", "f.csv"], ["g.csv"]]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([{"train_fil": "a.csv"}], "pretraining.0.train_fil is not known .*'train_file'"),
        ([{"train_file": "a", "test_file": "b"}], "pretraining.0.test_file is not known"),
        ([{"epochs": 2}], "pretraining.0: there are no texts; give train_file or dataset_name"),
        ([{"train_file": 3}], "pretraining.0: train_file must be a path or a list of paths"),
        (7, "pretraining is 7; it must be a list of sections"),
    ],
)
def test_mistakes_name_the_step(given: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_recipe(checked(TrainingRecipe, {"encoders": {"a": "x/a"}, "pretraining": given}))


def test_scored_texts_are_refused_and_training_texts_left_out(
    tiny_encoder_folders: dict[str, Path], files: dict[str, Path], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    scored = [json.loads(line) for line in (SAMPLE / "validation.jsonl").open(encoding="utf-8")]
    spaced = scored[1] | {"text": "  " + scored[1]["text"].replace(" ", "   ")}
    leaked = table(tmp_path / "leaked.csv", [*ROWS[200:203], scored[0], ROWS[203], spaced], LABELS)

    def load(*pretraining: Any) -> RunContext:
        return RunContext.load(recipe_of(tmp_path / "run", tiny_encoder_folders, [*pretraining]))

    with pytest.raises(UserError) as caught:
        load(str(files["one"]), str(leaked))
    said = str(caught.value)
    assert said.startswith("encoders.zeta.pretraining.1: ")
    assert "leaked.csv: the texts of lines 5, 7 are also among the validation texts" in said

    table(tmp_path / "own.csv", ROWS[:5], LABELS)
    with pytest.raises(UserError, match=r"every text of .*own.csv is among the training texts"):
        load(str(tmp_path / "own.csv"))
    with pytest.raises(UserError, match=r"pretraining.0: .*no column 'Tweet'.* Set text_column"):
        load({"train_file": str(files["one"]), "text_column": "Tweet"})

    capsys.readouterr()
    context = load({"train_file": [str(files["one"]), str(files["two"])]})
    (step,) = context.related["zeta"]
    assert (len(step.texts), step.left_out, step.names) == (40, 3, ["related_1", "related_2"])
    assert step.labels.shape == (40, len(LABELS))
    assert not set(step.texts) & set(context.splits["train"].texts)
    said = capsys.readouterr().err
    assert "related_2: " in said
    assert "40 texts, 11 labels, 3 epochs, its head is kept" in said
    assert "3 texts of the training split are left out" in said


def test_the_target_starts_from_what_the_steps_left(
    tiny_encoder_folders: dict[str, Path], files: dict[str, Path], tmp_path: Path
) -> None:
    """Its own learning rate is next to nothing, so its weights show where it started."""
    output = tmp_path / "run"
    steps = [
        {"train_file": str(files["other"]), "learning_rate": 1e-3},
        {"train_file": [str(files["one"]), str(files["two"])], "learning_rate": 1e-3, "epochs": 1},
    ]
    records = run_encoders(RunContext.load(recipe_of(output, tiny_encoder_folders, steps)))["zeta"]
    assert list(records) == ["pretraining_0", "pretraining_1", "final"]
    assert records["pretraining_0"]["data"]["labels"] == {
        name: sum(name in row["labels"] for row in ROWS[300:330]) for name in ("joy", "anger")
    }
    assert records["pretraining_1"]["settings"]["epochs"] == 1
    assert encoder_moved(output, "pretraining_0", "pretraining_1") > 1e-4
    assert encoder_moved(output, "pretraining_1", "final") < 1e-6

    (before, old), (after, new) = head(output, "pretraining_1"), head(output, "final")
    assert list(old) == LABELS[::-1]
    assert list(new) == LABELS
    for label in LABELS:
        np.testing.assert_allclose(after[new[label]], before[old[label]], atol=1e-6)
    assert head(output, "pretraining_0")[0].shape[0] == 2

    steps[1] |= {"keep_head": False}
    run_encoders(RunContext.load(recipe_of(output, tiny_encoder_folders, steps)))
    assert encoder_moved(output, "pretraining_1", "final") < 1e-6
    fresh = head(output, "final")[0]
    assert np.abs(fresh[new["joy"]] - before[old["joy"]]).max() > 1e-3


def test_steps_are_made_again_only_for_what_they_depend_on(
    tiny_encoder_folders: dict[str, Path], files: dict[str, Path], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    output, related = tmp_path / "run", tmp_path / "related.csv"
    table(related, ROWS[200:220], LABELS)

    def trained(steps: list[Any], **more: Any) -> list[str]:
        capsys.readouterr()
        run_encoders(RunContext.load(recipe_of(output, tiny_encoder_folders, steps, **more)))
        said = capsys.readouterr().err.splitlines()
        return [line.split(", ")[1] for line in said if line.startswith("Stage encoders")]

    steps: list[Any] = [str(files["other"]), {"train_file": str(related), "epochs": 1}]
    assert trained(steps) == ["pretraining_0", "pretraining_1", "final"]
    assert trained(steps) == []
    assert trained(steps, max_train_samples=30) == ["final"]
    assert trained(steps, max_train_samples=30, cross_fit=2) == ["fold_0", "fold_1"]
    table(related, ROWS[200:221], LABELS)
    assert trained(steps, max_train_samples=30) == ["pretraining_1", "final"]
    steps[0] = {"train_file": str(files["other"]), "epochs": 1}
    assert trained(steps, max_train_samples=30) == ["pretraining_0", "pretraining_1", "final"]


@pytest.fixture(scope="module")
def run(
    tiny_encoder_folders: dict[str, Path], files: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:  # fmt: skip
    """A run of two jobs, in which one of two encoders has related data."""
    output = tmp_path_factory.mktemp("related_run") / "run"
    recipe = output.parent / "recipe.yaml"
    steps = [str(files["other"]), {"train_file": [str(files["one"]), str(files["two"])]}]
    recipe.write_text(yaml.safe_dump({"encoders": {"zeta": {"pretraining": steps}}}))
    options = tiny_run_options(tiny_encoder_folders, output, "--config", str(recipe))
    run_training(parse_recipe([*options, "--jobs", "2"]))
    return output


def test_results_and_card_name_the_related_data(run: Path) -> None:
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    steps = results["encoders"]["zeta"]["pretraining"]
    assert [step["names"] for step in steps] == [["related_1"], ["related_2", "related_3"]]
    assert [(step["texts"], step["left_out"]) for step in steps] == [(30, 0), (40, 3)]
    assert results["encoders"]["alpha"]["pretraining"] == []
    assert results["data"]["related_2"]["inventory"]["labels"].keys() == set(LABELS)
    assert results["splits"] == ["validation"]
    report = (run / "results.md").read_text(encoding="utf-8")
    assert "## Related data" in report
    assert "one.csv" in report

    record = RunRecord.from_folder(run)
    sections = card_sections(record)
    assert [row[:3] for row in sections["related"]] == [
        ("zeta", "related_1", "30"), ("zeta", "related_2, related_3", "40"),
    ]  # fmt: skip
    assert [split for split, *_ in sections["splits"]] == [
        "train", "validation", "related_1", "related_2", "related_3",
    ]  # fmt: skip
    assert [term.name for term in terms_of(record, ask_hub=False)][-3:] == [
        "other.csv (related_1)", "one.csv (related_2)", "two.csv (related_3)",
    ]  # fmt: skip
    assert str(run.parent.parent) not in json.dumps(record.public_results())


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("¿Está el niño aquí? Çà", "¿Esta el nino aqui? Ca"),
        ("أحبّك جِدًّا يا آدم", "أحبّك جِدًّا يا آدم"),
        ("naïve 😍 plain", "naive 😍 plain"),
    ],
)
def test_accents_are_stripped_and_arabic_marks_are_not(text: str, plain: str) -> None:
    import unicodedata

    assert without_accents(text) == unicodedata.normalize("NFC", plain)
