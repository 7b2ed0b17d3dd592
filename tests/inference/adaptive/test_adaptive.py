"""Adaptive stacking: which encoders run, and that the answers do not depend on the batch."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from bulk_files import write_rows
from killed_runs import exit_code
from served import mixed_texts, serving
from tiny_models import LABELS, NASTY_TEXTS

from stacked_emotion.cli import main
from stacked_emotion.common.errors import UserError
from stacked_emotion.inference import (
    Limits,
    ModelError,
    OnnxEmotionPredictor,
    StackedEmotionPredictor,
    export_onnx,
    predict_file,
)
from stacked_emotion.inference.decisions import Decision, decide
from stacked_emotion.inference.model_files import ModelFiles
from stacked_emotion.inference.serving.app import ServiceSettings
from stacked_emotion.inference.serving.handler import EndpointHandler

ORDER = ["mid", "zeta", "alpha"]
PLACES = [2, 0, 1]  # in the stack: zeta, alpha, mid
Copy = Callable[..., Path]


def with_limits(folder: Path, limits: list[float], **changes: Any) -> Path:
    """Write limits into a model's configuration."""
    config = json.loads((folder / "config.json").read_text())
    generator = np.random.default_rng(3)
    config["adaptive"] = {
        "order": ORDER,
        "stages": [
            {
                "limit": limit,
                "weights": generator.normal(1.0, 0.3, (step + 1, 3)).tolist(),
                "bias": [0.5, 0.0, -0.5],
            }
            for step, limit in enumerate(limits)
        ],
    } | changes
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def limited(tiny_stack_folder: Path, tmp_path: Path) -> Copy:
    """Makes a copy of the tiny stack with these limits."""

    def make(*limits: float, **changes: Any) -> Path:
        folder = tmp_path / "model"
        if not folder.exists():
            shutil.copytree(tiny_stack_folder, folder)
        return with_limits(folder, list(limits), **changes)

    return make


def load(folder: Path, adaptive: bool = True, **options: Any) -> StackedEmotionPredictor:
    options = {"dtype": "float32", "backend": "torch"} | options
    return StackedEmotionPredictor.from_pretrained(str(folder), adaptive=adaptive, **options)


def middle_limits(folder: Path, texts: list[str]) -> list[float]:
    """Limits between which about a third of the texts stop at each encoder."""
    predictor = load(folder, adaptive=False)
    first, second = load(folder).adaptive.rule.stages  # type: ignore[union-attr]
    batch = predictor.encoder.encode(texts, predictor.encoder.max_length)
    logits = [predictor.runner.encode(place, batch.arrays)[1] for place in PLACES]  # type: ignore[attr-defined]
    doubts = [
        predictor.decision.uncertainty(stage.estimate(np.stack(logits[: step + 1], 1)))
        for step, stage in enumerate((first, second))
    ]
    return [_in_a_gap(doubts[0], 0.35), _in_a_gap(doubts[1], 0.5)]


def _in_a_gap(values: np.ndarray, quantile: float) -> float:
    """The middle of the widest gap near a quantile, so that rounding moves no text across it."""
    near = np.sort(values)[
        int((quantile - 0.15) * len(values)) : int((quantile + 0.15) * len(values))
    ]
    widest = int(np.argmax(np.diff(near)))
    return float(near[widest : widest + 2].mean())


