"""A run built to mislead: `results.md`, `results.json`, card, model index and app say so.

Test texts that were trained on, a test file of another name, layers on top that stay at their
start, and an encoder that is best on the test texts alone. `make golden` writes the golden files
in `tests/golden/misleading/` anew.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import golden
import numpy as np
import pytest
from tiny_runs import SAMPLE, tiny_run_options

from stacked_emotion.hub_card import RunRecord, card_content, terms_of
from stacked_emotion.hub_card.space.interface import build_interface, load_predictor
from stacked_emotion.hub_card.space.publishing import model_facts
from stacked_emotion.trainer import parse_recipe, run_training
from stacked_emotion.trainer.choosing.decision_rules import Decision
from stacked_emotion.trainer.metrics.scores import jaccard_per_row

ENCODERS = ("zeta", "alpha")
TOLD = (
    "other_tweets.jsonl",
    "Leaked: 4 of the 24 texts",
    "for <best here>, the best single encoder here",
    "On out-of-fold predictions the best one was <best out of fold>",
    "The data did not support the meta-learner, the Bi-LSTM and the classifier",
    "of the layers on top alone",
)


def rows_of_the_worse(run: Path) -> tuple[str, np.ndarray]:
    """The encoder that is worse out of fold, and the validation rows where it is the better one."""
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    rules = {name: Decision.from_dict(results["decisions"][name]) for name in ENCODERS}
    worse, better = sorted(ENCODERS, key=lambda name: rules[name].score)
    with np.load(run / "predictions_validation.npz") as arrays:
        labels, logits = arrays["labels"].astype(int), arrays["encoder_logits"]
    jaccard = {
        name: jaccard_per_row(labels, rules[name].decide(logits[:, ENCODERS.index(name)]))
        for name in ENCODERS
    }
    return worse, np.argsort(jaccard[better] - jaccard[worse], kind="stable")[:20]


@pytest.fixture(scope="module")
def misled(
    tmp_path_factory: pytest.TempPathFactory, reproducible_encoders: dict[str, Path]
) -> tuple[Path, dict[str, str]]:
    """The run, and what stands for the encoders in golden files."""
    folder = tmp_path_factory.mktemp("misleading")
    lines = {
        name: (SAMPLE / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        for name in ("train", "validation")
    }
    first = folder / "first"
    run_training(parse_recipe(tiny_run_options(reproducible_encoders, first)))
    worse, rows = rows_of_the_worse(first)
    texts = [lines["validation"][row] for row in rows] + lines["train"][:4]
    (folder / "other_tweets.jsonl").write_text("\n".join(texts) + "\n", encoding="utf-8")
    options = tiny_run_options(
        reproducible_encoders, folder / "run", "--encoders_from", str(first),
        "--test_file", str(folder / "other_tweets.jsonl"),
        "--meta.learning_rate", "0", "--head.learning_rate", "0",
        "--gain_in_errors", "1",
    )  # fmt: skip
    options[options.index("--validation_file") : options.index("--encoders")] = []
    run_training(parse_recipe(options))
    names = {worse: "<best here>"}
    names |= {name: "<best out of fold>" for name in ENCODERS if name != worse}
    return folder / "run", names


def plain(text: str, names: dict[str, str]) -> str:
    """A text without what this machine computed."""
    for name, stands in names.items():
        text = re.sub(rf"\b{name}\b", stands, text)
    text = re.sub(r"(?<![\w-])[-+]?\d+\.\d+", "#", text).replace("]*", "]")
    text = re.sub(r"(?m)^(\| \w+ \|) \d+ (?=\| #)", r"\1 <texts> ", text)
    return text.replace(" stack does not beat it.", "")


def told(text: str) -> list[str]:
    return [sentence for sentence in TOLD if sentence not in text.replace("&lt;", "<")]


def test_results(misled: tuple[Path, dict[str, str]]) -> None:
    run, names = misled
    text = plain((run / "results.md").read_text(encoding="utf-8").split("## Time")[0], names)
    golden.compare("misleading/results.md", text)
    assert not told(text)
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    found: dict[str, Any] = {
        key: results[key] for key in ("best_single", "left_at_start", "seeds", "summary")
    }
    found |= {
        "leaked": results["data"]["test"]["leaked"],
        "comparisons": {pair: sorted(on) for pair, on in results["comparisons"]["test"].items()},
    }
    text = plain(json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True), names)
    golden.compare("misleading/results.json", text + "\n")
    assert not told(text)


def test_card_and_model_index(misled: tuple[Path, dict[str, str]]) -> None:
    run, names = misled
    record = RunRecord.from_folder(run)
    card = card_content(record, "user/m", "mit", terms_of(record, ask_hub=False), ["ar"])
    head, text = card.render().split("\n---\n", 1)
    index = head[head.index("model-index") :]
    assert "other_tweets.jsonl" in index
    assert "(leaked: 4 texts are in an earlier split)" in index
    first, results = text.split("## How to use it")[0], text[text.index("## Results") :]
    shown = "\n".join([index, first, results.split("## Data and terms")[0]])
    shown = re.sub(r"\| \d+ s \|", "| <time> |", plain(shown, names))
    golden.compare("misleading/card.md", shown)
    assert not told(shown)


def test_app(misled: tuple[Path, dict[str, str]]) -> None:
    pytest.importorskip("gradio")
    run, names = misled
    facts = model_facts(str(run / "model"))
    page = build_interface(load_predictor(str(run / "model")), **asdict(facts))
    values = [str(getattr(block, "value", "")) for block in page.blocks.values()]
    text = plain("\n".join(value for value in values if "How good" in value), names)
    golden.compare("misleading/app.html", text + "\n")
    assert not told(text)
