"""`pipeline("emotion-classification")` from the code in the folder, without the package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas
import pytest
import torch
from tiny_models import LABELS, build_stack
from transformers import pipeline

from stacked_emotion.pipeline_stacked_emotion import StackedEmotionPipeline

TEXTS = ["فرحان جدا 😍", "", "لا أعرف ماذا أفعل، خائف", "a b c", "  \n "]

FRESH = """
import sys
sys.modules["stacked_emotion"] = None
import json
from pathlib import Path
from transformers import (AutoModelForSequenceClassification, AutoTokenizer, Trainer,
                          TrainingArguments, pipeline)
folder, work = map(Path, sys.argv[1:3])
texts = json.loads(sys.argv[3])
trust = {"trust_remote_code": True}
named = pipeline("emotion-classification", model=str(folder), **trust)
plain = pipeline(model=str(folder), **trust)
answer = {
    "class": type(plain).__name__,
    "named": named(texts), "plain": plain(texts), "one": plain(texts[0]),
    "batched": plain(texts, batch_size=2), "words": plain(texts, return_words=True),
    "batched_words": plain(texts, batch_size=3, return_words=True),
    "top": named(texts, top_k=1), "streamed": list(named(text for text in texts)),
}
plain.save_pretrained(work / "piped")
model = AutoModelForSequenceClassification.from_pretrained(folder, **trust)
tokenizer = AutoTokenizer.from_pretrained(folder, **trust)
rows = [{**tokenizer(text), "labels": [1.0, 0.0, 0.0]} for text in texts]
trainer = Trainer(model=model, processing_class=tokenizer, train_dataset=rows,
    args=TrainingArguments(output_dir=str(work / "out"), max_steps=1, report_to="none",
                           learning_rate=0.0, weight_decay=0.0, use_cpu=True))
trainer.train()
trainer.save_model(str(work / "tuned"))
for name in ("piped", "tuned"):
    answer[name] = pipeline(model=str(work / name), **trust)(texts)