def count_rows(predictor: StackedEmotionPredictor, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts the texts that each encoder of the torch model reads from now on."""
    counts: Counter[str] = Counter()
    for name in predictor.config.encoder_names:
        encoder = predictor.model.get_encoder(name)

        def counted(*args: Any, name: str = name, run: Any = encoder.forward, **given: Any) -> Any:
            counts[name] += len(given["input_ids"])
            return run(*args, **given)

        monkeypatch.setattr(encoder, "forward", counted)
    return counts


@pytest.mark.parametrize("batch_tokens", [None, 40])
def test_limits_of_zero_give_the_full_stack(
    limited: Copy, sample_texts: list[str], batch_tokens: int | None
) -> None:
    texts, folder = [*sample_texts[:30], *NASTY_TEXTS], limited(0.0, 0.0)
    answers = load(folder).score(texts, batch_tokens)
    whole = load(folder, adaptive=False).score(texts, batch_tokens)
    np.testing.assert_array_equal(answers.logits, whole.logits)
    assert answers.encoders == [ORDER] * len(texts)
    assert whole.encoders is None


def test_limits_of_one_run_the_first_encoder_only(
    limited: Copy, sample_texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = load(limited(1.0, 0.5))
    counts = count_rows(predictor, monkeypatch)
    answers = predictor.predict(sample_texts[:20])
    assert counts == {"mid": len(set(sample_texts[:20]))}
    assert {tuple(answer.encoders or ()) for answer in answers} == {("mid",)}
    assert answers.to_pandas()["encoders"].tolist() == [["mid"]] * 20


def test_each_encoder_reads_only_what_is_left(
    limited: Copy, sample_texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = list(dict.fromkeys(sample_texts))[:40]
    folder = limited(0.0, 0.0)
    folder = limited(*middle_limits(folder, texts))
    predictor = load(folder)
    counts = count_rows(predictor, monkeypatch)
    answers = predictor.score(texts)
    runs = np.bincount(answers.encoders_run, minlength=4)  # type: ignore[arg-type]
    assert runs[1:].min() > 0
    assert counts == {"mid": 40, "zeta": 40 - runs[1], "alpha": runs[3]}
    whole = load(folder, adaptive=False).score(texts)
    np.testing.assert_allclose(
        answers.logits[answers.encoders_run == 3], whole.logits[answers.encoders_run == 3],
        atol=1e-5,
    )  # fmt: skip


def test_neither_batch_nor_order_matters(limited: Copy, sample_texts: list[str]) -> None:
    texts = [*dict.fromkeys(sample_texts)][:30] + NASTY_TEXTS
    folder = limited(0.0, 0.0)
    predictor = load(limited(*middle_limits(folder, texts)))
    together = predictor.score(texts)
    backward = predictor.score(texts[::-1], 64)
    assert together.encoders == backward.encoders[::-1]  # type: ignore[index]
    np.testing.assert_allclose(together.logits, backward.logits[::-1], atol=1e-5)
    alone = [predictor.predict(text)[0] for text in texts]
    assert [answer.encoders for answer in alone] == together.encoders


def test_windows_say_the_most_encoders_of_any(limited: Copy) -> None:
    texts = ["كلمة " * 400, "نص قصير"]
    folder = limited(0.0, 0.0)
    for limits, expected in (((0.0, 0.0), ORDER), ((1.0, 0.0), ORDER[:1])):
        folder = limited(*limits)
        answers = load(folder, long_texts="window").score(texts)
        assert answers.encoders == [expected] * 2
    np.testing.assert_allclose(
        load(limited(0.0, 0.0), long_texts="window").score(texts).logits,
        load(folder, adaptive=False, long_texts="window").score(texts).logits,
        atol=1e-5,
    )


@pytest.mark.slow
def test_graphs_take_the_same_paths(limited: Copy, sample_texts: list[str]) -> None:
    texts = [*dict.fromkeys(sample_texts)][:30] + [text for text in NASTY_TEXTS if len(text) < 200]
    folder = limited(0.0, 0.0)
    limits = middle_limits(folder, texts)
    plain = StackedEmotionPredictor.from_pretrained
    with pytest.raises(ModelError, match="stacked-emotion export"):
        plain(str(folder), backend="onnx", dtype="float32", adaptive=True)
    report = export_onnx(limited(*limits), "int8")
    assert report["files"]["int8 stages"] == [
        "int8.encoder_0.onnx", "int8.encoder_1.onnx", "int8.encoder_2.onnx", "int8.top.onnx"
    ]  # fmt: skip
    expected = load(folder).score(texts)
    assert len(set(expected.encoders_run.tolist())) == 3  # type: ignore[union-attr]
    predictors = [
        load(folder, backend="onnx"),
        load(folder, backend="openvino"),
        OnnxEmotionPredictor.from_pretrained(str(folder), dtype="float32", adaptive=True),
    ]
    for predictor in predictors:
        found = predictor.score(texts)
        assert found.encoders == expected.encoders
        np.testing.assert_allclose(found.logits, expected.logits, atol=1e-4)
    with_limits(folder, [0.0, 0.0])
    found = load(folder, backend="onnx", dtype="int8").score(texts)
    whole = load(folder, False, backend="onnx", dtype="int8").score(texts)
    np.testing.assert_allclose(found.logits, whole.logits, atol=1e-4)
    part = folder / "onnx/float32.top.onnx"
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(ModelError, match=r"float32\.top\.onnx is not the file"):
        load(folder, backend="onnx")


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_bulk_names_the_encoders_and_resumes(
    limited: Copy, sample_texts: list[str], tmp_path: Path, suffix: str
) -> None:
    texts = [*dict.fromkeys(sample_texts)][:24]
    folder = limited(0.0, 0.0)
    folder = limited(*middle_limits(folder, texts))
    rows = [{"text": text} for text in texts] + [{"text": None}]
    given = write_rows(tmp_path / "in.jsonl", rows)
    options = {"part_rows": 8, "dtype": "float32", "backend": "torch", "adaptive": True}
    whole, output = tmp_path / f"whole{suffix}", tmp_path / f"out{suffix}"
    predict_file(str(folder), given, whole, **options)
    if suffix == ".jsonl":
        assert exit_code(6, (str(folder), given, output), options) == -9
        predict_file(str(folder), given, output, **options)
        assert output.read_bytes() == whole.read_bytes()
    if suffix == ".csv":
        header, *lines = whole.read_text().splitlines()
        assert header.endswith(",encoders")
        found = [[name for name in ORDER if name in line] or None for line in lines]
    elif suffix == ".jsonl":
        found = [json.loads(line)["encoders"] for line in whole.read_text().splitlines()]
    else:
        import pyarrow.parquet

        found = pyarrow.parquet.read_table(whole)["encoders"].to_pylist()
    assert found[-1] is None
    assert found[:-1] == load(folder).score(texts).encoders


def test_the_server_says_which_encoders_were_run(limited: Copy) -> None:
    texts = mixed_texts()[:75]
    folder = limited(0.0, 0.0)
    folder = limited(*middle_limits(folder, texts))
    options = {"dtype": "float32", "backend": "torch", "adaptive": True}
    limits = Limits(characters=60_000)
    predictor = load(folder)
    alone = [predictor.score([text]) for text in texts]
    expected = [int(one.encoders_run[0]) for one in alone]  # type: ignore[index]
    assert set(expected) == {1, 2, 3}
    with serving(ServiceSettings(str(folder), options, limits, queue=512)) as running:
        answers, runs = running.ask_together(texts)
        page = httpx.get(f"{running.address}/metrics").text
        one = running.post({"inputs": texts[0]}, "/predict")
        assert httpx.get(f"{running.address}/info").json()["adaptive"] == ORDER
        refused = running.post({"inputs": "a", "parameters": {"explain": True}})
        same, other = (
            running.post({"inputs": texts[0], "parameters": {"adaptive": wanted}})
            for wanted in (True, False)
        )
    assert runs == expected
    for row, whole in zip(answers, alone, strict=True):
        found = {label["label"]: label["score"] for label in row}
        wanted = dict(zip(LABELS, whole.probabilities[0].tolist(), strict=True))
        assert found == pytest.approx(wanted, abs=1e-5)
    for place, name in enumerate(ORDER):
        count = sum(run > place for run in expected)
        assert f'stacked_emotion_encoder_texts_total{{encoder="{name}"}} {float(count)}' in page
    assert one.headers["X-Encoder-Order"] == "mid, zeta, alpha"
    assert one.headers["X-Encoders-Run"] == str(expected[0])
    assert refused.status_code == 400
    assert refused.json()["error"].endswith("start it without --adaptive.")
    assert same.headers["X-Encoders-Run"] == str(expected[0])
    assert (other.status_code, "was started with --adaptive" in other.text) == (400, True)


def test_the_endpoint_skips_encoders_by_request(
    limited: Copy, sample_texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [*[*dict.fromkeys(sample_texts)][:25], ""]
    folder = limited(0.0, 0.0)
    folder = limited(*middle_limits(folder, texts))
    expected, predictor = load(folder).score(texts), load(folder, adaptive=False)
    handler = EndpointHandler(str(folder))
    monkeypatch.setattr(handler, "limits", Limits(texts=100))
    whole = handler({"inputs": texts, "parameters": {"adaptive": False}})
    assert whole == handler({"inputs": texts})
    counts: Counter[int] = Counter()
    run = handler.model.stacked.encode_one

    def counted(place: int, **inputs: Any) -> Any:
        counts[place] += len(inputs["input_ids"])
        return run(place, **inputs)

    monkeypatch.setattr(handler.model.stacked, "encode_one", counted)
    found = handler({"inputs": texts, "parameters": {"adaptive": True}})
    given = handler({"inputs": texts, "parameters": {"adaptive": True, "threshold": "stored"}})
    runs = expected.encoders_run
    assert runs is not None
    assert {*runs.tolist()} == {1, 2, 3}
    assert counts == {place: 2 * int((runs > step).sum()) for step, place in enumerate(PLACES)}
    for rows, scores in ((found, expected), (whole, predictor.score(texts))):
        for row, wanted in zip(rows, scores.probabilities.tolist(), strict=True):
            scored = {entry["label"]: entry["score"] for entry in row}
            assert scored == pytest.approx(dict(zip(LABELS, wanted, strict=True)), abs=1e-5)
    assert [{entry["label"] for entry in row} for row in given] == [
        {label for label, on in zip(LABELS, row, strict=True) if on} for row in expected.given
    ]
    with pytest.raises(ValueError, match='leave out "adaptive"'):
        handler({"inputs": "a", "parameters": {"adaptive": True, "explain": True}})
    handler.model.config.adaptive = None
    with pytest.raises(ValueError, match="has no limits for adaptive stacking"):
        handler({"inputs": "a", "parameters": {"adaptive": True}})


def test_a_server_without_limits_says_so(tiny_stack_folder: Path) -> None:
    settings = ServiceSettings(str(tiny_stack_folder), {"adaptive": True})
    with serving(settings, wait=False) as running:
        while not running.failures:
            time.sleep(0.02)
    assert "has no limits for adaptive stacking" in str(running.failures[0])


def test_a_model_without_limits_says_so(
    tiny_stack_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", "نص", "--model", str(tiny_stack_folder), "--adaptive"]) == 2
    message = capsys.readouterr().err
    assert message.count("has no limits for adaptive stacking") == 1
    with pytest.raises(UserError, match="has no limits"):
        predict_file(
            str(tiny_stack_folder), write_rows(tmp_path / "in.jsonl", [{"text": "a"}]),
            tmp_path / "out.csv", adaptive=True,
        )  # fmt: skip


def test_command_line(limited: Copy, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(limited(1.0, 0.0))
    assert main(["predict", "نص", "--model", folder, "--adaptive", "--dtype", "float32"]) == 0
    assert json.loads(capsys.readouterr().out)["encoders"] == ["mid"]
    assert main(["predict", "نص", "--model", folder, "--dtype", "float32"]) == 0
    assert "encoders" not in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("damage", "where"),
    [
        (lambda given: given.update(order=["mid", "zeta"]), "adaptive.order"),
        (lambda given: given.update(order=[["mid"], "zeta", "alpha"]), "adaptive.order"),
        (lambda given: given.update(stages=given["stages"][:1]), "adaptive.stages"),
        (lambda given: given.update(more=1), "adaptive must"),
        (lambda given: given["stages"][0].update(limit=-0.1), r"stages\[0\].limit"),
        (lambda given: given["stages"][0].update(limit=float("nan")), r"stages\[0\].limit"),
        (lambda given: given["stages"][0].update(limit=True), r"stages\[0\].limit"),
        (lambda given: given["stages"][1].update(weights=[[1, 2, 3]]), r"stages\[1\].weights"),
        (lambda given: given["stages"][1].update(bias=[1, 2, 1e9]), r"stages\[1\].bias"),
        (lambda given: given["stages"][1].update(bias="abc"), r"stages\[1\].bias"),
        (lambda given: given["stages"][1].pop("bias"), r"stages\[1\] must"),
    ],
)
def test_malformed_limits_are_named(limited: Copy, damage: Any, where: str) -> None:
    folder = limited(0.2, 0.2)
    config = json.loads((folder / "config.json").read_text())
    damage(config["adaptive"])
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=where):
        ModelFiles(folder).config()
    with pytest.raises(ModelError, match=where):
        load(folder, adaptive=False)


def test_other_labels_drop_the_limits(limited: Copy) -> None:
    config = load(limited(0.2, 0.2), adaptive=False).config
    config.id2label = {0: "a", 1: "b", 2: "c"}
    assert config.adaptive is None


def test_uncertainty_is_one_minus_the_expected_jaccard() -> None:
    odds = np.array([[2.0, -1.0, 0.3], [-3.0, -4.0, -2.0]])
    chances = 1 / (1 + np.exp(-odds))
    by_threshold = Decision(["a", "b", "c"], [0.5] * 3)
    expected = (chances[0, 0] + chances[0, 2]) / (2 + chances[0, 1])
    found = by_threshold.uncertainty(odds)
    np.testing.assert_allclose(found, [1 - expected, 1 - np.prod(1 - chances[1])])
    by_jaccard = Decision(["a", "b", "c"], [0.4, 0.5, 0.6], "expected_jaccard", 0.8)
    assert decide(odds, by_jaccard.thresholds, "expected_jaccard", 0.8).any(1).all()
    assert ((by_jaccard.uncertainty(odds) > 0) & (by_jaccard.uncertainty(odds) < 1)).all()
