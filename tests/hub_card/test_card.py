"""Model cards: filled from the run with no blank left, valid for the Hub, and readable."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hub_server.card_yaml import validate_card
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results
from markdown_it import MarkdownIt
from run_folders import BASE_MODELS
from tiny_models import LABELS

from stacked_emotion.common.errors import UserError
from stacked_emotion.hub_card import RunRecord, card_content, terms_of
from stacked_emotion.hub_card.run_model import RunModel

TEXTS = ["فرحان جدا 😍", 'a "quoted" <b>text</b> | with a bar']


def card_of(folder: Path, languages: list[str] | None = None, **options: Any) -> str:
    record = RunRecord.from_folder(folder)
    options = {
        "examples": RunModel.load(record).answers(TEXTS), "plots": ["class_wise_f1"],
        "digest": "d" * 64, "parameters": 123_456, "tag": "v1", **options,
    }  # fmt: skip
    terms = terms_of(record, ask_hub=False)
    return card_content(
        record, "user/emotions", "cc-by-nc-4.0", terms, languages or ["ar"], **options
    ).render()


@pytest.fixture(scope="module")
def stack_card(run_folder: Path) -> str:
    return card_of(run_folder, student="user/emotions-mini")


@pytest.fixture(scope="module")
def student_card(student_run_folder: Path) -> str:
    return card_of(student_run_folder, teacher="user/emotions-stack")


def metadata(card: str) -> dict[str, Any]:
    return yaml.safe_load(card.split("---\n")[1])


@pytest.mark.parametrize("kind", ["stack_card", "student_card"])
def test_no_blank_is_left(kind: str, request: pytest.FixtureRequest) -> None:
    card = request.getfixturevalue(kind)
    body = re.sub(r"```.*?```", "", card.split("---\n", 2)[2], flags=re.DOTALL)
    assert not re.search(r"\{\{|\{%|\bnan\b|\bUndefined\b|\|[ \t]*\|", body)
    assert not re.search(r"\bNone\b", body)
    assert "/home/" not in card
    assert "hf_Z" not in card
    assert "/work/" not in card
    for heading in (
        "How to use it", "Labels", "Results", "Training", "Data and terms",
        "Limits, risks and biases", "Environment", "Citation",
    ):  # fmt: skip
        assert f"\n## {heading}\n" in card


@pytest.mark.parametrize("kind", ["stack_card", "student_card"])
def test_the_hub_takes_the_metadata(kind: str, request: pytest.FixtureRequest) -> None:
    card = request.getfixturevalue(kind)
    assert validate_card(card, "model") == ([], [])
    assert ModelCard(card).data.license == "cc-by-nc-4.0"
    data = metadata(card)
    assert (data["library_name"], data["pipeline_tag"]) == ("transformers", "text-classification")
    assert data["language"] == ["ar"]
    name, results = model_index_to_eval_results(data["model-index"])
    assert name == "emotions"
    assert {result.metric_type for result in results} >= {"jaccard", "micro_f1", "hamming_loss"}


def test_metadata_of_a_stack(stack_card: str) -> None:
    data = metadata(stack_card)
    assert data["base_model"] == sorted(BASE_MODELS.values())
    assert data["base_model_relation"] == "finetune"
    assert "custom_code" in data["tags"]
    assert [entry["text"] for entry in data["widget"]] == TEXTS
    for entry in data["widget"]:
        assert {answer["label"] for answer in entry["output"]} == set(LABELS)
        scores = [answer["score"] for answer in entry["output"]]
        assert scores == sorted(scores, reverse=True)
    assert "https://huggingface.co/user/emotions-mini" in stack_card


def test_a_student_says_where_its_thresholds_come_from(
    student_run_folder: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(student_run_folder, tmp_path / "run"))
    results = json.loads((copy / "results.json").read_text(encoding="utf-8"))
    said = {}
    for source in ("teacher", "labels"):
        results["recipe"]["thresholds_from"] = source
        (copy / "results.json").write_text(json.dumps(results), encoding="utf-8")
        said[source] = " ".join(card_of(copy).split())
    assert "get each label as often as from the teacher" in said["teacher"]
    assert "gives each label as often as its teacher" in said["teacher"]
    assert "chosen on out-of-fold predictions of the training texts" in said["labels"]
    assert "as often as" not in said["labels"]


def test_metadata_of_a_student(student_card: str) -> None:
    data = metadata(student_card)
    assert data["base_model"] == ["lab/mini", "user/emotions-stack"]
    assert "custom_code" not in data["tags"]
    assert data["widget"] == [{"text": text} for text in TEXTS], "the live widget answers itself"
    assert "trust_remote_code=True" not in student_card
    assert "https://huggingface.co/user/emotions-stack" in student_card
    assert '{"anger": 0.5, "fear": 0.6, "joy": 0.4}' in student_card
    assert "hinton2015distilling" in student_card


def test_figures_are_those_of_the_run(stack_card: str, run_folder: Path) -> None:
    record = RunRecord.from_folder(run_folder)
    for metric, title in (("jaccard", "Jaccard"), ("hamming_loss", "Hamming loss")):
        score = record.score("stack", "validation", metric)
        assert score is not None
        row = f"| {title} | {score.mean:.3f} ± {score.std:.3f} | {score.values[0]:.3f} |"
        assert row in stack_card
    for label in LABELS:
        support = record.score("stack", "validation", f"support_{label}")
        f1 = record.score("stack", "validation", f"f1_{label}")
        assert support is not None
        assert re.search(
            rf"\| {label} \| {support.mean:.0f} \|.*\| {re.escape(str(f1))} \|", stack_card
        )
    assert "| stack − zeta | Jaccard |" in stack_card
    assert "| anger | anger, annoyance or rage | 0.500 |" in stack_card
    assert "fear (" in stack_card, "a seldom label is told of"


@pytest.mark.parametrize("kind", ["stack_card", "student_card"])
def test_it_renders(kind: str, request: pytest.FixtureRequest) -> None:
    card = request.getfixturevalue(kind)
    body = card.split("---\n", 2)[2]
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(body)
    separators = len(re.findall(r"(?m)^\|(?: --- \|)+$", body))
    assert html.count("<table>") == separators > 6
    text = re.sub(r"(?s)<pre>.*?</pre>|<[^>]+>", "", html)
    assert "| ---" not in text
    assert "&lt;b&gt;text&lt;/b&gt;" in html, "texts are escaped"
    rows = re.findall(r"(?s)<table>(.*?)</table>", html)
    for table in rows:
        header = table.split("</tr>")[0].count("<th>")
        cells = {row.count("<td>") for row in table.split("</tr>")[1:] if "<td>" in row}
        assert cells == {header}, "no cell is torn apart or missing"


def code_blocks(card: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", card, re.DOTALL)


@pytest.mark.parametrize("kind", ["stack_card", "student_card"])
def test_its_code_compiles_and_pins_the_revision(kind: str, request: pytest.FixtureRequest) -> None:
    blocks = code_blocks(request.getfixturevalue(kind))
    assert len(blocks) >= 3
    for block in blocks:
        compile(block, "card", "exec")
        if "user/emotions" in block:
            assert "<commit>" in block or "**options" in block


def test_a_run_without_scores_says_so(run_folder: Path, tmp_path: Path) -> None:
    import json

    shutil.copytree(run_folder, tmp_path / "run")
    results = {"format": 1, "labels": LABELS}
    (tmp_path / "run/results.json").write_text(json.dumps(results))
    (tmp_path / "run/training_args.json").unlink()
    card = card_of(tmp_path / "run", plots=[], examples=[], digest=None, tag=None)
    assert "Nothing is known of how well it does" in card
    assert not re.search(r"\|[ \t]*\||\bNone\b", re.sub(r"```.*?```", "", card, flags=re.DOTALL))
    assert validate_card(card, "model") == ([], [])


def test_other_license_and_other_languages(run_folder: Path) -> None:
    options = {"license_name": "my terms", "license_link": "https://example.org/terms"}
    record = RunRecord.from_folder(run_folder)
    content = card_content(
        record, "a/b", "other", [*terms_of(record, ask_hub=False)], ["es"], **options
    )
    card = content.render()
    assert "published under [my terms](https://example.org/terms)" in card
    data = metadata(card)
    assert (data["license"], data["license_name"]) == ("other", "my terms")
    assert data["license_link"] == "https://example.org/terms"
    assert "arabic" not in data["tags"]


def mistakes() -> list[tuple[Callable[[RunRecord], Any], str]]:
    return [
        (lambda record: card_content(record, "a/b", "mit", [], None), "language"),
        (lambda record: card_content(record, "a/b", "mit", [], ["Arabic"]), "ISO 639"),
        (
            lambda record: card_content(
                record, "a/b", "mit", [], ["ar"], label_definitions={"envy": "…"}
            ),
            "envy",
        ),
    ]


@pytest.mark.parametrize(("make", "told"), mistakes())
def test_mistakes_are_told(make: Callable[[RunRecord], Any], told: str, run_folder: Path) -> None:
    with pytest.raises((UserError, ValueError), match=told):
        make(RunRecord.from_folder(run_folder))
