"""Runs compared with one another: figures, what is left out, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from tiny_runs import SAMPLE, tiny_run_options

from stacked_emotion import Run
from stacked_emotion.cli import main
from stacked_emotion.common.errors import UserError
from stacked_emotion.data.labeled_texts import load_splits
from stacked_emotion.trainer import parse_recipe, run_training
from stacked_emotion.trainer.choosing.decision_rules import Decision, cross_fitted_decision
from stacked_emotion.trainer.metrics.bootstrap import BOOTSTRAP_METRICS, paired_bootstrap
from stacked_emotion.trainer.metrics.comparison import comparison_markdown

OUT_OF_FOLD = "out of fold"


@pytest.fixture(scope="module")
def other_run(
    finished_run: Path, tiny_encoder_folders: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:  # fmt: skip
    """Another stack on the same texts, with another order of the labels and one seed."""
    folder = tmp_path_factory.mktemp("compared") / "other"
    names = json.loads((finished_run / "results.json").read_text("utf-8"))["labels"]
    options = tiny_run_options(
        tiny_encoder_folders, folder, "--label_names", *names[::-1], "--head_seeds", "0",
    )  # fmt: skip
    options = [word for word in options if not word.startswith("zeta=")]
    run_training(parse_recipe(options))
    return folder


def results_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "results.json").read_text("utf-8"))


def change(run: Path, **changes: Any) -> None:
    (run / "results.json").write_text(json.dumps(results_of(run) | changes), "utf-8")


def test_a_run_does_not_differ_from_itself(finished_run: Path) -> None:
    for system in (None, "zeta"):
        found = Run(finished_run).compare(finished_run, system=system)
        table = found.differences()
        assert set(table.index.get_level_values("split")) == {"validation", OUT_OF_FOLD}
        assert not table[["difference", "low", "high"]].to_numpy().any()
        assert found["runs"] == dict.fromkeys(("run (1)", "run (2)"), system or "stack")
        scores = found["systems"]["run (2)"]["validation"]
        recorded = results_of(finished_run)["systems"][system or "stack"]["validation"]
        assert {m: e["values"] for m, e in scores.items()} == {
            m: pytest.approx(e["values"]) for m, e in recorded.items()
        }


def test_figures_are_those_of_the_bootstrap(finished_run: Path, other_run: Path) -> None:
    found = Run(finished_run).compare(Run(other_run))
    assert "1 seed of each" in found["notes"][0]
    splits = load_splits(parse_recipe(["--config", str(finished_run / "recipe.yaml")]).data)
    names = splits["train"].label_names
    given: dict[str, list[np.ndarray]] = {"validation": [], OUT_OF_FOLD: []}
    logits: dict[str, list[np.ndarray]] = {"validation": [], OUT_OF_FOLD: []}
    for run in (other_run, finished_run):
        results = results_of(run)
        order = [results["labels"].index(name) for name in names]
        scored = load_file(run / "head" / "validation.safetensors")["logits"][:1]
        decision = Decision.from_dict(results["decisions"]["stack"])
        given["validation"].append(decision.decide(scored)[..., order])
        logits["validation"].append(decision.calibrated(scored)[..., order])
        held_out = load_file(run / "head" / "out_of_fold.safetensors")["logits"]
        own = splits["train"].labels[:, [names.index(name) for name in results["labels"]]]
        rules = [results["recipe"][k] for k in ("decisions", "threshold_objective", "min_labels")]
        given[OUT_OF_FOLD].append(cross_fitted_decision(held_out, own, *rules)[1][:, order])
        logits[OUT_OF_FOLD].append(held_out[:, order].astype(float))
    for split, texts in (("validation", splits["validation"]), (OUT_OF_FOLD, splits["train"])):
        entry = found["comparisons"][split]["other - run"]
        for metric in BOOTSTRAP_METRICS:
            one, other = given[split]
            if metric == "macro_ap":  # does not change with a scale and bias by label
                one, other = (1 / (1 + np.exp(-z)) for z in logits[split])
            wanted = paired_bootstrap(texts.labels, one, other, metric, resamples=2000)
            for name in ("first", "second", "difference", "low", "high"):
                assert entry[metric][name] == pytest.approx(getattr(wanted, name)), (split, metric)
    assert found["systems"]["other"][OUT_OF_FOLD]["jaccard"]["mean"] == pytest.approx(
        found["comparisons"][OUT_OF_FOLD]["other - run"]["jaccard"]["first"]
    )
    text = comparison_markdown(found.values)
    assert "## out of fold: train.jsonl (90 texts)" in text
    assert "| other − run" in text


def test_what_cannot_be_compared_is_left_out(finished_run: Path, run_copy: Path) -> None:
    results = results_of(run_copy)
    results["data"]["validation"]["fingerprint"] = "0" * 64
    change(run_copy, **results)
    found = Run(finished_run).compare(run_copy)
    assert found["splits"] == [OUT_OF_FOLD]
    assert found["notes"] == [f"validation is left out: {run_copy} has other texts, or none."]
    results["recipe"]["cross_fit"] = 0
    change(run_copy, **results)
    with pytest.raises(UserError, match=r"nothing to compare.*trained without cross-fitting"):
        Run(finished_run).compare(run_copy)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ["joy", "dread"]}, "have other labels"),
        ({"kind": "student"}, "not a training"),
        ({"decisions": {}}, "do not fit its results.json"),
    ],
)
def test_other_runs_are_refused(
    finished_run: Path, run_copy: Path, changes: dict[str, Any], message: str
) -> None:
    change(run_copy, **changes)
    with pytest.raises(UserError, match=message):
        Run(finished_run).compare(run_copy)


def test_stale_and_damaged_predictions_are_refused(finished_run: Path, run_copy: Path) -> None:
    results = results_of(run_copy)
    results["systems"]["stack"]["validation"]["jaccard"]["values"][0] += 0.01
    change(run_copy, **results)
    with pytest.raises(UserError, match=r"do not fit.*validation: other figures"):
        Run(finished_run).compare(run_copy)
    change(run_copy, **results_of(finished_run))
    for file, system in (
        ("head/validation.safetensors", None),
        ("features/train/logits.bin", "zeta"),
    ):
        content = bytearray((run_copy / file).read_bytes())
        content[-1] ^= 1
        (run_copy / file).write_bytes(bytes(content))
        with pytest.raises(UserError, match="is damaged"):
            Run(finished_run).compare(run_copy, system=system)


def test_command(
    finished_run: Path, run_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs, output = [str(finished_run), str(run_copy)], tmp_path / "found.json"
    assert main(["compare", *runs, "--system", "average", "--output", str(output)]) == 0
    said = capsys.readouterr().out
    assert "## validation: validation.jsonl (40 texts)" in said
    assert "+0.000 [+0.000, +0.000]" in said
    found = json.loads(output.read_text("utf-8"))
    assert found["comparisons"]["validation"]["run (2) - run (1)"]["jaccard"]["difference"] == 0
    for words, message in (
        (runs[:1], "two runs or more"),
        ([runs[0], f"{runs[1]}/model"], "not that of a model"),
        ([*runs, "--system", "zet"], "has no system 'zet' (did you mean 'zeta'?)"),
        ([*runs, "--output", str(tmp_path / "no/where.json")], "is not a folder"),
    ):
        assert main(["compare", *words]) == 2
        assert message in capsys.readouterr().err


def test_texts_that_changed_or_moved(finished_run: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved.jsonl"
    shutil.copy(SAMPLE / "train.jsonl", moved)
    assert Run(finished_run).compare(finished_run, train_file=str(moved))["splits"]
    lines = moved.read_text("utf-8").splitlines()
    moved.write_text("\n".join([*lines[1:90], lines[0], *lines[90:]]), "utf-8")
    with pytest.raises(UserError, match=r"has other texts or labels.*by train_file="):
        Run(finished_run).compare(finished_run, train_file=str(moved))
