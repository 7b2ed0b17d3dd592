"""Plots: their figures are the run's, every one is drawn, and Arabic joins and reads leftwards."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from tiny_models import LABELS

from stacked_emotion.hub_card import RunRecord, plot_run
from stacked_emotion.hub_card.plots import PLOTS
from stacked_emotion.hub_card.plots.encoder_use import _label_trust, label_weights
from stacked_emotion.hub_card.plots.label_correlation import correlation
from stacked_emotion.hub_card.plots.label_scores import precision_recall_curve
from stacked_emotion.hub_card.plots.predictions import decided_labels
from stacked_emotion.hub_card.plots.style import shaped, style
from stacked_emotion.hub_card.plots.training_curves import loss_parts, training_curves
from stacked_emotion.inference.explanations.encoder_weights import encoder_weights
from stacked_emotion.trainer.metrics.scores import emotion_scores

ARABIC = ["فرح", "غضب", "خوف"]


def make_run(folder: Path, model: Path, names: list[str], **changes: Any) -> RunRecord:
    """A run folder whose figures are those of random predictions."""
    shutil.copytree(model, folder / "model")
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    config["id2label"] = dict(enumerate(names))
    config["label2id"] = {name: place for place, name in enumerate(names)}
    config |= changes
    (folder / "model/config.json").write_text(json.dumps(config), encoding="utf-8")
    random = np.random.default_rng(0)
    truth = (random.random((60, len(names))) < (0.5, 0.3, 0.2)).astype(int)
    scores = np.clip(0.5 * truth + 0.5 * random.random(truth.shape), 0.01, 0.99)
    gates = random.dirichlet([4, 2, 1], 60).astype(np.float32)
    np.savez(
        folder / "predictions_validation.npz", probabilities=scores.astype(np.float32),
        labels=truth, encoder_logits=random.normal(size=(60, 3, len(names))), gates=gates,
    )  # fmt: skip
    found = emotion_scores(truth, scores, label_names=names, decisions=(scores > 0.5).astype(int))
    system = {
        key: {"mean": value, "std": 0.02, "values": [value] * 2} for key, value in found.items()
    }
    log = [
        {"step": step, "loss": 3 / step, "loss_bce": 2 / step, "loss_contrastive": 1 / step}
        for step in (20, 40, 60)
    ]
    results = {
        "format": 1, "labels": names, "splits": ["validation"], "recipe": {"logging_steps": 20},
        "systems": {"stack": {"validation": system}},
        "stages": {
            "encoders": {"zeta": {"fold_0": {"log": log[:2]}, "final": {"log": log}}},
            "meta": {"log": [], "fold_logs": [], "objective_by_epoch": [1.0, 1.1], "epoch": 1},
            "head": {"log": log, "fold_logs": [log[:2]], "objective_by_epoch": [1.1], "epoch": 0},
        },
    }  # fmt: skip
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    return RunRecord.from_folder(folder)


def test_every_plot_is_drawn(tmp_path: Path, tiny_stack_folder: Path) -> None:
    record = make_run(tmp_path / "run", tiny_stack_folder, ARABIC)
    names = plot_run(record, tmp_path / "plots")
    assert names == [
        "class_wise_f1", "label_correlation", "precision_recall", "encoder_use", "training_curves",
    ]  # fmt: skip
    for name in names:
        png = (tmp_path / f"plots/{name}.png").read_bytes()
        assert png.startswith(b"\x89PNG")
        width = int.from_bytes(png[16:20], "big")
        assert 400 <= width <= 1300
        svg = (tmp_path / f"plots/{name}.svg").read_text(encoding="utf-8")
        assert svg.startswith("<?xml")
        assert "http://www.w3.org/2000/svg" in svg
    before = {path.name: path.read_bytes() for path in (tmp_path / "plots").iterdir()}
    plot_run(record, tmp_path / "plots")
    assert {path.name: path.read_bytes() for path in (tmp_path / "plots").iterdir()} == before


def test_the_curves_are_those_of_a_real_run(finished_run: Path) -> None:
    """Training wrote these records; every encoder's line has a point for each logged step."""
    record = RunRecord.from_folder(finished_run)
    figure = training_curves(record)
    stages = record.results["stages"]
    encoders, *_ = figure.axes
    assert "Encoders" in encoders.get_title(loc="left")
    lines = {line.get_label(): line for line in encoders.lines}
    assert {"zeta", "alpha"} <= set(lines)
    for name in ("zeta", "alpha"):
        log = [entry for entry in stages["encoders"][name]["final"]["log"] if "loss" in entry]
        assert len(log) > 1
        np.testing.assert_array_equal(lines[name].get_xdata(), [entry["step"] for entry in log])
        np.testing.assert_array_equal(lines[name].get_ydata(), [entry["loss"] for entry in log])
    assert len(encoders.lines) == sum(len(parts) for parts in stages["encoders"].values())
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert any(title.startswith("Meta-learner") for title in titles)


def test_a_real_run_has_every_plot(finished_run: Path, tmp_path: Path) -> None:
    assert plot_run(RunRecord.from_folder(finished_run), tmp_path) == list(PLOTS)


