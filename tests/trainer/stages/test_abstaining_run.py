"""A run that is to abstain says how often it does; nothing is trained again for it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_runs import SAMPLE, tiny_run_options

from stacked_emotion.cli import main
from stacked_emotion.common.errors import UserError
from stacked_emotion.hub_card import RunRecord, card_content, terms_of
from stacked_emotion.hub_card.checking.figures import Recorded, decision_outcome
from stacked_emotion.trainer import parse_recipe, run_training


def test_a_recipe_makes_a_finished_run_abstain(
    finished_run: Path, run_copy: Path, tiny_encoder_folders: dict[str, Path],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    before = json.loads((finished_run / "results.json").read_text())
    files = sorted(run_copy.glob("*/seed_0.safetensors"))
    trained = [path.stat().st_mtime_ns for path in files]
    run_training(parse_recipe(tiny_run_options(tiny_encoder_folders, run_copy, "--abstain", "0.8")))
    assert trained == [path.stat().st_mtime_ns for path in files]
    assert len(files) == 2
    results = json.loads((run_copy / "results.json").read_text())
    assert results["systems"] == before["systems"]  # of all texts
    found = results["abstention"]
    assert before["abstention"] is None
    assert (found["coverage"], list(found["splits"])) == (0.8, ["out of fold", "validation"])
    outside, scored = found["splits"].values()
    assert outside["texts"] == 90
    assert outside["answered"] == 73 / 90  # ceil(91 * 0.8) of 90
    jaccard = results["systems"]["stack"]["validation"]["jaccard"]["values"][0]
    assert scored["jaccard"]["all"] == pytest.approx(jaccard)
    told = (run_copy / "results.md").read_text()
    assert "labels to 80 % of the texts" in told
    assert f"| validation | 40 | {scored['answered']:.3f} |" in told
    assert "Abstention" not in (finished_run / "results.md").read_text()
    config, plain = (
        json.loads((run / "model/config.json").read_text()) for run in (run_copy, finished_run)
    )
    assert (config.pop("abstain"), plain.pop("abstain")) == (0.8, None)
    assert config == plain
    record = RunRecord.from_folder(run_copy)
    card = card_content(record, "user/name", "mit", terms_of(record, ask_hub=False), ["ar"])
    assert "labels to 80 % of the texts" in card.render()
    recorded = Recorded.of(run_copy / "model")
    assert decision_outcome(config | {"abstain": 0.8}, recorded).result == "passed"
    assert "abstain is 0.7, not 0.8" in decision_outcome(config | {"abstain": 0.7}, recorded).detail
    capsys.readouterr()
    options = ["--model", str(run_copy), "--test_file", str(SAMPLE / "validation.jsonl")]
    assert main(["evaluate", *options, "--abstain", "0.5"]) == 0
    assert "With abstain 0.5:" in capsys.readouterr().out
    assert main(["evaluate", *options, "--abstain", "1"]) == 0
    assert "With abstain" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--abstain", "1.5"), r"abstain is 1\.5; it must be above 0 and at most 1"),
        (("--abstain", "0"), r"abstain is 0\.0; it must"),
        (("--abstain", "0.9", "--cross_fit", "0"), "set cross_fit to 2 or more"),
        (("--abstain", "0.9", "--stage", "encoders", "meta", "head", "joint"), "leave out stage"),
        (("--min_labels", "2"), "min_labels is 2; it must be at least 0 and at most 1"),
    ],
)
def test_values_that_do_not_fit(options: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_recipe(["--train_file", "x.csv", "--encoders", "a=b/c", *options])
