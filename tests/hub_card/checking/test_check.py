"""A good model passes every check; each kind of damage fails at the line that is about it."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damage import forge
from safetensors.numpy import load_file, save_file
from tiny_models import ROOT

from stacked_emotion.cli import main
from stacked_emotion.common.errors import UserError
from stacked_emotion.data.labeled_texts import DataArguments, load_labeled_texts
from stacked_emotion.hub_card import CheckReport, check_model, publish
from stacked_emotion.hub_card.checking.figures import Recorded
from stacked_emotion.inference import export_onnx

RUN = ("loads without the package", "batch and order", "padding", "save and load", "pipeline",
       "handler", "scores as on the card", "figures on labeled texts")  # fmt: skip
EXPORT, ONNX, OPENVINO = (
    "export of these weights", "onnx/model.onnx, ONNX Runtime", "onnx/model.onnx, OpenVINO",
)  # fmt: skip
CODE, CARD = "known code only", "digest of the card"


@pytest.fixture(scope="module")
def run(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(shutil.copytree(finished_run, tmp_path_factory.mktemp("checked") / "run"))
    export_onnx(folder)
    return folder


@pytest.fixture(scope="module")
def repository(run: Path) -> Path:
    """What is published of a trained stack: code, weights, card and graphs."""
    return publish(run, "user/emotions", "mit", languages=["ar"], plots=False, dry_run=True).folder


@pytest.fixture(scope="module")
def rows(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The texts that `results.json` has figures of."""
    file = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    labels = json.loads((run / "results.json").read_text("utf-8"))["labels"]
    sample = str(ROOT / "recipes/sample/validation.jsonl")
    data = DataArguments(train_file=sample, validation_file=sample, max_validation_samples=40)
    texts = load_labeled_texts(data, "validation", labels)
    assert texts is not None
    with file.open("w", encoding="utf-8") as stream:
        for text, row in zip(texts.texts, texts.labels, strict=True):
            names = [name for name, on in zip(labels, row, strict=True) if on]
            stream.write(json.dumps({"text": text, "labels": names}, ensure_ascii=False) + "\n")
    return file


@pytest.fixture
def copy(repository: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(repository, tmp_path / "copy"))


def results_of(report: CheckReport) -> dict[str, str]:
    return {one.check: one.result for one in report.outcomes}


def detail_of(report: CheckReport, check: str) -> str:
    return next(one.detail for one in report.outcomes if one.check == check)


def change_weights(file: Path, size: float = 3.0) -> None:
    """Add up to `size` to the labels' logits, and take it from others."""
    weights = load_file(file)
    bias = weights["classifier.output.bias"]
    weights["classifier.output.bias"] = bias + np.linspace(size, -size, len(bias), dtype="float32")
    save_file(weights, file, metadata={"format": "pt"})


def edit_json(file: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    value = json.loads(file.read_text("utf-8"))
    change(value)
    file.write_text(json.dumps(value), encoding="utf-8")


def test_a_published_stack_passes_everything(
    repository: Path, rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    report = tmp_path / "report.json"
    monkeypatch.chdir(repository.parent)
    words = ["check", repository.name, "--test_file", str(rows), "--json", str(report)]
    assert main(words) == 0
    said = capsys.readouterr().out
    found = json.loads(report.read_text("utf-8"))
    assert found["passed"] is True
    assert (found["kind"], found["commit"]) == ("stack", None)
    by_check = {one["check"]: one for one in found["outcomes"]}
    assert {one["result"] for one in by_check.values()} == {"passed"}, said
    assert by_check.keys() >= {*RUN, CODE, CARD, EXPORT, ONNX, OPENVINO}
    assert by_check["figures on labeled texts"]["detail"].startswith("rows.jsonl, 40 texts")
    for check, one in by_check.items():
        assert f"| {check}" in said
        assert one["detail"] in said
    assert "Nothing failed" in said


def test_a_run_is_checked_on_its_own_rows(run: Path) -> None:
    report = check_model(f"{run}/")
    assert report.passed, report
    assert results_of(report)["figures on labeled texts"] == "passed"
    assert "of a score" in detail_of(report, "figures on labeled texts")
    assert results_of(report)["handler"] == "not checked"


@pytest.mark.parametrize("place", ["layers_stacked_emotion.py", "handler.py", "extra.py"])
def test_other_code_is_refused_and_not_run(copy: Path, tmp_path: Path, place: str) -> None:
    ran = tmp_path / "ran"
    file = copy / place
    before = file.read_text("utf-8") if file.exists() else ""
    line = f"__import__('pathlib').Path({str(ran)!r}).touch()\n"
    file.write_text(before + line, encoding="utf-8")
    report = check_model(copy)
    assert report.failed == [CODE, CARD]
    assert place in detail_of(report, CODE)
    assert {results_of(report)[check] for check in RUN} == {"not checked"}
    assert not ran.exists()
    if place.startswith("layers"):
        asked = check_model(copy, run_its_code=True)
        assert asked.failed == [CODE, CARD], asked
        assert ran.exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config["auto_map"].update(AutoConfig="evil/repo--configuration.Config"),
        lambda config: config["auto_map"].update(AutoModel="missing_module.Model"),
        lambda config: config.update(attn_implementation="evil/kernel"),
        lambda config: config["custom_pipelines"]["emotion-classification"].update(
            impl="evil/repo--pipeline.Pipeline"
        ),
    ],
)
def test_code_from_elsewhere_is_refused(copy: Path, change: Any) -> None:
    edit_json(copy / "config.json", change)
    report = check_model(copy)
    assert CODE in report.failed
    assert results_of(report)["loads without the package"] == "not checked"


