"""The exported graphs, and the predictor that needs no torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from damage import flip_bit, forge
from safetensors.numpy import load_file, save_file
from served import mixed_texts, serving
from tiny_models import LABELS, NASTY_TEXTS, build_stack

from stacked_emotion import StackedEmotionForSequenceClassification
from stacked_emotion.common.errors import UserError
from stacked_emotion.inference import (
    Limits,
    ModelError,
    OnnxEmotionPredictor,
    StackedEmotionPredictor,
    export_onnx,
)
from stacked_emotion.inference.backends import export as onnx_export
from stacked_emotion.inference.backends.export import CheckTexts, layer_kind, report_table
from stacked_emotion.inference.backends.export_command import what_was_written
from stacked_emotion.inference.backends.fastest import fastest
from stacked_emotion.inference.model_files import ModelFiles
from stacked_emotion.inference.serving.app import ServiceSettings

WITHOUT_TORCH = """
import json, sys
BLOCKED = {"torch", "transformers", "huggingface_hub", "datasets", "tqdm", "onnx"}
class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in BLOCKED:
            return self.finder.find_spec(name, path, target)
sys.meta_path = [Without(finder) for finder in sys.meta_path]
from stacked_emotion.inference import OnnxEmotionPredictor
texts = json.loads(sys.stdin.read())
for dtype in ("float32", "int8"):
    predictor = OnnxEmotionPredictor.from_pretrained(sys.argv[1], dtype=dtype)
    answers = predictor.predict(texts)
    print(json.dumps([predictor.backend, [[a.labels, a.scores] for a in answers]]))
assert not {"torch", "transformers"} & set(sys.modules)
"""


@pytest.fixture(scope="session")
def exported(tiny_stack_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny stack with float32 and int8 graphs, checked on labeled texts."""
    folder = tmp_path_factory.mktemp("exported") / "model"
    shutil.copytree(tiny_stack_folder, folder)
    texts = [text for text in NASTY_TEXTS if len(text) < 200]
    targets = np.tile([1, 0, 1], (len(texts), 1))
    export_onnx(folder, "int8", CheckTexts(texts, targets, "test texts"))
    return folder


@pytest.fixture(scope="session")
def torch_predictor(tiny_stack_folder: Path) -> StackedEmotionPredictor:
    return StackedEmotionPredictor.from_pretrained(str(tiny_stack_folder), dtype="float32")


@pytest.mark.parametrize("batch_tokens", [1, 64, 4096])
def test_float32_scores_are_those_of_torch(
    exported: Path, torch_predictor: StackedEmotionPredictor, batch_tokens: int
) -> None:
    predictor = OnnxEmotionPredictor.from_pretrained(str(exported), dtype="float32")
    texts = [*NASTY_TEXTS, "نص", *NASTY_TEXTS[:3]]
    np.testing.assert_allclose(
        predictor.predict_proba(texts, batch_tokens),
        torch_predictor.predict_proba(texts),
        atol=1e-5,
    )
    assert [a.labels for a in predictor.predict(texts)] == [
        a.labels for a in torch_predictor.predict(texts)
    ]


@pytest.mark.parametrize(
    ("backend", "dtype", "most"),
    [("onnx", "float32", 1e-5), ("auto", "int8", 1e-5), ("openvino", "int8", 1e-2),
     ("auto", "bfloat16", 1e-2), ("openvino", "bfloat16", 1e-2)],
)  # fmt: skip
def test_the_server_answers_as_to_single_texts(
    exported: Path, backend: str, dtype: str, most: float
) -> None:
    """Whatever shares the batch; nearly all to 0.002, and every one where sums are exact."""
    options = {"dtype": dtype, "backend": backend}
    limits = Limits(characters=60_000)
    predictor = StackedEmotionPredictor.from_pretrained(str(exported), **options)
    texts = mixed_texts()
    with serving(ServiceSettings(str(exported), options, limits, queue=512)) as running:
        answers, _ = running.ask_together(texts)
        explained = running.post({"inputs": "a", "parameters": {"explain": True}})
    alone = np.concatenate([predictor.predict_proba([text]) for text in texts])
    found = [{one["label"]: one["score"] for one in row} for row in answers]
    moved = np.abs(np.array([[row[label] for label in LABELS] for row in found]) - alone)
    assert moved.max() < most
    assert (moved < 2e-3).mean() > 0.95
    if predictor.runner.backend != "torch":
        assert explained.status_code == 400
        said = explained.json()["error"]
        assert f"which has {predictor.backend}: start it with --backend torch" in said


