"""The lexical encoder: TF-IDF of n-grams in a table, as one encoder of a stack."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from from_wheel import run_isolated
from lexical import NGRAMS, Stack, bucket_of, lexical_alone, ngrams_of
from sklearn.linear_model import LogisticRegression
from tiny_models import NASTY_TEXTS

from stacked_emotion import StackedEmotionConfig, StackedEmotionForSequenceClassification
from stacked_emotion.inference import StackedEmotionPredictor, explain
from stacked_emotion.inference.backends.export import CheckTexts, export_onnx
from stacked_emotion.inference.backends.onnx_graph import trace

BUCKETS = 1 << NGRAMS.ngrams_bits
SHORT_TEXTS = [text for text in NASTY_TEXTS if len(text) < 200]


def logits_of(stack: Stack, texts: list[str]) -> torch.Tensor:
    model, tokenizer = stack
    with torch.inference_mode():
        return model(**tokenizer(texts, padding=True, return_tensors="pt")).logits


def test_the_logits_are_those_of_logistic_regression_on_tf_idf(sample_texts: list[str]) -> None:
    """Features and scores by plain Python and scikit-learn, from the raw texts."""
    texts = sample_texts[:80]
    others = ["قطط وكلاب 😍", "كلمة كلمة كلمة", "zzz ∰ 😂😂 جِدًّا", "", *sample_texts[80:90]]
    labels = np.random.default_rng(0).integers(0, 2, (80, 3)).astype(np.int8)
    labels[:, 1] = 1
    stack = lexical_alone(texts, labels, c=2.0)
    bias = stack[0].get_encoder_head("lexical").output.bias[1].item()
    alphabet = {c for c in stack[1].backends["lexical"].get_vocab() if len(c) == 1}

    def rows(some: list[str]) -> np.ndarray:
        counts = np.zeros((len(some), BUCKETS))
        for row, text in enumerate(some):
            for ngram, count in ngrams_of(text, alphabet, *NGRAMS.ngrams).items():
                counts[row, bucket_of(ngram, BUCKETS)] += count
        return counts

    counts = rows(texts)
    found_in = (counts > 0).sum(0)
    idf = np.where(found_in >= 2, np.log(81 / (1 + found_in)) + 1, 0)

    def features(counts: np.ndarray) -> np.ndarray:
        norms = np.sqrt(counts @ idf**2)
        return counts * idf / np.where(norms > 0, norms, 1)[:, None]

    found = logits_of(stack, [*texts, *others]).numpy()
    expected = features(rows([*texts, *others]))
    for label in (0, 2):
        fitted = LogisticRegression(C=2.0, max_iter=1000)
        fitted.fit(features(counts)[:, found_in >= 2], labels[:, label])
        scores = fitted.decision_function(expected[:, found_in >= 2])
        np.testing.assert_allclose(found[:, label], scores, atol=1e-5)
    np.testing.assert_allclose(found[:, 1], bias, atol=1e-6)


def test_a_lexical_encoder_is_one_like_others(lexical_stack: Stack, tmp_path: Path) -> None:
    model, tokenizer = lexical_stack
    expected = logits_of(lexical_stack, SHORT_TEXTS)
    alone = torch.cat([logits_of(lexical_stack, [text]) for text in SHORT_TEXTS])
    torch.testing.assert_close(alone, expected, atol=1e-5, rtol=1e-4)  # padding changes nothing
    batch = tokenizer(SHORT_TEXTS, padding=True, return_tensors="pt")
    with torch.inference_mode():
        asked = model(**batch, output_hidden_states=True, output_attentions=True)
    torch.testing.assert_close(asked.logits, expected, atol=1e-5, rtol=1e-4)
    assert [len(states) for states in asked.hidden_states] == [3, 1, 3]
    assert asked.attentions[1] is None
    with torch.no_grad():
        logits = model(**batch).encoder_logits[:, 1]
        word_vectors = model.stacked.encode(**batch)[0]
    assert torch.isfinite(word_vectors).all()
    empty = SHORT_TEXTS.index("")
    bias = model.get_encoder_head("lexical").output.bias
    torch.testing.assert_close(logits[empty], bias)

    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    again = StackedEmotionForSequenceClassification.from_pretrained(tmp_path)
    with torch.inference_mode():
        assert torch.equal(again(**batch).logits, expected)
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name


def test_its_words_are_explained(lexical_stack: Stack, tmp_path: Path) -> None:
    model, tokenizer = lexical_stack
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    predictor = StackedEmotionPredictor.from_pretrained(
        str(tmp_path), dtype="float32", backend="torch"
    )
    text = SHORT_TEXTS[0]
    for method in ("occlusion", "gradient"):
        words = explain(predictor, text, method=method).words  # type: ignore[arg-type]
        assert [(word.start, word.end) for word in words] == tokenizer.word_offsets(text)
        assert all(set(word.gates) == {"zeta", "lexical", "alpha"} for word in words)
        assert any(word.contribution for word in words)


def test_gradient_times_input_adds_up_to_what_the_words_do(
    sample_texts: list[str], tmp_path: Path
) -> None:
    """Scaling all n-grams of a text by t scales a lexical score by the root of t."""
    labels = np.random.default_rng(0).integers(0, 2, (len(sample_texts), 3))
    model, tokenizer = lexical_alone(sample_texts, labels)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    predictor = StackedEmotionPredictor.from_pretrained(
        str(tmp_path), dtype="float32", backend="torch"
    )
    text = sample_texts[3]
    found = explain(predictor, text, label="joy", method="gradient")
    bias = model.get_encoder_head("lexical").output.bias[0].item()
    score = logits_of((model, tokenizer), [text])[0, 0].item() - bias
    total = sum(word.contribution for word in found.words)
    assert total == pytest.approx(score / 2, abs=1e-5)


def test_its_graph_has_the_same_logits(sample_texts: list[str]) -> None:
    onnxruntime, openvino = pytest.importorskip("onnxruntime"), pytest.importorskip("openvino")
    labels = np.random.default_rng(0).integers(0, 2, (len(sample_texts), 3))
    model, tokenizer = lexical_alone(sample_texts, labels)
    graph = trace(model).SerializeToString()
    ort = onnxruntime.InferenceSession(graph)
    compiled = openvino.Core().compile_model(
        openvino.Core().read_model(graph), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    for texts in ([""], SHORT_TEXTS, sample_texts[:7]):
        batch = dict(tokenizer(texts, padding=True, return_tensors="np"))
        expected = logits_of((model, tokenizer), texts).numpy()
        np.testing.assert_allclose(ort.run(None, batch)[0], expected, atol=1e-5)
        np.testing.assert_allclose(compiled(batch)["logits"], expected, atol=1e-5)


@pytest.mark.slow
def test_a_stack_with_it_is_exported(lexical_stack: Stack, tmp_path: Path) -> None:
    model, tokenizer = lexical_stack
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    report = export_onnx(tmp_path, "int8", CheckTexts(SHORT_TEXTS, None, "test texts"))
    for backend in ("onnx float32", "openvino float32"):
        assert report["differences"][backend]["largest_score_difference"] < 1e-5, backend
    assert report["differences"]["onnx int8"]["label_agreement"] > 0.9


def test_the_folder_loads_without_the_package(lexical_stack: Stack, tmp_path: Path) -> None:
    model, tokenizer = lexical_stack
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    code = """
    import torch
    from transformers import AutoConfig, AutoModel, AutoTokenizer
    from transformers import AutoModelForSequenceClassification
    options = {"trust_remote_code": True}
    folder = given["model"]
    assert AutoConfig.from_pretrained(folder, **options).lexical.model_type == "hashed_ngrams"
    tokenizer = AutoTokenizer.from_pretrained(folder, **options)
    model = AutoModelForSequenceClassification.from_pretrained(folder, **options)
    batch = tokenizer(given["texts"], padding=True, return_tensors="pt")
    with torch.no_grad():
        base = AutoModel.from_pretrained(folder, **options)(**batch)
        same = torch.equal(base.meta_logits, model(**batch).meta_logits)
        give([same, model(**batch).logits.tolist()])
    """
    texts = [text for text in SHORT_TEXTS if "surrogates" not in text]
    found = run_isolated(tmp_path, code, model=str(tmp_path / "model"), texts=texts)
    assert found[0]
    torch.testing.assert_close(torch.tensor(found[1]), logits_of(lexical_stack, texts))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("bucket_bits", 19, "encoders.*bucket_bits is 19; it must be .* at most 18"),
        ("bucket_bits", 2.5, "bucket_bits is 2.5"),
        ("piece_length", 10**6, "piece_length is 1000000"),
        ("longest_ngram", 0, "longest_ngram is 0"),
        ("vocab_size", 10**12, "vocab_size is 1000000000000"),
        ("hidden_size", "x", "hidden_size is 'x'"),
    ],
)
def test_malformed_sizes_are_refused(
    field: str, value: object, message: str, lexical_stack: Stack
) -> None:
    values = lexical_stack[0].config.to_dict()
    values["encoders"]["lexical"][field] = value
    with pytest.raises(ValueError, match=message):
        StackedEmotionConfig(**values)


def test_a_table_larger_than_its_file_is_refused(lexical_stack: Stack, tmp_path: Path) -> None:
    lexical_stack[0].save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    config["encoders"]["lexical"] |= {"bucket_bits": 18, "hidden_size": 60_000}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(ValueError, match=r"it asks for 15,7.* weights"):
        StackedEmotionForSequenceClassification.from_pretrained(tmp_path)
