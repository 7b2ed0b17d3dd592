"""What goes up is an explicit list: planted files, pickles and secrets do not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from damage import flip_bit, forge
from tiny_models import ROOT

from stacked_emotion.common.errors import UserError
from stacked_emotion.common.finished import finish
from stacked_emotion.common.privacy import refuse_secrets
from stacked_emotion.hub_card import RunRecord
from stacked_emotion.hub_card.packaged_files import remote_code
from stacked_emotion.hub_card.repository import (
    RepositoryFile,
    digest_of,
    gather,
    list_files,
    outdated,
)
from stacked_emotion.inference.model_files import ModelFiles

REPORT = "model/onnx/report.json"
PLANTED = {
    "model/training_args.bin": b"\x80\x04pickle",
    "model/optimizer.pt": b"\x80\x04pickle",
    "model/rows.csv": b"text,label\nprivate,joy\n",
    "model/.env": b"HF_TOKEN=hf_" + b"a" * 34,
    "model/__pycache__/modeling_stacked_emotion.cpython-311.pyc": b"cache",
    "model/evil_stacked_emotion.py": b"import os",
    "model/onnx/model.onnx": b"graph",
    "model/onnx/model.onnx.data": b"weights",
    "model/onnx/rows.parquet": b"rows",
    "features/validation.npy": b"cache",
    "train.jsonl": b'{"text": "private"}',
    "token": b"hf_" + b"b" * 34,
    "checkpoint-3/model.safetensors": b"old",
}


def export_of(model: Path) -> None:
    """The record of an export of these weights, of the graphs that are there."""
    made_of = ModelFiles(model).export_inputs()
    report = {"made_of": made_of, "files": {"float32": ["model.onnx"]}, "differences": {}}
    graphs = sorted((model / "onnx").glob("model.onnx*"))
    finish(model / "onnx", "key", report, graphs, name="report.json")


@pytest.fixture
def run(run_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run_folder, tmp_path / "run"))


def test_planted_files_stay(run: Path, tmp_path: Path) -> None:
    for name, content in PLANTED.items():
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_bytes(content)
    export_of(run / "model")
    gather(RunRecord.from_folder(run), tmp_path / "out")
    expected = {
        "config.json", "model.safetensors", "tokenizer_config.json", "handler.py",
        "requirements.txt", "results.json", "training_args.json", "onnx/model.onnx",
        "onnx/model.onnx.data", "onnx/report.json", "limits.py",
        *(f"tokenizers/{name}/tokenizer.json" for name in ("zeta", "alpha", "mid")),
        *(file.name for file in ROOT.glob("*_stacked_emotion.py")),
    }  # fmt: skip
    assert {file.path for file in list_files(tmp_path / "out")} == expected
    content = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*.json"))
    assert b"private" not in content.replace(b"private_", b"")
    assert b"hf_" not in content
    refuse_secrets(tmp_path / "out")
    (tmp_path / "out/thesis.txt").write_text("mine")
    with pytest.raises(UserError, match=r"holds 'thesis\.txt', which publish did not write"):
        gather(RunRecord.from_folder(run), tmp_path / "out")
    (tmp_path / "out/thesis.txt").unlink()
    for damage, said in (
        (lambda: flip_bit(run / "model/onnx/model.onnx.data"), r"the bytes of model\.onnx\.data"),
        (lambda: flip_bit(run / REPORT), r"report\.json"),
        (lambda: forge(run / REPORT, {"made_of": {"weights": {}}}), "not an export of these"),
        (lambda: (run / REPORT).unlink(), "not an export of these weights"),
    ):
        damage()
        with pytest.raises(UserError, match=said):
            gather(RunRecord.from_folder(run), tmp_path / "out")
        export_of(run / "model")


def test_the_remote_code_is_whole_and_the_auto_map_full(run: Path, tmp_path: Path) -> None:
    config = json.loads((run / "model/config.json").read_text())
    del config["auto_map"]["AutoModel"]
    (run / "model/config.json").write_text(json.dumps(config))
    (run / "model/modeling_stacked_emotion.py").write_text("raise RuntimeError")
    gather(RunRecord.from_folder(run), tmp_path / "out")
    found = json.loads((tmp_path / "out/config.json").read_text())
    assert set(found["auto_map"]) == {
        "AutoConfig", "AutoModel", "AutoModelForSequenceClassification",
    }  # fmt: skip
    assert remote_code() == sorted(ROOT.glob("*_stacked_emotion.py"))
    for file in remote_code():
        assert (tmp_path / "out" / file.name).read_bytes() == file.read_bytes()


def test_a_student_is_stock(student_run_folder: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(student_run_folder, tmp_path / "run"))
    (run / "model/handler.py").write_text("raise RuntimeError")
    gather(RunRecord.from_folder(run), tmp_path / "out")
    found = {file.path for file in list_files(tmp_path / "out")}
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} <= found
    assert not [path for path in found if path.endswith((".py", ".bin"))]
    config = json.loads((run / "model/config.json").read_text()) | {
        "auto_map": {"AutoModel": "x.y"}
    }
    (run / "model/config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="stock model"):
        gather(RunRecord.from_folder(run), tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda model: (model / "model.safetensors").rename(model / "model.bin"), "are pickles"),
        (lambda model: (model / "model.safetensors").unlink(), "no safetensors"),
        (lambda model: (model / "tokenizers/mid/tokenizer.json").unlink(), "json is missing"),
    ],
)  # fmt: skip
def test_what_is_not_whole_is_refused(change: object, told: str, run: Path, tmp_path: Path) -> None:
    change(run / "model")  # type: ignore[operator]
    with pytest.raises(UserError, match=told):
        gather(RunRecord.from_folder(run), tmp_path / "out")


def test_shards_are_those_of_the_index(run: Path, tmp_path: Path) -> None:
    model = run / "model"
    (model / "model.safetensors").rename(model / "model-00001-of-00001.safetensors")
    (model / "model-00009-of-00009.safetensors").write_bytes(b"of another save")
    index = {"weight_map": {"a": "model-00001-of-00001.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    gather(RunRecord.from_folder(run), tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").glob("*.safetensors")) == [
        "model-00001-of-00001.safetensors"
    ]
    index["weight_map"]["b"] = "../../secret.safetensors"
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match="not a shard"):
        gather(RunRecord.from_folder(run), tmp_path / "out")


@pytest.mark.parametrize("secret", ["hf_" + "a1" * 17, "ghp_" + "x" * 36, "AKIA" + "Z" * 16])
def test_secrets_are_refused_and_not_repeated(secret: str, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(f"my token is {secret}, isn't it")
    with pytest.raises(UserError, match=r"README\.md") as caught:
        refuse_secrets(tmp_path)
    assert secret not in str(caught.value)


def test_your_own_token_is_refused_whatever_it_looks_like(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "an-odd-token")
    (tmp_path / "results.json").write_text('{"note": "an-odd-token"}')
    with pytest.raises(UserError, match="your own Hub token"):
        refuse_secrets(tmp_path)


def test_the_digest_sees_code_and_weights_and_what_was_added() -> None:
    def files(**changes: str) -> list[RepositoryFile]:
        names = {"modeling_x.py": "1", "model.safetensors": "2", "README.md": "3", **changes}
        return [RepositoryFile(path, 1, sha256) for path, sha256 in names.items()]

    honest = digest_of(files())
    assert honest == digest_of(list(reversed(files())))
    assert honest == digest_of(
        files(**{"README.md": "4", "plots/a.png": "5", ".gitattributes": "6"})
    )
    assert honest != digest_of(files(**{"modeling_x.py": "9"}))
    assert honest != digest_of(files(**{"model.safetensors": "9"}))
    assert honest != digest_of(files(**{"added.py": "9"}))
    assert len(honest) == 64


def test_outdated_files_are_ours_only() -> None:
    present = [
        "model-00001-of-00002.safetensors", "old_stacked_emotion.py",
        "tokenizers/gone/tokenizer.json",
        "onnx/model.onnx", "plots/old.png", "README.md", "notes.md", ".gitattributes",
    ]  # fmt: skip
    assert outdated(present, ["README.md", "onnx/model.onnx"]) == [
        "model-00001-of-00002.safetensors", "old_stacked_emotion.py", "plots/old.png",
        "tokenizers/gone/tokenizer.json",
    ]  # fmt: skip


def test_an_endpoint_gets_the_versions_the_package_asks_for(run: Path, tmp_path: Path) -> None:
    gather(RunRecord.from_folder(run), tmp_path / "out")
    lines = (tmp_path / "out/requirements.txt").read_text().splitlines()
    setup = (ROOT / "setup.py").read_text()
    assert {"torch>=2.13", "transformers>=5.23"} <= set(lines)
    assert all(f'"{requirement}"' in setup for requirement in lines)
