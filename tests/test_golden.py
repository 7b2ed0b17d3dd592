"""What a small run writes for others is what it wrote before: config, results and card."""

from __future__ import annotations

import json
from pathlib import Path

import golden
import pytest
from tiny_models import ROOT
from tiny_runs import tiny_run_options

from stacked_emotion.hub_card import RunRecord, card_content, terms_of
from stacked_emotion.hub_card.run_model import RunModel
from stacked_emotion.trainer import parse_recipe, run_training

# The scores of the run hang on the machine, so the card shows an answer that does not.
ANSWER = {
    "text": "فرحان جدا 😍",
    "output": [{"label": "joy", "score": 0.93}, {"label": "love", "score": 0.58}],
    "given": ["joy", "love"],
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, reproducible_encoders: dict[str, Path]) -> Path:
    folder = tmp_path_factory.mktemp("golden") / "run"
    options = tiny_run_options(reproducible_encoders, folder, "--decisions", "expected_jaccard")
    run_training(parse_recipe(options))
    return folder


@pytest.fixture(scope="module")
def places(run: Path, reproducible_encoders: dict[str, Path]) -> dict[str, str]:
    folders = {str(folder): f"<{name}>" for name, folder in reproducible_encoders.items()}
    return {str(run): "<run>", **folders, str(ROOT): "<repository>"}


def test_config(run: Path, places: dict[str, str]) -> None:
    config = json.loads((run / "model/config.json").read_text(encoding="utf-8"))
    found = golden.plain(config, places, digits=4)
    for computed in ("thresholds", "decision_scale", "abstain_limits", "adaptive"):
        found[computed] = golden.plain(config[computed], places)
    found["transformers_version"] = "<version>"
    golden.compare("config.json", golden.as_text(found))


def test_results(run: Path, places: dict[str, str]) -> None:
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    found = {
        key: golden.plain(value, places, digits=4 if key in golden.SETTINGS else None)
        for key, value in results.items()
    }
    pairs = found["comparisons"]["validation"]
    for best in {"stack - zeta", "stack - alpha"} & pairs.keys():
        pairs["stack - <best encoder>"] = pairs.pop(best)
    for stage in ("meta", "head"):
        assert isinstance(results["stages"][stage]["log"], list)
        found["stages"][stage]["log"] = "<up to the best epoch>"
    found["environment"] = dict.fromkeys(results["environment"], "<this machine>")
    golden.compare("results.json", golden.as_text(found))


def test_card(run: Path) -> None:
    record = RunRecord.from_folder(run)
    model = RunModel.load(record)
    card = card_content(
        record, "user/emotions", "cc-by-nc-4.0", terms_of(record, ask_hub=False), ["ar"],
        examples=[ANSWER], plots=["class_wise_f1"], digest="d" * 64,
        parameters=model.parameters, max_length=model.max_length, tag="v1",
    ).render()  # fmt: skip
    golden.compare("card.md", golden.plain_card(card))
