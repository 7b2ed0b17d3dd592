"""`push_to_hub` of a model and of a trainer: what they hand to `publish`, without a Hub."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import LABELS
from transformers import TrainingArguments

from stacked_emotion import StackedEmotionForSequenceClassification, StackedEmotionTokenizer
from stacked_emotion.cli import main
from stacked_emotion.common.errors import UserError
from stacked_emotion.hub_card import Publication, publish, publish_metric
from stacked_emotion.trainer import StackedEmotionTrainer
from stacked_emotion.trainer.data_collator import EncodedTextCollator, EncodedTexts

OPTIONS: dict[str, Any] = {
    "license": "mit", "languages": ["ar"], "plots": False, "dry_run": True,
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """In place of the fresh process: what the gathered folder says."""
    found: dict[str, Any] = {}

    def look(folder: Path, texts: list[str], logits: np.ndarray, remote_code: bool) -> None:
        found["results"] = json.loads((folder / "results.json").read_text())
        found["training_args"] = json.loads((folder / "training_args.json").read_text())
        found["card"] = (folder / "README.md").read_text()
        found["logits"], found["texts"], found["remote_code"] = logits, texts, remote_code

    monkeypatch.setattr("stacked_emotion.hub_card.publishing.check_loads", look)
    return found


@pytest.fixture
def run(run_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run_folder, tmp_path / "arabic"))


def test_a_model_of_a_run_keeps_its_figures(run: Path, looked_at: dict[str, Any]) -> None:
    model = StackedEmotionForSequenceClassification.from_pretrained(run / "model")
    publication = model.push_to_hub("user/emotions", **OPTIONS)
    assert isinstance(publication, Publication)
    assert publication.commit is None
    assert list(looked_at["results"]["systems"])[-1] == "stack"
    assert "| stack − zeta | Jaccard |" in looked_at["card"]


def test_a_changed_model_loses_the_figures(run: Path, looked_at: dict[str, Any]) -> None:
    model = StackedEmotionForSequenceClassification.from_pretrained(run / "model")
    with torch.no_grad():
        model.classifier.output.bias.add_(0.5)
    model.push_to_hub("user/emotions", **OPTIONS)
    assert looked_at["results"]["systems"] == {}
    assert "Nothing is known of how well it does" in looked_at["card"]
    tokenizer = StackedEmotionTokenizer.from_pretrained(run / "model")
    batch = tokenizer(looked_at["texts"], padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = model(**batch).logits
    torch.testing.assert_close(
        torch.from_numpy(looked_at["logits"]).float(), expected, atol=1e-5, rtol=0
    )


def test_a_model_without_a_folder_needs_its_tokenizer(
    tiny_stack: Any, looked_at: dict[str, Any]
) -> None:
    model, tokenizer = tiny_stack
    with pytest.raises(UserError, match="tokenizer"):
        model.push_to_hub("user/emotions", **OPTIONS)
    publication = model.push_to_hub("user/emotions", tokenizer=tokenizer, **OPTIONS)
    assert "tokenizers/mid/tokenizer.json" in {file.path for file in publication.files}


def test_a_trainer_publishes_no_more_than_the_list(
    run: Path, tiny_stack: Any, sample_texts: list[str], looked_at: dict[str, Any], tmp_path: Path
) -> None:
    model = StackedEmotionForSequenceClassification.from_pretrained(run / "model")
    labels = (np.random.default_rng(0).random((8, 3)) < 0.5).astype(np.int8)
    labels[0] = 1
    rows = EncodedTexts.from_texts(tiny_stack[1], sample_texts[:8], labels)
    output = tmp_path / "output"
    trainer = StackedEmotionTrainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(output), report_to="none", use_cpu=True, max_steps=1, seed=3,
            remove_unused_columns=False, label_names=["labels"], hub_model_id="user/emotions",
            save_strategy="steps", save_steps=1, hub_token="hf_" + "q" * 34,
        ),
        train_dataset=rows, eval_dataset=rows, data_collator=EncodedTextCollator(),
        processing_class=tiny_stack[1], label_names=LABELS,
        publish_options={"license": "mit", "languages": ["ar"], "plots": False},
    )  # fmt: skip
    trainer.args.push_to_hub = True  # with each checkpoint, which would go up whole
    trainer.train()
    figures = trainer.evaluate()
    assert (output / "checkpoint-1").is_dir()
    publication = trainer.push_to_hub(dry_run=True)
    paths = {file.path for file in publication.files}
    assert not [path for path in paths if "checkpoint" in path or path.endswith((".bin", ".pt"))]
    assert {"README.md", "model.safetensors", "handler.py", "training_args.json"} <= paths
    scores = looked_at["results"]["systems"]["model"]["validation"]
    assert scores["jaccard"]["mean"] == figures["eval_jaccard"]
    assert "best on these very texts" in looked_at["card"]
    assert looked_at["training_args"]["max_steps"] == 1
    assert "hf_q" not in json.dumps(looked_at["training_args"])
    assert not (output / "README.md").exists()


def test_a_student_needs_no_remote_code(
    student_run_folder: Path, looked_at: dict[str, Any], tmp_path: Path
) -> None:
    run = Path(shutil.copytree(student_run_folder, tmp_path / "student"))
    publication = publish(run, "user/mini", teacher="user/emotions", **OPTIONS)
    assert looked_at["remote_code"] is False
    assert "user/emotions" in looked_at["card"]
    assert not [file.path for file in publication.files if file.path.endswith(".py")]
    results = json.loads((run / "results.json").read_text())
    results["teacher"]["source"] = "lab/a-stack"
    (run / "results.json").write_text(json.dumps(results))
    publish(run, "user/mini", **OPTIONS)
    assert "- lab/a-stack\n" in looked_at["card"].split("---")[1]
    with pytest.raises(UserError, match="is a student"):
        publish(run, "user/mini", student="user/other", **OPTIONS)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"license": None}, "no default license"),
        ({"license": "other"}, "--license-name"),
        ({"languages": None}, "--language"),
        ({"repo_id": "emotions"}, "user/name"),
        ({"teacher": "a/b/c"}, "no repository id"),
        ({"teacher": "a/b"}, "is a stack"),
        ({"base_models": {"nobody": "a/b"}}, "nobody"),
        ({"label_definitions": {"envy": "wanting"}}, "envy"),
    ],
)
def test_mistakes_are_told(
    change: dict[str, Any], told: str, run: Path, looked_at: dict[str, Any]
) -> None:
    options = {"run": run, "repo_id": "user/emotions", **OPTIONS, **change}
    with pytest.raises((UserError, ValueError), match=told):
        publish(**options)


def test_the_command_line(
    run: Path, looked_at: dict[str, Any], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    command = ["publish", str(run), "--repo-id", "user/emotions", "--language", "ar"]
    assert main(command) == 2
    assert "base model lab/zeta-base" in capsys.readouterr().err
    definitions = tmp_path / "definitions.json"
    definitions.write_text('{"joy": "being glad | happy"}')
    options = [
        "--license", "mit", "--dry-run", "--no-plots", "--definitions", str(definitions),
        "--example", "يا سلام", "--base-model", "mid=lab/other", "--student", "user/mini",
    ]  # fmt: skip
    assert main([*command, *options]) == 0
    printed = capsys.readouterr().out
    assert "Nothing was uploaded" in printed
    assert "model.safetensors" in printed
    assert "being glad \\| happy" in looked_at["card"]
    assert "يا سلام" in looked_at["card"]
    assert "lab/other" in looked_at["card"]
    assert main([*command, "--license", "mit", "--base-model", "mid"]) == 2
    assert "ENCODER=USER/NAME" in capsys.readouterr().err


def test_on_a_terminal_the_license_is_asked_for(
    run: Path,
    looked_at: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown = Terminal()
    monkeypatch.setattr("sys.stdin", Terminal("cc-by-4.0\n"))
    monkeypatch.setattr("sys.stderr", shown)
    command = ["publish", str(run), "--repo-id", "user/emotions", "--language", "ar"]
    assert main([*command, "--dry-run", "--no-plots"]) == 0
    assert "base model lab/zeta-base" in shown.getvalue()
    assert "license: cc-by-4.0" in looked_at["card"]


def test_the_metric_has_a_dry_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["publish-metric", "--repo-id", "user/emotion_scores", "--dry-run"]) == 0
    assert "emotion_scores.py" in capsys.readouterr().out
    with pytest.raises(UserError, match="scores"):
        publish_metric("user/scores", dry_run=True)