def test_foreign_names_are_text_in_pictures(tmp_path: Path, tiny_stack_folder: Path) -> None:
    names = ["<script>alert(1)</script>", "$x^$ & \u202e|", "two\nlines \x1b[31m\u2028\x00"]
    record = make_run(tmp_path / "run", tiny_stack_folder, names)
    for name in plot_run(record, tmp_path / "plots"):
        text = (tmp_path / f"plots/{name}.svg").read_text(encoding="utf-8")
        root = ElementTree.fromstring(text)
        assert not [node for node in root.iter() if node.tag.endswith(("}script", "}a"))]
        links = [value for node in root.iter() for key, value in node.items() if "href" in key]
        assert all(link.startswith(("#", "data:")) for link in links)
        assert not set("\x1b\u202e\u2028\x00") & set(text)


def test_a_run_without_figures_has_no_plots(tmp_path: Path, tiny_stack_folder: Path) -> None:
    make_run(tmp_path / "run", tiny_stack_folder, LABELS)
    (tmp_path / "run/predictions_validation.npz").unlink()
    (tmp_path / "run/results.json").write_text('{"format": 1}')
    assert plot_run(RunRecord.from_folder(tmp_path / "run"), tmp_path / "plots") == []


def test_gates_and_label_trust_are_the_models_weights(
    tmp_path: Path, tiny_stack: Any, tiny_stack_folder: Path
) -> None:
    model, tokenizer = tiny_stack
    record = make_run(tmp_path / "run", tiny_stack_folder, LABELS)
    batch = dict(tokenizer(["فرحان جدا 😍", "a b c"], padding=True, return_tensors="pt"))
    with torch.no_grad():
        output = model(**batch, output_gates=True)
    mask = output.gates.sum(-1, keepdim=True) * 0 + 1
    words = batch["word_index"].amax((1, 2))
    mask = (torch.arange(mask.shape[1]) < words[:, None]).float().unsqueeze(-1)
    gates = ((output.gates * mask).sum(1) / mask.sum(1)).numpy()
    weights = label_weights(gates, _label_trust(record))
    np.testing.assert_allclose(weights, encoder_weights(model, [batch]), atol=1e-5)
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)


@pytest.mark.parametrize("decision", ["threshold", "expected_jaccard"])
def test_labels_are_decided_as_by_the_model(
    tmp_path: Path, tiny_stack_folder: Path, decision: str
) -> None:
    from stacked_emotion import StackedEmotionForSequenceClassification

    changes = {"decision": decision, "decision_scale": 0.8}
    record = make_run(tmp_path / "run", tiny_stack_folder, LABELS, **changes)
    model = StackedEmotionForSequenceClassification.from_pretrained(record.model_folder)
    scores = np.random.default_rng(1).random((200, 3)).astype(np.float32)
    expected = model.decide(torch.logit(torch.from_numpy(scores))).numpy().astype(int)
    np.testing.assert_array_equal(decided_labels(record, scores), expected)
    assert 0 < expected.mean() < 1


def test_area_under_the_curve_is_the_average_precision() -> None:
    random = np.random.default_rng(2)
    for _ in range(20):
        truth = (random.random(40) < 0.3).astype(int)
        truth[0] = 1
        scores = random.integers(0, 8, 40) / 8  # with ties
        recall, precision = precision_recall_curve(truth, scores)
        area = (np.diff(recall) * precision[1:]).sum()
        assert area == pytest.approx(average_precision_score(truth, scores))


def test_correlation_is_phi() -> None:
    columns = (np.random.default_rng(3).random((50, 3)) < 0.4).astype(float)
    np.testing.assert_allclose(correlation(columns), np.corrcoef(columns.T), atol=1e-12)
    columns[:, 1] = 1
    found = correlation(columns)
    assert np.isnan(found[1]).all()
    assert np.isfinite(found[0, 2])


def test_one_part_alone_is_the_loss() -> None:
    entry = {"step": 20, "loss": 0.5, "loss_bce": 0.5}
    assert list(loss_parts({"log": [entry]})) == ["loss_bce"]
    assert list(loss_parts({"log": [entry | {"loss_correlation": 0.1}]})) == [
        "loss", "loss_bce", "loss_correlation",
    ]  # fmt: skip
    assert list(loss_parts({"log": [{"step": 20, "loss": 0.5}]})) == ["loss"]
    assert loss_parts({}) == {}


def ink(text: str) -> np.ndarray:
    """The pixels of a text, drawn as the plots draw it, cut to where there is ink."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(style()):
        figure = Figure(figsize=(4, 1))
        canvas = FigureCanvasAgg(figure)
        figure.text(0.1, 0.3, shaped(text), fontsize=30)
        canvas.draw()
    dark = np.asarray(canvas.buffer_rgba())[:, :, 0] < 128
    rows, columns = np.flatnonzero(dark.any(1)), np.flatnonzero(dark.any(0))
    return dark[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def test_arabic_joins_and_reads_leftwards() -> None:
    pytest.importorskip("matplotlib")
    joined, apart = ink("ببب"), ink("ب ب ب")
    assert joined.any(0).all()  # one stroke without a gap
    assert not apart.any(0).all()
    picture = ink("ادد")  # an alef, tall and first, then two small letters
    tall = picture[: picture.shape[0] // 4].any(0).nonzero()[0]
    assert tall.min() > picture.shape[1] / 2


def test_older_matplotlib_gets_letters_in_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    pytest.importorskip("arabic_reshaper")
    pytest.importorskip("bidi")
    monkeypatch.setattr(matplotlib, "__version_info__", (3, 10, 0))
    assert shaped("فرح") == "ﺡﺮﻓ"
    assert shaped("joy") == "joy"
    monkeypatch.setattr(matplotlib, "__version_info__", (3, 11, 0))
    assert shaped("فرح") == "فرح"
