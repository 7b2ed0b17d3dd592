"""What results.json says of a run's surroundings, and comparisons of systems."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest
from markdown_it import MarkdownIt
from tiny_runs import tiny_run_options

from stacked_emotion import Run
from stacked_emotion.cli import build_parser
from stacked_emotion.common.environment import environment, git_state
from stacked_emotion.common.files import file_digest
from stacked_emotion.trainer import parse_recipe, run_training
from stacked_emotion.trainer.ablation.variants import variants_of
from stacked_emotion.trainer.choosing.decision_rules import Decision
from stacked_emotion.trainer.metrics.bootstrap import paired_bootstrap
from stacked_emotion.trainer.results import System, compare, compare_columns, to_markdown
from stacked_emotion.trainer.running.provenance import source_state
from stacked_emotion.trainer.train import shown


def git(folder: Path, *words: str) -> str:
    settings = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *settings, *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_git_state(tmp_path: Path) -> None:
    recipe = tmp_path / "recipes" / "mine.yaml"
    recipe.parent.mkdir()
    recipe.write_text("seed: 1\n")
    assert git_state(recipe.parent) is None
    git(tmp_path, "init", "-q")
    assert git_state(recipe.parent) is None  # no commit yet
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "one")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert git_state(recipe.parent) == {"commit": commit, "dirty": False}
    (tmp_path / "scratch.txt").write_text("untracked files do not count")
    assert environment(recipe)["repositories"]["recipe"] == {"commit": commit, "dirty": False}
    recipe.write_text("seed: 2\n")
    assert environment(recipe)["repositories"]["recipe"] == {"commit": commit, "dirty": True}
    assert environment()["repositories"]["recipe"] is None


def test_git_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(tmp_path) is None


def test_encoders_data_and_seeds_are_recorded(
    finished_run: Path, tiny_encoder_folders: dict[str, Path]
) -> None:
    results = json.loads((finished_run / "results.json").read_text(encoding="utf-8"))
    record = results["encoders"]["zeta"]
    weights = tiny_encoder_folders["zeta"] / "model.safetensors"
    assert set(record["source_state"]) == {"files"}
    assert record["source_state"]["files"]["model.safetensors"] == file_digest(weights)
    assert {"config.json", "tokenizer.json"} <= set(record["source_state"]["files"])
    assert set(record["fine_tuned"]) == {"fold_0", "fold_1", "final"}
    assert len(set(record["fine_tuned"].values())) == 3
    assert results["seeds"] == {"folds_and_encoders": [0], "layers_on_top": [0, 1]}
    assert {"python", "torch", "transformers"} <= set(results["environment"]["versions"])
    assert results["environment"]["hardware"]
    assert len(results["data"]["train"]["fingerprint"]) == 64


def test_encoder_seeds_repeat_everything(
    run_copy: Path, finished_run: Path, tiny_encoder_folders: dict[str, Path]
) -> None:
    before = json.loads((run_copy / "results.json").read_text(encoding="utf-8"))
    options = tiny_run_options(tiny_encoder_folders, run_copy, "--encoder_seeds", "0", "1")
    results = run_training(parse_recipe(options))
    again = json.loads((run_copy / "seed_1/results.json").read_text(encoding="utf-8"))
    assert (before["seeds"], again["seeds"], results["seeds"]) == tuple(
        {"folds_and_encoders": seeds, "layers_on_top": [0, 1]} for seeds in ([0], [1], [0, 1])
    )
    for system, runs in (("zeta", 1), ("stack", 2)):
        scores = [
            found["systems"][system]["validation"]["macro_ap"]["values"]
            for found in (before, again, results)
        ]
        assert len(scores[0]) == runs
        assert scores[2] == scores[0] + scores[1]
    assert before["encoders"]["zeta"]["fine_tuned"] != again["encoders"]["zeta"]["fine_tuned"]
    pair = results["comparisons"]["validation"]["stack - zeta"]["macro_ap"]
    singles = [found["systems"]["zeta"]["validation"]["macro_ap"] for found in (before, again)]
    assert pair["seeds"] == 4
    assert pair["second"] == pytest.approx(np.mean([entry["mean"] for entry in singles]))
    text = (run_copy / "results.md").read_text(encoding="utf-8")
    assert "whole trainings, encoders and folds too, with the seeds 0 and 1, each with" in text
    assert "| training with seed 1 |" in text
    compared = Run(run_copy).compare(finished_run)
    assert "first 1 training, 2 seeds of each" in compared["notes"][0]
    for name in ("run (1)", "run (2)"):
        found = compared["systems"][name]["validation"]["macro_ap"]["values"]
        assert found == pytest.approx(scores[0])
    compared = Run(run_copy).compare(run_copy)
    found = compared["systems"]["run (1)"]
    assert found["validation"]["macro_ap"]["values"] == pytest.approx(scores[2])
    assert len(set(found["out of fold"]["jaccard"]["values"])) == 2


def test_seeds_of_one_training_are_drawn_together() -> None:
    rng = np.random.default_rng(1)
    labels = (rng.random((200, 3)) < 0.5).astype(int)
    good, poor = labels.copy(), 1 - labels
    first = np.stack([good, good, poor, poor])  # two trainings that differ, two seeds each
    found = {
        groups: paired_bootstrap(labels, first, np.stack([good] * 4), resamples=400, groups=groups)
        for groups in (None, 2)
    }
    assert found[None].difference == found[2].difference == pytest.approx(-0.5)
    assert found[2].low == pytest.approx(-1.0)  # both draws may be the poor training
    assert found[2].high == pytest.approx(0.0)
    assert found[2].mean_difference == pytest.approx(-0.5, abs=0.1)


def test_source_that_is_not_known(tmp_path: Path) -> None:
    assert source_state(str(tmp_path)) == {"files": {}}
    assert source_state("nobody/nothing-at-all") == {"commit": None}


def test_rare_labels_and_seeds_are_compared() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((80, 3)) < 0.3).astype(int)
    choice = Decision("global", np.full(3, 0.5))

    def system(name: str, quality: float, seeds: int) -> System:
        noise = rng.normal(size=(seeds, 80, 3))
        return System(name, choice, {"test": noise + quality * (labels - 0.5)})

    good, poor = system("good", 4.0, 1), system("poor", 0.5, 3)
    found = compare(good, poor, "test", labels, 300, rare_columns=[0, 2])
    assert found["jaccard"]["seeds"] == 3
    assert found["jaccard"]["low"] > 0
    single = [compare_columns(good, poor, "test", labels, "macro_ap", [c], 300) for c in (0, 2)]
    assert np.mean([entry["first"] for entry in single]) == pytest.approx(found["rare_ap"]["first"])
    assert found["rare_ap"]["first"] != found["macro_ap"]["first"]
    alone = compare_columns(good, poor, "test", labels, "macro_ap", [0, 2], 300)
    assert alone == found["rare_ap"]
    assert "rare_ap" not in compare(good, poor, "test", labels, 300)


HOSTILE = [
    "<script>alert(1)</script>|`x`", "](http://evil.example) \\|", "a\x1b[2J\u202e\u2028\nb\x00",
]  # fmt: skip


def test_what_is_printed_at_the_end(finished_run: Path) -> None:
    results = json.loads((finished_run / "results.json").read_text(encoding="utf-8"))
    printed = shown(results, "runs/my run")
    table = [line for line in printed.splitlines() if line.startswith("| ")]
    assert len(table) == 2 + len(results["systems"])
    assert len({len(line) for line in table}) == 1, "the columns are aligned"
    jaccard = results["systems"]["stack"]["validation"]["jaccard"]
    assert f"{jaccard['mean']:.3f} ± {jaccard['std']:.3f}" in table[-1]
    assert printed.splitlines()[0] == f"- {results['summary'][0]}"
    commands = re.findall(r"stacked-emotion (.*)", printed)
    assert [command.split()[0] for command in commands] == ["predict", "publish", "ablate"]
    for command in commands:
        options = build_parser().parse_args(shlex.split(command))
        assert "runs/my run" in " ".join(map(str, vars(options).values()))
    wanted = commands[-1].split("--variants ")[1].split()
    recipe = parse_recipe(["--config", str(finished_run / "recipe.yaml")])
    assert wanted == [row.slug for row in variants_of(recipe) if row.group == "Baselines"][:2]
    assert commands[-1].replace("'runs/my run'", "RUN") in to_markdown(results)


def test_labels_are_inert_in_results_md(run_folder: Path) -> None:
    text = (run_folder / "results.json").read_text(encoding="utf-8")
    names = json.loads(text)["labels"]
    for old, new in zip(names, HOSTILE, strict=True):
        escaped = json.dumps(new)[1:-1]
        text = text.replace(f'"{old}"', f'"{escaped}"').replace(f'_{old}"', f'_{escaped}"')
    results = json.loads(text)
    assert results["labels"] == HOSTILE
    results["thresholds"] = dict.fromkeys(HOSTILE, 0.5)
    shown = to_markdown(results)
    assert not set("\x1b\u202e\u2028\x00") & set(shown)
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(shown)
    assert "<script" not in html
    assert "<a " not in html
    tables = html.split("<table>")[1:]
    assert len(tables) == 4
    for table in tables:
        header = table.split("</tr>")[0].count("<th>")
        rows = [row.count("<td>") for row in table.split("</tr>")[1:] if "<td>" in row]
        assert set(rows) == {header}
