"""The command line: what it prints, what it writes, and its exit codes."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from stacked_emotion.cli import main


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "predict" in capsys.readouterr().out
    for command in ("demo", "evaluate", "predict", "train"):
        with pytest.raises(SystemExit) as stop:
            main([command, "--help"])
        assert stop.value.code == 0
        assert "--" in capsys.readouterr().out


def test_predict_texts(tiny_stack_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(tiny_stack_folder)
    assert main(["predict", "--model", model, "فرحان", "خائف"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["text"] for row in rows] == ["فرحان", "خائف"]
    assert set(rows[0]["scores"]) == {"joy", "anger", "fear"}
    assert main(["predict", "--model", model, "--format", "bars", "فرحان"]) == 0
    assert "joy" in capsys.readouterr().out


def test_explain(tiny_stack_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["predict", "--model", str(tiny_stack_folder), "--explain"]
    assert main([*command, "فرحان جدا"]) == 0
    assert "فرحان" in capsys.readouterr().out
    for method in ("occlusion", "gradient"):
        options = ["--label", "anger", "--explain_by", method, "--format", "jsonl"]
        assert main([*command, *options, "فرحان <b>", "خائف"]) == 0
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [row["text"] for row in rows] == ["فرحان <b>", "خائف"]
        assert {(row["label"], row["method"]) for row in rows} == {("anger", method)}
        for row in rows:
            assert all(row["text"][w["start"] : w["end"]] == w["word"] for w in row["words"])
    assert main([*command, "--format", "html", "فرحان <b>", "خائف"]) == 0
    page = capsys.readouterr().out
    assert page.startswith("<!doctype html>")
    assert page.count('<p dir="rtl"') == 2
    assert "<b>" not in page


def test_lines_of_standard_input(
    tiny_stack_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("فرحان\r\n\nخائف"))
    assert main(["predict", "--model", str(tiny_stack_folder)]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["text"] for row in rows] == ["فرحان", "", "خائف"]


def test_predict_file(tiny_stack_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("id,text\n1,فرحان\n2,خائف\n", encoding="utf-8")
    command = ["predict", "--model", str(tiny_stack_folder), "--input", str(tmp_path / "in.csv"),
               "--output", str(tmp_path / "out.csv")]  # fmt: skip
    assert main(command) == 0
    lines = (tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "id,text,labels,score_joy,score_anger,score_fear"
    assert len(lines) == 3


def test_evaluate(
    tiny_stack_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "test.csv").write_text(
        "text,joy,anger,fear\nفرحان,1,0,0\nخائف,0,0,1\nغاضب,0,1,0\n", encoding="utf-8"
    )
    command = ["evaluate", "--model", str(tiny_stack_folder), "--test_file",
               str(tmp_path / "test.csv"), "--output", str(tmp_path / "figures.json")]  # fmt: skip
    assert main(command) == 0
    assert "| jaccard |" in capsys.readouterr().out
    report = json.loads((tmp_path / "figures.json").read_text())
    assert report["data"]["rows"] == 3
    assert 0 <= report["scores"]["jaccard"] <= 1
    assert "support_joy" in report["scores"]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            ["predict", "--model", "{model}", "--input", "nowhere.csv", "--output", "o.csv"],
            "nowhere",
        ),
        (["predict", "--model", "{model}", "--input", "in.csv"], "--output"),
        (["predict", "--model", "/no/such/folder", "text"], "/no/such/folder"),
        (["predict", "--model", "{model}", "--format", "html", "text"], "--explain"),
        (["predict", "--model", "{model}", "--label", "joy", "text"], "--explain"),
        (["predict", "--model", "{model}", "--explain", "--label", "jo", "text"], "'joy'"),
        (["evaluate", "--model", "{model}", "--test_file", "nowhere.csv"], "nowhere.csv"),
        (["train", "--config", "no_such_recipe"], "no_such_recipe"),
        (["train", "--output_dir", "x"], "train_file"),
    ],
)
def test_mistakes_exit_with_2_and_no_traceback(
    command: list[str], message: str, tiny_stack_folder: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main([word.format(model=tiny_stack_folder) for word in command]) == 2
    said = capsys.readouterr().err
    assert "error:" in said
    assert message in said
    assert "Traceback" not in said
