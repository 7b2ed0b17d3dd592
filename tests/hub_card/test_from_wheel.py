"""What is published runs alone: written from a wheel, used where only it can be imported."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from from_wheel import run_isolated
from tiny_models import LABELS, ROOT

from stacked_emotion.hub_card.packaged_files import (
    PACKAGE,
    needed_files,
    needed_requirements,
    remote_code,
)

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TEXTS = ["فرحان جدا 😍", "a b c", ""]
NOT_IN_A_SPACE = ("accelerate", "datasets", "evaluate", "sklearn", "matplotlib", "pyarrow")
NOT_ON_AN_ENDPOINT = (*NOT_IN_A_SPACE, "jinja2", "gradio", "pandas")


@pytest.fixture(scope="module")
def published(
    from_wheel: Path, run_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The folders that the wheel's package wrote: a repository and a Space."""
    work = tmp_path_factory.mktemp("published")
    run = shutil.copytree(run_folder, work / "arabic")
    code = """
        import pathlib
        from stacked_emotion.hub_card import publish
        from stacked_emotion.hub_card.space.publishing import ModelFacts, space_folder
        publication = publish(given["run"], "user/emotions", "mit", languages=["ar"], dry_run=True)
        facts = ModelFacts("Emotions", "ar", {"one": "فرحان"}, "Tweet", "A toy.")
        space_folder(pathlib.Path("space"), "user/emotions", given["commit"], facts)
        give(str(publication.folder))
    """
    found = run_isolated(work, code, from_wheel, run=str(run), commit=COMMIT)
    return {"repository": Path(found), "space": work / "space"}


def expected(tiny_stack: Any) -> torch.Tensor:
    model, tokenizer = tiny_stack
    with torch.no_grad():
        return model(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits


def test_the_space_runs_on_its_own_copy(
    published: dict[str, Any], tiny_stack_folder: Path, tiny_stack: Any, tmp_path: Path
) -> None:
    pytest.importorskip("gradio")
    space = Path(shutil.copytree(published["space"], tmp_path / "space"))
    settings = json.loads((space / "space.json").read_text(encoding="utf-8"))
    assert settings["revision"] == COMMIT
    settings |= {"model": str(tiny_stack_folder), "revision": None}
    (space / "space.json").write_text(json.dumps(settings), encoding="utf-8")
    code = """
        sys.path.insert(0, given["space"])
        import app
        from stacked_emotion.hub_card.space.interface import DemoApp
        shown = DemoApp(app.load_predictor(app.model), "Tweet")
        *_, ranked = shown.analyze("فرحان جدا 😍")
        pathlib = __import__("pathlib")
        pathlib.Path("mine.csv").write_text("Tweet\\nفرحان\\n")
        *_, answers = shown.answer_file("mine.csv")
        probabilities = shown.predictor.predict_proba(given["texts"]).tolist()
        give([type(app.demo).__name__, ranked, answers, probabilities])
    """
    kind, ranked, answers, found = run_isolated(
        tmp_path, code, space, NOT_IN_A_SPACE, space=str(space), texts=TEXTS
    )
    assert kind == "Blocks"
    assert sorted(ranked) == sorted(LABELS)
    assert answers.startswith("Tweet,labels,score_joy")
    torch.testing.assert_close(
        torch.tensor(found), torch.sigmoid(expected(tiny_stack)), atol=1e-5, rtol=0
    )


def test_the_repository_loads_without_the_package(
    published: dict[str, Any], tiny_stack: Any, tmp_path: Path
) -> None:
    code = """
        import torch
        from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer
        from transformers import pipeline
        folder, trust = given["repository"], {"trust_remote_code": True}
        tokenizer = AutoTokenizer.from_pretrained(folder, **trust)
        model = AutoModelForSequenceClassification.from_pretrained(folder, **trust)
        AutoModel.from_pretrained(folder, **trust)
        with torch.no_grad():
            logits = model(**tokenizer(given["texts"], padding=True, return_tensors="pt")).logits
        classify = pipeline("text-classification", model=folder, top_k=None, **trust)
        give([logits.tolist(), len(classify(given["texts"])[0]), model.decide(logits).tolist()])
    """
    folder = str(published["repository"])
    logits, labels, given = run_isolated(
        tmp_path, code, None, NOT_ON_AN_ENDPOINT, repository=folder, texts=TEXTS
    )
    torch.testing.assert_close(torch.tensor(logits), expected(tiny_stack), atol=1e-5, rtol=0)
    assert labels == len(LABELS)
    assert given == tiny_stack[0].decide(expected(tiny_stack)).tolist()


def test_the_handler_answers_without_the_package(
    published: dict[str, Any], tiny_stack: Any, tmp_path: Path
) -> None:
    code = """
        sys.path.insert(0, given["support"])
        from endpoint_server import load_handler
        handler = load_handler(given["repository"])
        plain = handler({"inputs": given["texts"]})
        explained = handler({"inputs": given["texts"][0], "parameters": {"explain": True}})
        give([plain, explained])
    """
    folder, support = str(published["repository"]), str(ROOT / "tests/support")
    plain, explained = run_isolated(
        tmp_path, code, None, NOT_ON_AN_ENDPOINT, repository=folder, support=support, texts=TEXTS
    )
    rows = [{entry["label"]: entry["score"] for entry in row} for row in plain]
    found = torch.tensor([[row[label] for label in LABELS] for row in rows])
    torch.testing.assert_close(found, torch.sigmoid(expected(tiny_stack)), atol=1e-5, rtol=0)
    assert all(entry["words"] for entry in explained[0])


def test_a_copy_that_misses_a_module_is_noticed(published: dict[str, Any], tmp_path: Path) -> None:
    """The guard lets no editable install step in."""
    space = Path(shutil.copytree(published["space"], tmp_path / "space"))
    (space / "stacked_emotion/inference/decisions.py").unlink()
    code = "import stacked_emotion.hub_card.space.interface\ngive(1)"
    with pytest.raises(AssertionError, match=r"stacked_emotion\.inference\.decisions"):
        run_isolated(tmp_path, code, space)


def test_what_is_needed_follows_from_imports() -> None:
    space = {file.relative_to(PACKAGE).as_posix() for file in needed_files(
        ["hub_card/space/interface.py"]
    )}  # fmt: skip
    assert {
        "inference/decisions.py",
        "hub_card/space/style.css",
        "inference/predictor.py",
    } <= space
    assert not [name for name in space if name.startswith(("trainer/", "hub_card/card/"))]
    handler = needed_files(["inference/serving/handler.py"], packages=False)
    needed = ["decisions_stacked_emotion.py", "handler.py", "limits.py"]
    assert sorted(file.name for file in handler) == needed, "all it needs"
    flat = remote_code()
    assert flat == sorted(PACKAGE.glob("*_stacked_emotion.py"))
    for files in (flat, handler, needed_files(["hub_card/space/interface.py"])):
        wanted = set(needed_requirements(files))
        assert {"torch>=2.13", "transformers>=5.23"} <= wanted
        assert not [line for line in wanted if line.startswith(("datasets", "accelerate"))]
    card = needed_files(["hub_card/card/sections.py"])
    assert PACKAGE / "trainer/losses/__init__.py" in card, "import_module with a name counts"


def test_a_module_that_is_not_there_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one.py").write_text("def f():\n    from .two import x\n")
    monkeypatch.setattr("stacked_emotion.hub_card.packaged_files.PACKAGE", tmp_path)
    with pytest.raises(FileNotFoundError, match="two"):
        needed_files(["one.py"], packages=False)
