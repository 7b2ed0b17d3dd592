"""Encoders that are not trained: a linear probe on hidden layers, in a run and as ONNX."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tiny_models import NASTY_TEXTS, build_stack
from tiny_runs import tiny_run_options
from transformers import AutoModel, AutoTokenizer

from stacked_emotion import (
    StackedEmotionConfig,
    StackedEmotionForSequenceClassification,
    StackedEmotionTokenizer,
)
from stacked_emotion.inference.backends.export import CheckTexts, export_onnx
from stacked_emotion.trainer import UserError, parse_recipe, run_training
from stacked_emotion.trainer.data_collator import EncodedTexts
from stacked_emotion.trainer.stages.probe import fit_probe


def layer_means(folder: Path, texts: list[str], layers: list[int]) -> np.ndarray:
    """(texts, width) means of hidden layers, by transformers alone and one text at a time."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    rows = []
    with torch.inference_mode():
        for text in texts:
            batch = tokenizer(text, return_tensors="pt")
            states = model.eval()(**batch, output_hidden_states=True).hidden_states
            rows.append(torch.cat([states[layer][0].mean(0) for layer in layers]).numpy())
    return np.stack(rows)


def test_the_probe_is_logistic_regression_on_layer_means(
    tiny_encoder_folders: dict[str, Path], sample_texts: list[str]
) -> None:
    folder = tiny_encoder_folders["alpha"]
    texts = [text for text in sample_texts if len(text) < 60][:60]
    labels = np.random.default_rng(0).integers(0, 2, (60, 3)).astype(np.int8)
    labels[:, 1] = 0
    model = StackedEmotionForSequenceClassification.from_encoders(
        {"alpha": folder}, labels=["a", "b", "c"], use_meta_learner=False, use_lstm=False,
        use_classifier=False, encoder_heads={"alpha": {"layers": [1, 2]}},
    )  # fmt: skip
    with torch.no_grad():
        model.get_encoder_head("alpha").output.bias[1] = -5.0
    tokenizer = StackedEmotionTokenizer.from_tokenizers({"alpha": folder})
    fit_probe(model, "alpha", EncodedTexts.from_texts(tokenizer, texts, labels), 0.05)
    with torch.inference_mode():
        found = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits.numpy()
    features = layer_means(folder, texts, [1, 2])
    for label in (0, 2):
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=1000))
        expected = probe.fit(features, labels[:, label]).decision_function(features)
        np.testing.assert_allclose(found[:, label], expected, atol=2e-3)
    np.testing.assert_allclose(found[:, 1], -5.0, atol=1e-5)


def test_a_probed_encoder_in_a_run(tiny_encoder_folders: dict[str, Path], tmp_path: Path) -> None:
    options = tiny_run_options(tiny_encoder_folders, tmp_path / "run")
    run_training(parse_recipe([*options, "--encoders.alpha.probe", "2", "0"]))
    model = StackedEmotionForSequenceClassification.from_pretrained(tmp_path / "run/model")
    assert model.config.encoder_heads["alpha"]["layers"] == [2, 0]
    assert "layers" not in model.config.encoder_heads["zeta"]
    source = AutoModel.from_pretrained(tiny_encoder_folders["alpha"]).state_dict()
    for name, weight in model.get_encoder("alpha").state_dict().items():
        assert torch.equal(weight, source[name].float()), name
    heads = [
        load_file(tmp_path / f"run/encoders/alpha/{part}/model.safetensors")[
            "stacked.head_alpha.output.weight"
        ]
        for part in ("fold_0", "fold_1", "final")
    ]
    assert not torch.equal(heads[0], heads[1])
    assert torch.equal(heads[2], model.get_encoder_head("alpha").output.weight)
    results = json.loads((tmp_path / "run/results.json").read_text(encoding="utf-8"))
    assert results["stages"]["encoders"]["alpha"]["final"]["settings"]["probe"] == [2, 0]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--encoders.zeta.probe_c", "0"], "probe_c is 0.0; it must be above 0"),
        (["--encoders.zeta.probe", "1", "9"],
         r"encoders.zeta.probe is \[1, 9\]; they must be different layers from 0 to 2"),
    ],
)  # fmt: skip
def test_mistakes_are_told_before_the_training(
    more: list[str], message: str, tiny_encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        run_training(parse_recipe(tiny_run_options(tiny_encoder_folders, tmp_path / "run", *more)))


@pytest.mark.parametrize("layers", [[3], [-1], [1, 1], [True], "1", 1])
def test_malformed_layers_are_refused(
    layers: object, tiny_stack: tuple[StackedEmotionForSequenceClassification, object]
) -> None:
    values = tiny_stack[0].config.to_dict()
    name = values["encoder_names"][0]
    with pytest.raises(ValueError, match=rf"encoder_heads\['{name}'\]: layers is .*from 0 to 2"):
        StackedEmotionConfig(**values | {"encoder_heads": {name: {"layers": layers}}})


def test_heads_on_layers_are_saved_and_exported(
    tiny_encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    folders = {name: tiny_encoder_folders[name] for name in ("zeta", "alpha")}
    model, tokenizer = build_stack(folders, encoder_heads={"alpha": {"layers": [1, 2]}})
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    texts = [text for text in NASTY_TEXTS if len(text) < 200]
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    again = StackedEmotionForSequenceClassification.from_pretrained(tmp_path)
    with torch.inference_mode():
        expected = model(**batch).logits
        assert torch.equal(again(**batch).logits, expected)
        asked = again(**batch, output_hidden_states=True)
        alone = torch.cat([model(**tokenizer([t], return_tensors="pt")).logits for t in texts])
    torch.testing.assert_close(alone, expected, atol=1e-5, rtol=1e-4)  # padding changes nothing
    torch.testing.assert_close(asked.logits, expected, atol=1e-5, rtol=1e-4)
    assert [len(states) for states in asked.hidden_states] == [3, 3]
    report = export_onnx(tmp_path, None, CheckTexts(texts, None, "test texts"))
    assert report["differences"]["onnx float32"]["largest_score_difference"] < 1e-5
    assert report["differences"]["onnx float32"]["label_agreement"] == 1.0
