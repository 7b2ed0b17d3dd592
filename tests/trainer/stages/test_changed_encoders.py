"""Encoders whose source changed under the same name: trained again, and recorded as they were."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.numpy import load_file
from tiny_runs import tiny_run_options
from transformers import AutoModel

from stacked_emotion.common.errors import UserError
from stacked_emotion.common.files import file_digest
from stacked_emotion.trainer import parse_recipe, run_training
from stacked_emotion.trainer.ablation import run_ablation
from stacked_emotion.trainer.train import main
from stacked_emotion.trainer.tuning.search import hyperparameter_search


def train(folders: dict[str, Path], run: Path) -> dict[str, Any]:
    """The results of a run without folds."""
    options = tiny_run_options(folders, run, "--cross_fit", "0", "--head_seeds", "0")
    assert main(options) == 0
    return json.loads((run / "results.json").read_text(encoding="utf-8"))


def other_weights(folder: Path) -> None:
    model = AutoModel.from_pretrained(folder)
    with torch.no_grad():
        model.embeddings.word_embeddings.weight.add_(0.1)
    model.save_pretrained(folder)


def other_config(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | {"layer_norm_eps": 1e-3}))


def other_tokenizer(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    words = tokenizer["model"]["vocab"]
    first, second = sorted(words, key=words.__getitem__)[20:22]
    words[first], words[second] = words[second], words[first]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")


def test_another_source_in_the_same_folder(
    tiny_encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    folders = {
        "zeta": tiny_encoder_folders["zeta"],
        "alpha": Path(shutil.copytree(tiny_encoder_folders["alpha"], tmp_path / "alpha")),
    }
    run = tmp_path / "run"
    weights = {name: run / f"encoders/{name}/final/model.safetensors" for name in folders}
    results = train(folders, run)
    before = {name: weights[name].stat().st_mtime_ns for name in folders}
    seen = [load_file(weights["alpha"])]
    for change in (other_weights, other_config, other_tokenizer):
        change(folders["alpha"])
        files = {
            name: file_digest(folders["alpha"] / name)
            for name in ("model.safetensors", "config.json", "tokenizer.json")
        }
        assert results["encoders"]["alpha"]["source_state"]["files"] != files
        results = train(folders, run)
        assert results["encoders"]["alpha"]["source_state"]["files"].items() >= files.items()
        found = load_file(weights["alpha"])
        assert any((found[name] != seen[-1][name]).any() for name in found), change
        seen.append(found)
        assert weights["zeta"].stat().st_mtime_ns == before["zeta"]


def test_a_moved_folder_is_the_same_source(
    tiny_encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    run, names = tmp_path / "run", ("zeta", "alpha")
    train(tiny_encoder_folders, run)
    weights = run / "encoders/alpha/final/model.safetensors"
    before = weights.stat().st_mtime_ns
    moved = {
        name: Path(shutil.copytree(tiny_encoder_folders[name], tmp_path / "moved" / name))
        for name in names
    }
    results = train(moved, run)
    assert weights.stat().st_mtime_ns == before
    # What was really used is what the finished encoder says; no path is published.
    assert results["encoders"]["alpha"]["source"] == "a local folder"
    record = json.loads((weights.parent / "done.json").read_text(encoding="utf-8"))["record"]
    assert record["settings"]["source"] == str(tiny_encoder_folders["alpha"])


@pytest.mark.parametrize("change", [other_weights, other_config, other_tokenizer])
def test_what_does_not_train_encoders_refuses_others(
    run_copy: Path, tiny_encoder_folders: dict[str, Path], tmp_path: Path, change: Any
) -> None:
    """A stage by itself, ablate and tune: they would mix two states of a source."""
    folders = tiny_encoder_folders | {
        "alpha": Path(shutil.copytree(tiny_encoder_folders["alpha"], tmp_path / "alpha"))
    }
    change(folders["alpha"])
    before = {path: path.stat().st_mtime_ns for path in run_copy.rglob("*") if path.is_file()}
    said = r"encoders/\w+/fold_0 belongs to other data, encoders or settings: "
    for stage in ("meta", "head", "joint"):
        recipe = parse_recipe(tiny_run_options(folders, run_copy, "--stage", stage))
        with pytest.raises(UserError, match=said + "run the stage encoders first"):
            run_training(recipe)
    shared = ("--encoders_from", str(run_copy))
    recipe = parse_recipe(tiny_run_options(folders, tmp_path / "other", *shared))
    for work in (run_ablation, hyperparameter_search):
        with pytest.raises(UserError, match=f"{said}train {run_copy} with this recipe"):
            work(recipe)
    ours = ("recipe.yaml", ".lock")
    assert not [
        path for path, time in before.items()
        if path.name not in ours and path.stat().st_mtime_ns != time
    ]  # fmt: skip


def test_a_stage_refuses_what_another_recipe_left(
    run_copy: Path, tiny_encoder_folders: dict[str, Path]
) -> None:
    options = tiny_run_options(tiny_encoder_folders, run_copy, "--stage", "head")
    with pytest.raises(UserError, match=r"meta belongs to other .*: run the stage meta first"):
        run_training(parse_recipe([*options, "--meta.epochs", "2"]))


TRAIN = """
import json
from pathlib import Path
from huggingface_hub import HfApi, try_to_load_from_cache
from stacked_emotion.trainer.train import main

api, records = HfApi(), []
api.create_repo("lab/alpha", exist_ok=True)
commits = [
    api.upload_folder(repo_id="lab/alpha", folder_path=folder).oid
    for folder in given["folders"]
]
for commit in (commits[0], commits[0], commits[1], None, None):
    revision = [] if commit is None else ["--encoders.alpha.revision", commit]
    assert main(given["options"] + revision) == 0
    run = Path(given["run"])
    record = json.loads((run / "results.json").read_text())["encoders"]["alpha"]
    records.append([record, (run / "encoders/alpha/final/model.safetensors").stat().st_mtime_ns])
    if commit is None and len(records) == 4:  # other weights in the cache, under the same commit
        cached = try_to_load_from_cache("lab/alpha", "model.safetensors", revision=commits[1])
        other = Path(given["folders"][0], "model.safetensors").read_bytes()
        Path(cached).resolve().write_bytes(other)
give([commits, records])
"""


def test_another_commit_on_the_hub(
    hub_server: Any, tiny_encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    """Two revisions that are named, then a branch at the second one: no other commit, no work.

    At last the cache holds other weights under the same commit: these are another encoder.
    """
    folders = [tiny_encoder_folders["alpha"], tmp_path / "alpha"]
    shutil.copytree(*folders)
    other_weights(folders[1])
    run = tmp_path / "run"
    options = tiny_run_options(
        tiny_encoder_folders, run, "--cross_fit", "0", "--head_seeds", "0",
        "--encoders", f"zeta={tiny_encoder_folders['zeta']}", "alpha=lab/alpha",
    )  # fmt: skip
    given = {"folders": [str(folder) for folder in folders], "options": options, "run": str(run)}
    commits, trained = hub_server.run(tmp_path, TRAIN, **given)
    assert commits[0] != commits[1]
    for (record, _), place in zip(trained, (0, 0, 1, 1, 1), strict=True):
        assert record["source"] == "lab/alpha"
        assert record["revision"] == record["source_state"]["commit"] == commits[place]
    for (record, _), place in zip(trained, (0, 0, 1, 1, 0), strict=True):
        weights = file_digest(folders[place] / "model.safetensors")
        assert record["source_state"]["files"]["model.safetensors"] == weights
    times = [time for _, time in trained]
    assert times[0] == times[1] != times[2] == times[3] != times[4]