def test_report_says_what_was_measured(exported: Path) -> None:
    report = json.loads((exported / "onnx/report.json").read_text())["record"]
    assert report["files"] == {
        "float32": ["model.onnx", "model.onnx.data"],
        "int8": ["model_int8.onnx", "model_int8.onnx.data"],
    }
    assert report["differences"]["onnx float32"]["largest_score_difference"] < 1e-5
    assert report["differences"]["onnx float32"]["label_agreement"] == 1.0
    int8 = report["differences"]["onnx int8"]
    assert 0 < int8["mean_score_difference"] <= int8["largest_score_difference"] < 0.2
    assert int8["jaccard_difference"] == pytest.approx(
        int8["jaccard"] - report["differences"]["onnx float32"]["jaccard"]
    )
    table = report_table(report).splitlines()
    assert len({len(line) for line in table}) == 1, "the columns are aligned"
    assert f"{int8['jaccard']:.4f} (" in next(line for line in table if "| onnx int8 " in line)
    said = what_was_written(exported, report)
    assert "has the whole stack in float32 and in int8." in said
    assert f"--backend auto now takes {fastest(report)}." in said
    assert "--test_file" not in said
    for found in report["differences"].values():
        found.pop("jaccard"), found.pop("jaccard_difference")
    report["texts"]["labeled"] = False
    report["files"] |= {"float32 stages": ["a.onnx"]}
    assert "Jaccard" not in report_table(report)
    said = what_was_written(exported, report)
    assert "measure it on labeled texts: --test_file" in said
    assert "a graph per encoder, for --adaptive" in said
    assert "stages" not in said
    small = (exported / "onnx/model_int8.onnx.data").stat().st_size
    assert small < (exported / "onnx/model.onnx.data").stat().st_size
    graph = (exported / "onnx/model.onnx").read_bytes()
    assert b"site-packages" not in graph  # no paths of the machine that made it


def test_predictor_runs_where_torch_and_transformers_are_missing(
    exported: Path, torch_predictor: StackedEmotionPredictor, tmp_path: Path
) -> None:
    texts = [text for text in NASTY_TEXTS if "\ud83d" not in text]
    answer = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, str(exported)],
        input=json.dumps(texts), capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr[-2000:]
    expected = torch_predictor.predict(texts)
    (backend, answers), (other, _) = map(json.loads, answer.stdout.splitlines())
    assert (backend, other) == ("onnx float32", "onnx int8")
    for (labels, scores), wanted in zip(answers, expected, strict=True):
        assert labels == wanted.labels
        assert scores == pytest.approx(wanted.scores, abs=1e-5)


@pytest.mark.parametrize(
    ("backend", "dtype", "tolerance"),
    [("onnx", "float32", 1e-5), ("openvino", "float32", 1e-5), ("onnx", "int8", 0.1),
     ("openvino", "int8", 0.1)],
)  # fmt: skip
def test_backends_of_the_one_predictor(
    exported: Path, torch_predictor: StackedEmotionPredictor, backend: str, dtype: str,
    tolerance: float,
) -> None:  # fmt: skip
    if backend == "openvino":
        pytest.importorskip("openvino")
    predictor = StackedEmotionPredictor.from_pretrained(str(exported), dtype, backend=backend)
    assert predictor.backend == f"{backend} {dtype}"
    assert predictor.labels == LABELS
    assert predictor.thresholds == [0.3, 0.5, 0.7]
    expected = torch_predictor.predict_proba(NASTY_TEXTS)
    found = predictor.predict_proba(NASTY_TEXTS)
    np.testing.assert_allclose(found, expected, atol=tolerance)
    if dtype == "int8":
        assert np.abs(found - expected).max() > 1e-6
    assert isinstance(predictor.model, StackedEmotionForSequenceClassification)
    assert predictor.model.dtype == torch.float32