stock = pipeline("text-classification", model=str(work / "tuned"), **trust)
answer["stock"] = len(stock(texts[0], top_k=None))
print(json.dumps(answer))
"""


@pytest.fixture(scope="module")
def answer(tiny_stack_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    work = tmp_path_factory.mktemp("pipeline")
    environment = os.environ | {"HF_HOME": str(work / "home"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", FRESH, str(tiny_stack_folder), str(work), json.dumps(TEXTS)],
        capture_output=True, text=True, check=False, env=environment, cwd=work,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def expected_labels(tiny_stack: Any) -> list[dict[str, float]]:
    model, tokenizer = tiny_stack
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        logits = model(**batch).logits
    given = model.decide(logits, batch["word_index"].amax((1, 2)) > 0)
    return [
        {LABELS[place]: float(torch.sigmoid(row[place])) for place in chosen.nonzero().flatten()}
        for row, chosen in zip(logits, given, strict=True)
    ]


def test_labels_are_those_of_the_models_decision(answer: dict[str, Any], tiny_stack: Any) -> None:
    expected = expected_labels(tiny_stack)
    assert any(len(given) > 1 for given in expected)
    assert answer["class"] == StackedEmotionPipeline.__name__
    for door in ("named", "plain", "batched", "streamed", "piped", "tuned"):
        assert len(answer[door]) == len(TEXTS)
        for labels, given in zip(answer[door], expected, strict=True):
            scores = {entry["label"]: entry["score"] for entry in labels}
            assert scores == pytest.approx(given, abs=1e-5)
            assert list(scores.values()) == sorted(scores.values(), reverse=True)
    assert answer["one"] == answer["plain"][0]
    assert answer["plain"][1] == answer["plain"][4] == []
    assert answer["top"] == [labels[:1] for labels in answer["plain"]]
    assert answer["stock"] == len(LABELS)


def test_words_on_request(answer: dict[str, Any], tiny_stack: Any) -> None:
    model, tokenizer = tiny_stack
    for text, found, batched in zip(TEXTS, answer["words"], answer["batched_words"], strict=True):
        spans = tokenizer.word_offsets(text)
        assert [(word["start"], word["end"]) for word in found["words"]] == list(spans)
        for word, other in zip(found["words"], batched["words"], strict=True):
            assert word["word"] == text[word["start"] : word["end"]]
            assert list(word["gates"]) == model.config.encoder_names
            assert sum(word["gates"].values()) == pytest.approx(1.0, abs=1e-5)
            assert word["contribution"] == pytest.approx(other["contribution"], abs=1e-5)
            assert word["gates"] == pytest.approx(other["gates"], abs=1e-5)
        assert [entry["label"] for entry in found["labels"]] == [
            entry["label"] for entry in answer["plain"][TEXTS.index(text)]
        ]


def test_contributions_are_those_of_explain(
    answer: dict[str, Any], tiny_stack_folder: Path
) -> None:
    from stacked_emotion.inference import StackedEmotionPredictor, explain

    predictor = StackedEmotionPredictor.from_pretrained(
        str(tiny_stack_folder), dtype="float32", backend="torch"
    )
    label = answer["words"][0]["labels"][0]["label"]
    explained = explain(predictor, TEXTS[0], label)
    for word, other in zip(answer["words"][0]["words"], explained.words, strict=True):
        assert word["contribution"][label] == pytest.approx(other.contribution, abs=1e-5)
        assert word["gates"] == pytest.approx(other.gates, abs=1e-5)


def test_a_loaded_model_with_the_package(tiny_stack: Any) -> None:
    model, tokenizer = tiny_stack
    classify = pipeline("emotion-classification", model=model, tokenizer=tokenizer)
    assert isinstance(classify, StackedEmotionPipeline)
    assert classify(TEXTS) == StackedEmotionPipeline(model=model, tokenizer=tokenizer)(TEXTS)


def test_what_is_no_text_is_refused(tiny_stack: Any) -> None:
    model, tokenizer = tiny_stack
    classify = StackedEmotionPipeline(model=model, tokenizer=tokenizer)
    assert classify([]) == []
    assert classify(("a b c",)) == [classify("a b c")] == [classify({"text": "a b c"})]
    for wrong in (3, ["a", None], [["a", "b"]]):
        with pytest.raises(ValueError, match="must be a str"):
            classify(wrong)
    with pytest.raises(ValueError, match="top_k"):
        classify("a", top_k=0)


@pytest.mark.parametrize("count", [1, 2, 100])
def test_any_number_of_labels(
    count: int, tiny_encoder_folders: dict[str, Path], tmp_path: Path
) -> None:
    names = [f"label {place}" for place in range(count)]
    folders = {name: tiny_encoder_folders[name] for name in ("zeta", "alpha")}
    model, tokenizer = build_stack(folders, labels=names, thresholds=[0.5] * count)
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    output = model(**batch, labels=torch.ones(len(TEXTS), count))
    assert output.logits.shape == (len(TEXTS), count)
    output.loss.backward()
    for rule in ("threshold", "expected_jaccard"):
        model.config.decision = rule
        assert model.decide(output.logits).shape == (len(TEXTS), count)
    model.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert again.config.label_names == names
    with torch.no_grad():
        assert torch.equal(again(**batch).logits, model(**batch).logits)
    classify = StackedEmotionPipeline(model=again, tokenizer=tokenizer)
    answers = classify(TEXTS, batch_size=2)
    assert all(1 <= len(labels) <= count for labels in answers[::2][:2])
    assert answers[1] == answers[4] == []


def test_calls_that_look_right_are_one_sentence(tiny_stack: Any) -> None:
    model, tokenizer = tiny_stack
    classify = StackedEmotionPipeline(model=model, tokenizer=tokenizer)
    with pytest.raises(ValueError, match="Give one column of the table"):
        classify(pandas.DataFrame({"text": TEXTS[:2]}))
    with pytest.raises(ValueError, match=r"no option 'topk' \(did you mean 'top_k'\?\)"):
        classify(TEXTS[0], topk=1)
    with pytest.raises(ValueError, match=r"which has 6\d positions"):
        classify("فرحان " * 200, truncation=False)
    stock = pipeline("text-classification", model=model, tokenizer=tokenizer)
    with pytest.raises(ValueError, match="give a list of texts"):
        stock(("فرحان", "لا أعرف ماذا أفعل"))