def test_an_adapter_would_load_another_model(copy: Path) -> None:
    (copy / "adapter_config.json").write_text('{"base_model_name_or_path": "evil/repo"}')
    report = check_model(copy)
    assert report.failed == [CODE, CARD]
    assert "adapter_config.json" in detail_of(report, CODE)


def test_changed_weights(copy: Path, rows: Path) -> None:
    change_weights(copy / "model.safetensors")
    report = check_model(copy, test_file=str(rows))
    assert set(report.failed) == {
        CARD, "scores as on the card", "figures on labeled texts", EXPORT, ONNX, OPENVINO,
    }  # fmt: skip
    assert "the card says" in detail_of(report, "scores as on the card")


def test_a_repository_in_its_run_finds_the_texts(repository: Path, copy: Path) -> None:
    labels = json.loads((repository / "results.json").read_text("utf-8"))["labels"]
    found = Recorded.of(repository).own_rows(labels)
    assert found is not None
    assert Recorded.of(repository).split_of(found) == "validation"
    alone = Recorded.of(copy)
    assert alone.own_rows(labels) is None
    assert alone.wanted_rows == "the validation texts of results.json (validation.jsonl)"


@pytest.mark.slow
def test_changed_weights_of_a_run(run: Path, tmp_path: Path) -> None:
    """Its predictions row by row tell what no figure shows."""
    folder = Path(shutil.copytree(run, tmp_path / "run"))
    shutil.rmtree(folder / "model/onnx")
    change_weights(folder / "model/model.safetensors", 0.02)
    report = check_model(folder)
    assert report.failed == ["figures on labeled texts"]
    assert "predictions_validation.npz" in detail_of(report, "figures on labeled texts")


def test_pickles(copy: Path) -> None:
    """By their endings and by their first bytes."""
    names = ["onnx/data.PKL", "pytorch_model.bin", "notes.txt"]
    for name in names:
        (copy / name).write_bytes(pickle.dumps({"weights": [1.0]}))
    report = check_model(copy)
    assert report.failed == ["safetensors only", CARD]
    assert all(name in detail_of(report, "safetensors only") for name in names)


def test_weights_that_are_a_pickle_do_not_load(copy: Path) -> None:
    (copy / "model.safetensors").write_bytes(pickle.dumps({"weights": [1.0]}))
    report = check_model(copy)
    assert "safetensors only" in report.failed
    assert "loads without the package" in report.failed
    assert results_of(report)["padding"] == "not checked"


def test_a_wrong_threshold(copy: Path, rows: Path) -> None:
    edit_json(copy / "config.json", lambda config: config.update(
        thresholds=[0.9, *config["thresholds"][1:]]))  # fmt: skip
    report = check_model(copy, test_file=str(rows))
    assert "decision as recorded" in report.failed
    assert set(report.failed) <= {"decision as recorded", CARD, "figures on labeled texts"}
    assert "the threshold of anger is 0.9000, not " in detail_of(report, "decision as recorded")


@pytest.mark.slow
def test_a_graph_of_other_weights(copy: Path, run: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(run / "model", tmp_path / "other"))
    shutil.rmtree(other / "onnx")
    change_weights(other / "model.safetensors")
    export_onnx(other)
    for file in (other / "onnx").glob("*.onnx*"):
        shutil.copyfile(file, copy / "onnx" / file.name)
    made = json.loads((other / "onnx/report.json").read_text("utf-8"))
    forge(copy / "onnx/report.json", files=made["files"])
    assert check_model(copy).failed == [CARD, ONNX, OPENVINO]


@pytest.mark.slow
def test_scores_that_depend_on_padding(copy: Path) -> None:
    """Code of the user's own that forgets a mask, run on request."""
    layers = copy / "layers_stacked_emotion.py"
    text = layers.read_text("utf-8")
    masked = "weights = mask.to(values.dtype).unsqueeze(-1)"
    assert masked in text
    unmasked = "weights = torch.ones_like(mask).to(values.dtype).unsqueeze(-1)"
    layers.write_text(text.replace(masked, unmasked), encoding="utf-8")
    shutil.rmtree(copy / "onnx")
    report = check_model(copy, run_its_code=True)
    assert {CODE, "batch and order", "padding"} <= set(report.failed)
    assert results_of(report)["save and load"] == "passed"


@pytest.mark.slow
def test_answers_that_are_chance(copy: Path) -> None:
    modeling = copy / "modeling_stacked_emotion.py"
    text = modeling.read_text("utf-8")
    line = "    def decide("
    assert text.count(line) == 1
    noise = (
        "    def __call__(self, *args, **options):\n"
        "        output = super().__call__(*args, **options)\n"
        "        output.logits = output.logits + 0.1 * torch.randn_like(output.logits)\n"
        "        return output\n\n"
    )
    modeling.write_text(text.replace(line, noise + line), encoding="utf-8")
    shutil.rmtree(copy / "onnx")
    failed = check_model(copy, run_its_code=True).failed
    assert set(failed) >= {"batch and order", "padding", "save and load", "pipeline", "handler"}


def test_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(tmp_path / "missing")]) == 2
    assert "There is no such folder" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"config\.json"):
        check_model(tmp_path)
    assert main(["check", str(tmp_path), "--json", str(tmp_path / "no/where.json")]) == 2
    assert "is not a folder" in capsys.readouterr().err
