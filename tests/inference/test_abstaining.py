"""A model that abstains gives no label to the texts it is least sure of, through every door."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bulk_files import write_rows
from transformers import pipeline

from stacked_emotion import StackedEmotionConfig, StackedEmotionForSequenceClassification
from stacked_emotion.checks_stacked_emotion import COVERAGES, abstain_limit
from stacked_emotion.cli import main
from stacked_emotion.common.errors import UserError
from stacked_emotion.decisions_stacked_emotion import decide
from stacked_emotion.hub_card.space.rendering import bars as bars_in_html
from stacked_emotion.hub_card.space.rendering import meaning
from stacked_emotion.inference import StackedEmotionPredictor, predict_file
from stacked_emotion.inference.decisions import RULES, Decision
from stacked_emotion.inference.limits import Limits
from stacked_emotion.inference.model_files import ModelError, ModelFiles
from stacked_emotion.inference.partitions import PartitionPredictor
from stacked_emotion.inference.score_bars import bars
from stacked_emotion.inference.serving.handler import EndpointHandler
from stacked_emotion.inference.serving.predictor_handler import PredictorHandler

SHARE = 0.6
Copy = Callable[..., Path]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("least", [0, 1])
@pytest.mark.parametrize("labels", [1, 2, 11])
def test_torch_and_numpy_agree(rule: str, least: int, labels: int) -> None:
    generator = np.random.default_rng(labels)
    logits = generator.normal(-2, 2, (2_000, labels))
    logits[:40] = np.round(logits[:40])  # ties
    logits[40:43] = np.array([[0.0], [60.0], [-60.0]])
    limits = np.sort(generator.random(COVERAGES)).round(6).tolist()
    thresholds = generator.uniform(0.05, 0.95, labels).tolist()
    names = [str(place) for place in range(labels)]
    every = Decision(names, thresholds, rule, 0.8, least, None, limits)
    whole = every(logits)
    for abstain in (None, 0.03, 0.5, 0.905, 0.99, 0.995, 1.0):
        decision = every.abstaining(abstain)
        limit = abstain_limit(abstain, limits)
        ours = decide(torch.from_numpy(logits), thresholds, rule, 0.8, None, least, limit).numpy()
        np.testing.assert_array_equal(ours, decision(logits))
        unsure = decision.abstains(logits)
        assert (limit is None) == (not decision.may_abstain)
        assert unsure.any() == bool(limit is not None and limit < every.uncertainty(logits).max())
        np.testing.assert_array_equal(ours, whole & ~unsure[:, None])
        chances = 1 / (1 + np.exp(-logits[43:]))
        np.testing.assert_array_equal(decision.of_probabilities(chances), ours[43:])
    if rule == "expected_jaccard":
        empty = ~whole.any(-1)
        assert empty.any() == (least == 0)
        # only where no label at all is more likely than the best set is to match
        assert (np.prod(1 - 1 / (1 + np.exp(-logits[empty])), axis=-1) > 0.1).all()
        np.testing.assert_array_equal(
            whole[~empty], Decision(names, thresholds, rule, 0.8)(logits)[~empty]
        )


def test_shares_are_rounded_up_to_a_percent() -> None:
    limits = [place / 1000 for place in range(1, COVERAGES + 1)]
    found = [abstain_limit(share, limits) for share in (0.01, 0.011, 0.07, 0.29, 0.57, 0.9, 0.99)]
    assert found == pytest.approx([0.001, 0.002, 0.007, 0.029, 0.057, 0.09, 0.099], abs=1e-8)
    for share, known in ((0.991, limits), (1, limits), (1, None), (None, limits)):
        assert abstain_limit(share, known) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("abstain", 0), ("abstain", 1.1), ("abstain", "0.9"), ("abstain", True),
        ("abstain", float("nan")), ("abstain", 0.9), ("abstain_limits", [0.5]),
        ("abstain_limits", [0.5] * 98 + [0.4]), ("abstain_limits", [0.5] * 98 + [1.5]),
        ("abstain_limits", 0.5), ("abstain_limits", [0.5] * 98 + [True]),
        ("min_labels", 2), ("min_labels", True), ("min_labels", 1.0), ("min_labels", "1"),
    ],
)  # fmt: skip
def test_malformed_fields_are_named(tiny_stack_folder: Path, field: str, value: Any) -> None:
    config = json.loads((tiny_stack_folder / "config.json").read_text())
    with pytest.raises(ValueError, match=f"^{field} is "):
        StackedEmotionConfig.from_dict(config | {field: value})
    with pytest.raises(ValueError, match=f"^{field} is "):
        Decision.from_config(config | {field: value})


@pytest.fixture
def texts(sample_texts: list[str]) -> list[str]:
    return [*dict.fromkeys(sample_texts)][:20]


@pytest.fixture
def limited(tiny_stack_folder: Path, tmp_path: Path, texts: list[str]) -> Copy:
    """Makes a copy of the tiny stack that can abstain, with the limits between these texts."""

    def make(**changes: Any) -> Path:
        folder = tmp_path / "model"
        if not folder.exists():
            shutil.copytree(tiny_stack_folder, folder)
            predictor = load(folder)
            doubts = np.sort(predictor.decision.uncertainty(predictor.score(texts).logits))
            between = np.append((doubts[1:] + doubts[:-1]) / 2, 1.0)
            places = np.arange(1, COVERAGES + 1) * len(texts) // (COVERAGES + 1)
            changes["abstain_limits"] = between[np.maximum(places - 1, 0)].tolist()
        config = json.loads((folder / "config.json").read_text()) | changes
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    return make


def load(folder: Path, **options: Any) -> StackedEmotionPredictor:
    options = {"dtype": "float32", "backend": "torch"} | options
    return StackedEmotionPredictor.from_pretrained(str(folder), **options)


def test_every_door_abstains(
    limited: Copy, texts: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = load(limited()).predict(texts)
    assert all(answer.abstained is None and answer.labels for answer in whole)
    assert "abstained" not in whole.to_pandas()
    asked = load(limited(), abstain=SHARE).predict(texts)
    labels = [answer.labels for answer in asked]
    assert sum(map(bool, labels)) == SHARE * len(texts)
    assert [answer.abstained for answer in asked] == [not given for given in labels]
    assert labels == [b.labels if a.labels else [] for a, b in zip(asked, whole, strict=True)]
    assert [answer.scores for answer in asked] == [answer.scores for answer in whole]
    assert asked.to_pandas()["abstained"].sum() == (1 - SHARE) * len(texts)
    folder = limited(abstain=SHARE)  # now by itself
    assert [answer.labels for answer in load(folder).predict(texts)] == labels
    every = load(folder, abstain=1.0).predict(texts)
    assert [answer.labels for answer in every] == [answer.labels for answer in whole]
    predictor = load(folder)
    assert predictor.decide(predictor.predict_proba(texts)).any(-1).tolist() == [*map(bool, labels)]
    classify = pipeline("emotion-classification", model=str(folder), trust_remote_code=True)
    assert [[one["label"] for one in row] for row in classify(texts)] == labels
    body = {"inputs": texts, "parameters": {"threshold": "stored"}}
    for handler in (EndpointHandler(str(folder)), PredictorHandler(predictor)):
        handler.limits = Limits(texts=len(texts))
        assert [[one["label"] for one in row] for row in handler(body)] == labels
    unsure = labels.index([])
    assert main(["predict", texts[unsure], "--model", str(folder), "--dtype", "float32"]) == 0
    line = json.loads(capsys.readouterr().out)
    assert (line["labels"], line["abstained"]) == ([], True)
    answer = asked[unsure]
    for shown in (bars, bars_in_html):
        assert "not sure" in shown(answer.scores, [], predictor.decision) or max(
            answer.scores.values()) < 0.5  # fmt: skip
    assert "none: the model is not sure of this text" in bars_in_html(
        answer.scores, [], predictor.decision
    )


def test_a_text_without_words_has_not_abstained(limited: Copy) -> None:
    answer = load(limited(), abstain=0.01).predict(["  "])[0]
    assert (answer.labels, answer.abstained) == ([], False)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_files_say_which_texts(
    limited: Copy, texts: list[str], tmp_path: Path, suffix: str
) -> None:
    folder = str(limited())
    given = write_rows(tmp_path / "in.jsonl", [{"text": text} for text in texts] + [{"text": None}])
    output = tmp_path / f"out{suffix}"
    options = {"dtype": "float32", "backend": "torch"}
    predict_file(folder, given, output, part_rows=8, abstain=SHARE, **options)
    if suffix == ".csv":
        import pandas

        cells = pandas.read_csv(output, dtype=str, keep_default_na=False)["abstained"]
        found = [{"true": True, "false": False, "": None}[cell] for cell in cells]
    elif suffix == ".jsonl":
        found = [json.loads(line)["abstained"] for line in output.read_text().splitlines()]
    else:
        import pyarrow.parquet

        found = pyarrow.parquet.read_table(output)["abstained"].to_pylist()
    expected = [answer.abstained for answer in load(limited(), abstain=SHARE).predict(texts)]
    assert found == [*expected, None]
    other = tmp_path / f"all{suffix}"
    predict_file(folder, given, other, part_rows=8, **options)
    assert b"abstained" not in other.read_bytes()


def test_partitions_say_which_texts(limited: Copy, texts: list[str]) -> None:
    import pandas

    predictor = PartitionPredictor(
        str(limited()), abstain=SHARE, dtype="float32", backend="torch", prefix="my_"
    )
    found = predictor(pandas.DataFrame({"text": [*texts, None]}))
    expected = [answer.abstained for answer in load(limited(), abstain=SHARE).predict(texts)]
    assert found["my_abstained"].tolist() == [*expected, None]


def test_exports_stay_valid_and_models_without_limits_say_so(
    limited: Copy, tiny_stack_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = ModelFiles(tiny_stack_folder)
    after = ModelFiles(limited(abstain=SHARE, min_labels=0))
    assert before.export_inputs() == after.export_inputs()
    assert main(["predict", "نص", "--model", str(tiny_stack_folder), "--abstain", "0.9"]) == 2
    assert "has no limits for abstaining" in capsys.readouterr().err
    rows = write_rows(tmp_path / "in.jsonl", [{"text": "a"}])
    with pytest.raises(UserError, match="no limits for abstaining"):
        predict_file(str(tiny_stack_folder), rows, tmp_path / "out.csv", abstain=0.9)
    with pytest.raises(UserError, match=r"abstain is 1\.5; it must"):
        load(limited(), abstain=1.5)
    limited(abstain_limits=None)
    with pytest.raises(ModelError, match=r"abstain is 0\.6; it must be null where"):
        load(limited())


def test_other_labels_drop_the_limits(limited: Copy) -> None:
    model = StackedEmotionForSequenceClassification.from_pretrained(limited(abstain=SHARE))
    model.config.id2label = {0: "a", 1: "b", 2: "c"}
    assert model.config.abstain is model.config.abstain_limits is None
    assert "at least one" in meaning(Decision(["a"], [0.5], "expected_jaccard"))
    assert "at least one" not in meaning(Decision(["a"], [0.5], "expected_jaccard", 1.0, 0))