def test_export_of_other_weights_is_not_used(exported: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(exported, folder)
    model = StackedEmotionForSequenceClassification.from_pretrained(folder)
    with torch.no_grad():
        model.classifier.output.bias.add_(1.0)
    model.save_pretrained(folder)
    for load in (
        lambda: OnnxEmotionPredictor.from_pretrained(str(folder)),
        lambda: StackedEmotionPredictor.from_pretrained(str(folder), backend="onnx"),
    ):
        with pytest.raises(OSError, match="other weights"):
            load()
    assert StackedEmotionPredictor.from_pretrained(str(folder)).backend.startswith("torch")


def test_one_changed_number_of_large_weights_is_noticed(exported: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(exported, tmp_path / "model"))
    weights, report = folder / "model.safetensors", folder / "onnx/report.json"
    tensors = load_file(weights) | {"large": np.zeros(20 << 20, np.uint8)}
    save_file(tensors, weights)
    forge(report, {"made_of": ModelFiles(folder).export_inputs()})
    assert ModelFiles(folder).onnx_report()
    for place in (3, 5 << 20, (20 << 20) - 3):
        tensors["large"][place] = 1
        save_file(tensors, weights)
        assert ModelFiles(folder).onnx_report() is None
        tensors["large"][place] = 0


def test_an_export_by_an_older_version_is_not_used(exported: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(exported, tmp_path / "model"))
    made_of = ModelFiles(folder).export_inputs()
    forge(folder / "onnx/report.json", {"made_of": made_of | {"version": made_of["version"] - 1}})
    with pytest.raises(ModelError, match="by an older version"):
        StackedEmotionPredictor.from_pretrained(folder, backend="onnx")


def test_exported_graphs_are_those_that_were_exported(exported: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(exported, tmp_path / "model"))
    report = model / "onnx/report.json"
    for backend in ("onnx", "openvino"):
        if backend == "openvino":
            pytest.importorskip("openvino")
        assert StackedEmotionPredictor.from_pretrained(model, backend=backend).predict("نص")
    whole = report.read_text()
    for fields, named in (
        ({"files": {"float32": ["../model.onnx"]}}, "files names"),
        ({"files": {"float32": []}}, "files must have"),
        ({"files": {"float32": "model.onnx"}}, r"report\.json, files\.float32 is missing or of"),
        ({"files": None}, r"report\.json, files is missing or of"),
        ({"differences": {"onnx float32": {"label_agreement": "good"}}}, "label_agreement"),
        ({"differences": {"onnx float32": 7}}, "differences.onnx float32 is missing or of"),
        ({"made_of": None}, "made_of is missing or of"),
    ):
        forge(report, fields)
        with pytest.raises(ModelError, match=named):
            OnnxEmotionPredictor.from_pretrained(model)
        report.write_text(whole)
    for file in ("model.onnx", "model.onnx.data"):
        path = model / "onnx" / file
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(ModelError, match=rf"{file} is not the file that was exported"):
            OnnxEmotionPredictor.from_pretrained(model, dtype="float32")
        path.write_bytes(content)
    assert OnnxEmotionPredictor.from_pretrained(model, dtype="float32").predict("نص")


def test_one_changed_digit_of_the_report_is_noticed(exported: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(exported, tmp_path / "model"))
    report = model / "onnx/report.json"
    report.write_text(
        report.read_text().replace('"label_agreement": 1.0', '"label_agreement": 0.9')
    )
    for load in (
        lambda: OnnxEmotionPredictor.from_pretrained(str(model)),
        lambda: StackedEmotionPredictor.from_pretrained(str(model)),
        lambda: StackedEmotionPredictor.from_pretrained(str(model), backend="openvino"),
    ):
        with pytest.raises(ModelError, match=r"onnx is damaged: report\.json is not what"):
            load()


def test_an_export_of_another_configuration_is_not_used(exported: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(exported, tmp_path / "model"))
    config = json.loads((model / "config.json").read_text())
    for fields, fits in (
        ({"thresholds": [0.2, 0.2, 0.2], "_name_or_path": "elsewhere"}, True),
        ({"encoders": config["encoders"] | {"zeta": config["encoders"]["zeta"] | {"x": 1}}}, False),
        ({"use_lstm": False}, False),
    ):
        (model / "config.json").write_text(json.dumps(config | fields))
        assert (ModelFiles(model).onnx_report() is not None) is fits


def test_an_export_of_sharded_weights_is_pinned(exported: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(exported, tmp_path / "model"))
    stack = StackedEmotionForSequenceClassification.from_pretrained(model)
    (model / "model.safetensors").unlink()
    stack.save_pretrained(model, max_shard_size="100KB")
    files, report = ModelFiles(model), model / "onnx/report.json"
    assert len(files.weight_files()) > 1
    assert files.onnx_report() is None
    forge(report, {"made_of": files.export_inputs()})
    assert files.onnx_report() is not None
    flip_bit(files.weight_files()[-1])
    assert files.onnx_report() is None


def test_a_finished_export_is_used_again_and_a_damaged_one_made_again(
    tiny_encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    model = tmp_path / "model"
    for part in build_stack({"zeta": tiny_encoder_folders["zeta"]}):
        part.save_pretrained(model)
    graph, said = model / "onnx/model.onnx", list[str]()
    check = CheckTexts(["نص", "a b c"], None, "test texts")
    first = export_onnx(model, check=check)
    made = graph.stat().st_mtime_ns
    for place in (graph, model / "model"):
        (place.parent / "mine.txt").write_text("years of work")
    assert export_onnx(model, check=check, progress=said.append) == first
    assert graph.stat().st_mtime_ns == made
    assert "is finished" in said.pop()
    flip_bit(graph)
    (model / "onnx.partial").symlink_to(tmp_path)
    export_onnx(model, check=check, progress=said.append)
    assert "the bytes of model.onnx are not those that were written. It is made again." in said[0]
    for folder in (model, model / "onnx"):
        assert (folder / "mine.txt").read_text() == "years of work"
    assert ModelFiles(model).onnx_report()
    assert model.is_dir()


def test_what_there_is_none_of_is_told(exported: Path, tiny_stack_folder: Path) -> None:
    with pytest.raises(OSError, match="stacked-emotion export"):
        OnnxEmotionPredictor.from_pretrained(str(tiny_stack_folder))
    with pytest.raises(ValueError, match="bfloat16"):
        OnnxEmotionPredictor.from_pretrained(str(exported), dtype="bfloat16")
    with pytest.raises(ValueError, match="openvino"):
        StackedEmotionPredictor.from_pretrained(str(exported), backend="tensorrt")
    with pytest.raises(ValueError, match="float99"):
        StackedEmotionPredictor.from_pretrained(str(exported), dtype="float99", backend="onnx")
    with pytest.raises(UserError, match=r"config\.json"):
        export_onnx(exported / "onnx")


def test_kinds_of_layers_are_kept_in_float32_until_int8_is_exact_enough(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (exported / "onnx").glob("model.onnx*"):
        shutil.copy(path, tmp_path)
    wanted = "encoder.layer.output.dense"
    quantized: list[str] = []

    def quantize(source: Path, target: Path, nodes: list[str]) -> None:
        quantized[:] = nodes

    class Comparison:
        def __call__(self, runner: Any) -> dict[str, Any]:
            spoilt = any(layer_kind(node) == wanted for node in quantized)
            return {"label_agreement": 0.9 if spoilt else 0.99}

    monkeypatch.setattr(onnx_export, "quantize_graph", quantize)
    monkeypatch.setattr(onnx_export, "OnnxRunner", lambda path, dtype: None)
    kept, found = onnx_export._quantize(tmp_path, Comparison(), lambda line: None)  # type: ignore[arg-type]
    assert kept == [wanted]
    assert found["label_agreement"] == 0.99
    assert all(node.startswith("encoder_") for node in quantized)


def test_layer_kinds() -> None:
    assert layer_kind("encoder_a.encoder.layer.11.output.dense/MatMul") == (
        "encoder.layer.output.dense"
    )
    assert layer_kind("lstm.forward_lstm/LSTM") is None
    assert layer_kind("/MatMul_2") is None


@pytest.mark.slow
def test_a_second_export_of_one_process(exported: Path, tmp_path: Path) -> None:
    """The export runs its graph at other lengths than the traced one."""
    again = Path(shutil.copytree(exported, tmp_path / "again", ignore=lambda *_: {"onnx"}))
    report = export_onnx(again, None, CheckTexts(["نص قصير", "a b c " * 9], None, "test texts"))
    assert report["differences"]["onnx float32"]["label_agreement"] == 1.0
