"""The demo app's doors: what starts it, and the Space that needs nothing of this package."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from stacked_emotion.cli import main
from stacked_emotion.common.errors import UserError
from stacked_emotion.hub_card import publish
from stacked_emotion.hub_card.space.browser_library import FILES, browser_library
from stacked_emotion.hub_card.space.publishing import (
    SPACE,
    SYNTHETIC,
    ModelFacts,
    _model_folder,
    model_facts,
    space_folder,
)
from stacked_emotion.hub_card.space.static_space import static_folder
from stacked_emotion.inference.model_files import ModelFiles
from stacked_emotion.trainer.running import provenance

FACTS = ModelFacts("emotions", "en", {"one": "a text"}, "Tweet", "A toy.")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_a_space_holds_what_it_needs(tmp_path: Path) -> None:
    pytest.importorskip("gradio")

    files = space_folder(tmp_path, "user/emotions", COMMIT, FACTS)
    found = [
        path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()
    ]
    assert sorted(found) == files
    assert not [name for name in files if "cache" in name or name.endswith((".pyc", ".jsonl"))]
    _, front, body = (tmp_path / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    header = yaml.safe_load(front)
    assert header["sdk"] == "gradio"
    assert header["app_file"] == "app.py"
    assert header["models"] == ["user/emotions"]
    assert len(header["short_description"]) <= 60
    assert "user/emotions" in body
    settings = json.loads((tmp_path / "space.json").read_text(encoding="utf-8"))
    assert settings["revision"] == COMMIT
    assert settings["note"] == "A toy."
    assert (settings["text_column"], settings["examples"]) == ("Tweet", {"one": "a text"})
    for line in (tmp_path / "requirements.txt").read_text(encoding="utf-8").splitlines():
        assert "==" in line


def test_a_space_pins_a_commit(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="40 hexadecimal"):
        space_folder(tmp_path, "user/emotions", "main", FACTS)


def test_folders_of_models_and_runs(tmp_path: Path, tiny_stack_folder: Path) -> None:
    assert _model_folder(tiny_stack_folder) == str(tiny_stack_folder)
    assert _model_folder(tiny_stack_folder.parent) == str(tiny_stack_folder)
    assert _model_folder("user/name") == "user/name"
    for wrong in (tmp_path, tmp_path / "missing", "./missing"):
        with pytest.raises(UserError):
            _model_folder(wrong)


def test_a_student_without_a_graph_is_told_of_the_export(
    student_run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(student_run_folder, tmp_path / "run") / "model"
    assert main(["demo-app", str(folder)]) == 2
    told = capsys.readouterr().err
    assert "no onnx/model.onnx" in told
    assert f"stacked-emotion export {folder} --quantize int8" in told


def test_a_stack_is_no_static_page(tiny_stack_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is a stack.*stacked-emotion distill"):
        static_folder(tmp_path, ModelFiles(tiny_stack_folder), "user/name", COMMIT, FACTS)


def test_the_page_runs_no_script_of_others() -> None:
    """The policy names the one script that stands in the page."""
    page = (SPACE / "static/index.html").read_text(encoding="utf-8")
    scripts = re.findall(r"(?s)<script([^>]*)>(.*?)</script>", page)
    inline = [text for _, text in scripts if text]
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()) for text in inline]
    policy = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert re.findall(r"'sha256-([^']+)'", policy[0]) == [digest.decode() for digest in digests]
    assert not re.search(
        r"unsafe-inline|'unsafe-eval'|https?://(?!huggingface\.co|\*\.hf\.co)", page
    )


def test_a_library_that_was_changed_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in FILES:
        (tmp_path / name).write_text("something else")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="npm"):
        browser_library(tmp_path)


def test_the_app_knows_its_model(run_copy: Path, run_folder: Path, tmp_path: Path) -> None:
    """The run's own facts, of a run folder and of a published one; nothing of other use cases."""
    results = json.loads((run_copy / "results.json").read_text(encoding="utf-8"))
    settings = yaml.safe_load((run_copy / "recipe.yaml").read_text(encoding="utf-8"))
    settings["text_column"] = results["recipe"]["text_column"] = "Tweet"
    results["recipe_digest"] = provenance._recipe_digest(results["recipe"] | settings)
    (run_copy / "recipe.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    (run_copy / "results.json").write_text(json.dumps(results), encoding="utf-8")
    facts = model_facts(str(run_copy / "model"))
    assert (facts.title, facts.language, facts.note) == ("run", "ar", SYNTHETIC)
    assert {"Egyptian", "Levantine", "Gulf", "Maghrebi"} <= set(facts.examples or ())
    assert facts.text_column == "Tweet"
    published = publish(run_copy, "user/toy", "mit", dry_run=True, plots=False).folder
    alone = Path(shutil.copytree(published, tmp_path / "alone"))
    found = model_facts(str(alone))
    assert (found.title, found.language, found.note) == ("alone", "ar", SYNTHETIC)
    assert found.examples == facts.examples
    assert found.text_column == "Tweet"

    own = shutil.copytree(run_folder, tmp_path / "reviews")
    facts = model_facts(str(own / "model"))
    assert (facts.language, facts.note, facts.text_column) == (None, None, None)
    assert not facts.examples
    options = {"languages": ["de"], "examples": ["Schön!"], "plots": False, "dry_run": True}
    folder = publish(own, "user/reviews", "mit", **options).folder  # type: ignore[arg-type]
    found = model_facts(str(shutil.copytree(folder, tmp_path / "other")))
    assert (found.language, list((found.examples or {}).values())) == ("de", ["Schön!"])


def test_mistakes_are_told_by_the_command(
    tmp_path: Path,
    tiny_stack_folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert main(["demo-app", str(tmp_path)]) == 2
    assert "config.json" in capsys.readouterr().err
    monkeypatch.setattr("stacked_emotion.hub_card.space.publishing.find_spec", lambda name: None)
    assert main(["demo-app", str(tiny_stack_folder)]) == 2
    assert "stacked_emotion[space]" in capsys.readouterr().err


def test_publishing_a_space(hub_server: Any, tmp_path: Path, tiny_stack_folder: Path) -> None:
    pytest.importorskip("gradio")
    found = hub_server.run(
        tmp_path,
        """
        from huggingface_hub import HfApi
        from stacked_emotion.hub_card import publish_space
        from stacked_emotion.common.errors import UserError
        api = HfApi()
        api.create_repo("user/emotions")
        commit = api.upload_folder(repo_id="user/emotions", folder_path=given["folder"]).oid
        url = publish_space("user/show", "user/emotions", language="en")
        again = publish_space("user/show", "user/emotions")
        space = api.hf_hub_download("user/show", "space.json", repo_type="space")
        try:
            publish_space("user/other", "user/nothing")
            told = ""
        except UserError as error:
            told = str(error)
        give({
            "commit": commit, "url": url, "again": again, "told": told,
            "settings": json.loads(pathlib.Path(space).read_text()),
            "files": api.list_repo_files("user/show", repo_type="space"),
        })
        """,
        folder=str(tiny_stack_folder),
    )
    assert found["settings"]["revision"] == found["commit"]
    assert found["settings"]["language"] is None, "the model has no card that says it"
    assert found["url"] == found["again"]
    assert found["url"].endswith("/spaces/user/show")
    assert "stacked_emotion/hub_card/space/interface.py" in found["files"]
    assert {"README.md", "app.py", "requirements.txt", "space.json"} <= set(found["files"])
    assert "user/nothing" in found["told"]
    assert "Advice" in found["told"]
