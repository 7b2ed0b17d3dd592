"""An ablation of the tiny run: its figures, what it shares, and what a second call repeats."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from tiny_runs import tiny_run_options
from transformers import AutoTokenizer

from stacked_emotion.trainer import TrainingRecipe, parse_recipe
from stacked_emotion.trainer.ablation import main, run_ablation, to_markdown
from stacked_emotion.trainer.ablation import runner as runner_module
from stacked_emotion.trainer.ablation.figures import label_correlation
from stacked_emotion.trainer.ablation.trained import variant_context
from stacked_emotion.trainer.ablation.untrained import own_token_logits
from stacked_emotion.trainer.ablation.variants import variants_of
from stacked_emotion.trainer.metrics import paired_bootstrap
from stacked_emotion.trainer.stages import meta_and_head
from stacked_emotion.trainer.stages.context import RunContext
from stacked_emotion.trainer.stages.encoders import load_fine_tuned
from stacked_emotion.trainer.stages.features import scored_features, training_features

ROWS = (
    "most frequent labels", "tf_idf_logistic_regression", "zeta", "zeta, own tokens", "average",
    "meta", "zeta, layers on top", "without meta-learner", "without Bi-LSTM", "bce",
)  # fmt: skip


@pytest.fixture(scope="module")
def run(finished_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(finished_run, tmp_path_factory.mktemp("ablation") / "run"))


@pytest.fixture(scope="module")
def recipe(run: Path, tiny_encoder_folders: dict[str, Path]) -> TrainingRecipe:
    return parse_recipe(tiny_run_options(tiny_encoder_folders, run))


@pytest.fixture(scope="module")
def outcome(recipe: TrainingRecipe) -> dict[str, Any]:
    return run_ablation(recipe, ROWS)


@pytest.fixture(scope="module")
def context(recipe: TrainingRecipe) -> RunContext:
    return RunContext.load(recipe)


def test_figures(outcome: dict[str, Any], run: Path) -> None:
    assert outcome == json.loads((run / "ablation.json").read_text(encoding="utf-8"))
    assert outcome["missing"] == []
    assert len(outcome["rows"]) == len(ROWS) + 1
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    for name in ("zeta", "average", "meta", "stack"):
        assert outcome["systems"][name] == results["systems"][name]
        assert outcome["systems"][name]["validation"]["rare_ap"]["values"]
    assert "stack" not in outcome["comparisons"]
    rows = {row["title"]: row for row in outcome["rows"]}
    assert rows["BCE"]["options"]["head.loss"]["name"] == "bce"
    assert rows["without meta-learner"]["gates"] is None
    assert sum(rows["stack"]["gates"]["mean"].values()) == pytest.approx(1, abs=1e-5)
    assert list(rows["zeta, layers on top"]["gates"]["mean"]) == ["zeta"]
    curve = outcome["training_curves"]["stack"]["head"]["fold_logs"][0]
    assert {"loss_bce", "loss_correlation", "loss_contrastive"} <= set(curve[1])
    table = (run / "ablation.md").read_text(encoding="utf-8")
    assert table == to_markdown(outcome)
    assert "nan" not in table.lower()
    for title in rows:
        assert f"| {title} |" in table.replace("**", "")


def test_the_main_run_s_stages_are_taken_over(outcome: dict[str, Any], run: Path) -> None:
    for stage in ("meta", "head"):
        own = load_file(run / stage / "validation.safetensors")["logits"]
        there = load_file(run / "ablation/stack" / stage / "validation.safetensors")["logits"]
        np.testing.assert_array_equal(own, there)
    first, without_lstm, second = (
        run / f"ablation/{name}/meta/done.json" for name in ("bce", "without_bi_lstm", "stack")
    )
    assert first.read_bytes() == without_lstm.read_bytes() == second.read_bytes()
    apart = (run / "ablation/without_meta_learner/meta/done.json").read_bytes()
    assert apart != second.read_bytes()


def test_comparisons_are_paired_with_the_stack(
    outcome: dict[str, Any], run: Path, context: RunContext
) -> None:
    def probabilities(name: str) -> np.ndarray:
        logits = load_file(run / f"ablation/{name}/head/validation.safetensors")["logits"]
        return 1 / (1 + np.exp(-logits.astype(np.float64)))

    labels = context.splits["validation"].labels.astype(int)
    columns = [context.label_names.index(name) for name in outcome["rare_labels"]]
    assert columns
    expected = paired_bootstrap(
        labels[:, columns], probabilities("bce")[..., columns],
        probabilities("stack")[..., columns], "macro_ap", resamples=2000,
    )  # fmt: skip
    found = outcome["comparisons"]["BCE"]["validation"]["rare_ap"]
    assert found == asdict(expected)
    (rare,) = outcome["rare_label_comparison"]
    assert (rare["first"], rare["second"]) == ("stack", "BCE")
    assert rare["rare_ap"]["difference"] == pytest.approx(-found["difference"])
    assert set(rare["ap_by_label"]) == set(outcome["rare_labels"])
    single = [entry["difference"] for entry in rare["ap_by_label"].values()]
    assert np.mean(single) == pytest.approx(rare["rare_ap"]["difference"])


def test_a_second_call_trains_nothing(
    outcome: dict[str, Any], recipe: TrainingRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("Something was trained again.")

    monkeypatch.setattr(meta_and_head, "train_top", forbidden)
    again = run_ablation(recipe, ROWS)
    assert again["systems"] == outcome["systems"]
    assert again["comparisons"] == outcome["comparisons"]


def test_an_interrupted_call_goes_on(
    outcome: dict[str, Any], run: Path, recipe: TrainingRecipe, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    others = [
        path for path in (run / "ablation").glob("*/head/done.json") if "bce" not in str(path)
    ]
    times = {path: path.stat().st_mtime_ns for path in others}
    assert len(times) == 4
    shutil.rmtree(run / "ablation/bce/head")
    finish = runner_module.finish_row

    def killed(full: RunContext, variant: Any, root: Path) -> Any:
        if variant.title == "BCE":
            raise KeyboardInterrupt
        return finish(full, variant, root)

    monkeypatch.setattr(runner_module, "finish_row", killed)
    with pytest.raises(KeyboardInterrupt):
        run_ablation(recipe, ROWS)
    half = json.loads((run / "ablation.json").read_text(encoding="utf-8"))
    assert half["missing"] == ["BCE"]
    assert "Not finished yet: BCE." in to_markdown(half)
    monkeypatch.undo()
    capsys.readouterr()
    assert run_ablation(recipe, ROWS)["systems"] == outcome["systems"]
    assert "left." in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in others} == times


def test_one_encoder_s_features_are_cut_out_of_the_run_s(
    outcome: dict[str, Any], run: Path, context: RunContext
) -> None:
    (variant,) = (v for v in variants_of(context.recipe) if v.title == "alpha, layers on top")
    one = variant_context(context, variant, run / "ablation" / variant.slug)
    whole, cut = training_features(context), training_features(one)
    begin = whole.layout.sizes[0]
    np.testing.assert_array_equal(cut.words, whole.words[:, begin:])
    np.testing.assert_array_equal(cut.encoder_logits()[:, 0], whole.encoder_logits()[:, 1])
    assert one.names == ["alpha"]
    item = one.encoded["train"][3]
    expected = context.encoded["train"][3]["input_ids"][:, [1]]
    np.testing.assert_array_equal(item["input_ids"], expected)


def test_own_tokens(context: RunContext, tiny_encoder_folders: dict[str, Path]) -> None:
    context.splits["validation"].texts[5] = long = "كلمة طويلة جدا " * 40
    context.encoded["validation"] = type(context.encoded["validation"]).from_texts(
        context.tokenizer, context.splits["validation"].texts,
        context.splits["validation"].labels,
    )  # fmt: skip
    cached = scored_features(context, "validation").encoder_logits()[:, 0]
    _, scored, counts = own_token_logits(context, "zeta")
    found = scored["validation"]
    assert 1 <= counts["validation"]["changed"] < counts["validation"]["texts"] == 40
    assert counts["train"]["texts"] == 90
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder_folders["zeta"])
    ids = torch.tensor(tokenizer(long, truncation=True, max_length=40)["input_ids"])
    assert len(ids) == 40
    model = load_fine_tuned(context, "zeta", "final").eval()
    with torch.no_grad():
        states = model.get_encoder("zeta")(input_ids=ids[None]).last_hidden_state
        logits = model.get_encoder_head("zeta")(states, torch.ones(1, 40))
    np.testing.assert_allclose(found[5], logits[0], atol=1e-4)
    same = np.flatnonzero((found == cached).all(1))
    assert len(same) >= 40 - counts["validation"]["changed"]


def test_label_correlation() -> None:
    runs = np.random.default_rng(0).random((2, 30, 3))
    runs[:, :, 2] = 0.5
    found = label_correlation(runs)
    expected = np.mean([np.corrcoef(run[:, :2].T)[0, 1] for run in runs])
    assert found[0][1] == pytest.approx(expected, abs=1e-4)
    assert found[0][0] == 1
    assert found[2] == [None, None, None]


def test_command(
    recipe: TrainingRecipe, run: Path, tiny_encoder_folders: dict[str, Path],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    options = tiny_run_options(tiny_encoder_folders, run)
    assert main(["demo", "--variants", "list", *options]) == 0
    assert "without_bi_lstm" in capsys.readouterr().out
    assert main(["demo", "--seeds", "0", "1", "--variants", "nothing", *options]) == 2
    assert "There is no variant 'nothing'" in capsys.readouterr().err
    place = options.index("--validation_file")
    without = options[:place] + options[place + 2 :]
    assert main([*without, "--variants", "average"]) == 2
    assert "--validation_file" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        main(["--help"])
    assert stop.value.code == 0
    assert "--seeds" in capsys.readouterr().out


@pytest.mark.slow
def test_every_row(run_copy: Path, tiny_encoder_folders: dict[str, Path]) -> None:
    recipe = parse_recipe(tiny_run_options(tiny_encoder_folders, run_copy))
    outcome = run_ablation(recipe)
    assert [row["title"] for row in outcome["rows"]] == [v.title for v in variants_of(recipe)]
    for row in outcome["rows"]:
        if row["kind"] == "stack":
            assert row["stages"]["head"]["seconds"] > 0
