"""Reading a run back: what is refused, and what never leaves it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from stacked_emotion.common.errors import UserError
from stacked_emotion.common.privacy import public_values
from stacked_emotion.hub_card import RunRecord


def test_of_a_stack(run_folder: Path) -> None:
    record = RunRecord.from_folder(run_folder)
    assert record.kind == "stack"
    assert record.encoder_names == ["zeta", "alpha", "mid"]
    assert record.base_models["mid"] == "lab/mid-base"
    assert record.published_system == "stack"
    assert record.thresholds == {"joy": 0.3, "anger": 0.5, "fear": 0.7}
    score = record.score("stack", "validation", "jaccard")
    assert score is not None
    assert len(score.values) == 3
    assert record.score("stack", "validation", "no_such_metric") is None


def test_of_a_student(student_run_folder: Path) -> None:
    record = RunRecord.from_folder(student_run_folder)
    assert record.kind == "student"
    assert record.base_models == {"student": "lab/mini"}
    assert record.teacher_source == "a local folder", "neither its path nor its name"
    assert record.thresholds == {"joy": 0.4, "anger": 0.5, "fear": 0.6}
    assert record.decision == "threshold"


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("results.json", None, "train to the end first"),
        ("results.json", "{", "cannot be read"),
        ("results.json", "[]", "not an object"),
        ("results.json", '{"format": 99}', "format 99"),
        ("results.json", '{"format": 1, "labels": ["other"]}', "different runs"),
        ("model/config.json", None, "not a finished run"),
    ],
)
def test_unfinished_and_damaged_runs(
    name: str, content: str | None, told: str, run_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(run_folder, tmp_path / "run")
    (tmp_path / "run" / name).unlink()
    if content is not None:
        (tmp_path / "run" / name).write_text(content)
    with pytest.raises(UserError, match=told):
        RunRecord.from_folder(tmp_path / "run")


@pytest.mark.parametrize(
    ("given", "told"), [({"nobody": "lab/x"}, "nobody"), ({"mid": "/folder/x"}, "not a Hub ID")]
)
def test_base_models_that_do_not_fit(given: dict[str, str], told: str, run_folder: Path) -> None:
    with pytest.raises(UserError, match=told):
        RunRecord.from_folder(run_folder, given)


def test_given_base_models_count(run_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(run_folder, tmp_path / "run")
    results = json.loads((tmp_path / "run/results.json").read_text())
    results["encoders"]["mid"]["source"] = "/somewhere/mid"
    (tmp_path / "run/results.json").write_text(json.dumps(results))
    assert "mid" not in RunRecord.from_folder(tmp_path / "run").base_models
    record = RunRecord.from_folder(tmp_path / "run", {"mid": "lab/mid-large"})
    assert record.base_models["mid"] == record.encoder_sources["mid"] == "lab/mid-large"


def test_paths_and_secrets_stay(run_folder: Path) -> None:
    record = RunRecord.from_folder(run_folder)
    text = json.dumps([record.public_results(), record.public_training_args()])
    assert "/home" not in text
    assert "hf_" not in text
    assert "tweets.csv" in text
    assert public_values({"api_key": "x", "sources": ["a=/b/c", "user/name", "https://x.y/z"]}) == {
        "sources": ["a=a local folder", "user/name", "https://x.y/z"]
    }


def test_only_known_parts_of_the_results_are_public(run_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(run_folder, tmp_path / "run")
    results = json.loads((tmp_path / "run/results.json").read_text())
    results["texts"] = ["a row of the data"]
    (tmp_path / "run/results.json").write_text(json.dumps(results))
    public = RunRecord.from_folder(tmp_path / "run").public_results()
    assert "texts" not in public
    assert public["systems"] == results["systems"]
