"""What `publish` asks for before it starts, on the command line and in Python, without a Hub."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stacked_emotion.cli import main
from stacked_emotion.common.errors import UserError
from stacked_emotion.hub_card import publish, publish_metric

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


def test_a_run_or_its_model_folder(run: Path, looked_at: dict[str, Any]) -> None:
    for folder in (run, run / "model"):
        publication = publish(folder, "user/emotions", **OPTIONS)
        assert publication.commit is None
        assert list(looked_at["results"]["systems"])[-1] == "stack"
        assert "| stack − zeta | Jaccard |" in looked_at["card"]


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
        ({"license": "other"}, "license='other' needs license_name= and license_link="),
        ({"languages": None}, "give its code with languages="),
        ({"repo_id": "emotions"}, "user/name"),
        ({"teacher": "a/b/c"}, "not a repository ID"),
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


def test_everything_missing_is_told_at_once(run: Path, looked_at: dict[str, Any]) -> None:
    results = json.loads((run / "results.json").read_text())
    for name in ("zeta", "mid"):
        results["encoders"][name] = {"source": f"/x/{name}", "source_state": {"fingerprint": "ab"}}
    (run / "results.json").write_text(json.dumps(results))
    with pytest.raises(UserError) as caught:
        publish(run, "emotions", teacher="a/b", label_definitions={"envy": "…"}, dry_run=True)
    told = str(caught.value)
    for part in (
        "5 things to settle", "'emotions' is not a repository ID", "is a stack",
        "no default license",
        "languages=", "envy", "base_models={'zeta': 'USER/NAME', 'mid': 'USER/NAME'}",
    ):  # fmt: skip
        assert part in told
    assert "--" not in told, "a caller from Python reads keywords"
    assert told.splitlines()[-1].startswith("Note: these encoders came from local folders: zeta, ")
    assert "If they are your own, leave that out." in told
    steps: list[str] = []
    publish(run, "user/emotions", **OPTIONS, report=steps.append)
    assert "zeta, mid" in steps[0], "with a license and a language it is a remark"
    assert steps[0].endswith(".")  # no ellipsis behind it on a terminal


def test_the_command_line(
    run: Path, looked_at: dict[str, Any], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    command = ["publish", str(run), "--repo_id", "user/emotions", "--language", "ar"]
    assert main(command) == 2
    assert "base model lab/zeta-base" in capsys.readouterr().err
    definitions = tmp_path / "definitions.json"
    definitions.write_text('{"joy": "being glad | happy"}')
    options = [
        "--license", "mit", "--dry_run", "--no_plots", "--definitions", str(definitions),
        "--example", "يا سلام", "--base_model", "mid=lab/other", "--student", "user/mini",
    ]  # fmt: skip
    assert main([*command, *options]) == 0
    printed = capsys.readouterr().out
    assert "Nothing was uploaded" in printed
    assert "model.safetensors" in printed
    assert "being glad \\| happy" in looked_at["card"]
    assert "يا سلام" in looked_at["card"]
    assert "lab/other" in looked_at["card"]
    assert main([*command, "--license", "mit", "--base_model", "mid"]) == 2
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
    command = ["publish", str(run), "--repo_id", "user/emotions", "--language", "ar"]
    assert main([*command, "--dry_run", "--no_plots"]) == 0
    assert "base model lab/zeta-base" in shown.getvalue()
    assert "license: cc-by-4.0" in looked_at["card"]


def test_the_end_of_the_input_is_no_answer(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Closed(io.StringIO):
        def isatty(self) -> bool:
            return True

    shown = Closed()
    monkeypatch.setattr("sys.stdin", Closed(""))
    monkeypatch.setattr("sys.stderr", shown)
    assert main(["publish", str(run), "--repo_id", "user/emotions", "--language", "ar"]) == 2
    assert "no default license" in shown.getvalue()
    assert "Traceback" not in shown.getvalue()


def test_definitions_that_cannot_be_read(
    run: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    command = ["publish", str(run), "--repo_id", "user/emotions", "--license", "mit", "--dry_run"]
    for content in (None, "{", "[1]", '{"joy": 3}'):
        file = tmp_path / "definitions.json"
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_text(content)
        assert main([*command, "--language", "ar", "--definitions", str(file)]) == 2
        assert "definitions.json" in capsys.readouterr().err


def test_responsible_use_of_a_file(run: Path, looked_at: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "use.md").write_text("For our shop alone.")
    command = ["publish", str(run), "--repo_id", "user/emotions", "--license", "mit", "--dry_run"]
    command += ["--language", "ar", "--no_plots", "--responsible_use", str(tmp_path / "use.md")]
    assert main(command) == 0
    assert "For our shop alone." in looked_at["card"]


def test_the_metric_has_a_dry_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["publish-metric", "--repo_id", "user/emotion_scores", "--dry_run"]) == 0
    assert "emotion_scores.py" in capsys.readouterr().out
    with pytest.raises(UserError, match="scores"):
        publish_metric("user/scores", dry_run=True)
