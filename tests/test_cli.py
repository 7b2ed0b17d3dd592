"""The command line: what it prints, what it writes, and its exit codes."""

from __future__ import annotations

import argparse
import errno
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from stacked_emotion import __version__
from stacked_emotion.cli import build_parser, main
from stacked_emotion.common.command_line import run_command
from stacked_emotion.common.settings import keys_of
from stacked_emotion.trainer.arguments import TrainingRecipe
from stacked_emotion.trainer.distillation.arguments import Distillation
from stacked_emotion.trainer.metrics.titles import TITLES

HEAVY = ("torch", "transformers", "datasets", "numpy", "pandas", "huggingface_hub")


def subparsers() -> dict[str, argparse.ArgumentParser]:
    actions = build_parser()._actions
    (commands,) = (entry for entry in actions if isinstance(entry, argparse._SubParsersAction))
    return commands.choices


COMMANDS = sorted(subparsers())


def help_of(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    return capsys.readouterr().out


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "predict" in capsys.readouterr().out
    for command in COMMANDS:
        said = help_of(command, capsys)
        assert said.startswith(f"usage: stacked-emotion {command} ")
        assert "--debug" in said
        assert "default: None" not in said
    assert "port to listen on; 0: a free one; default: 8080" in help_of("serve", capsys)


@pytest.mark.parametrize(
    ("command", "kind"), [("train", TrainingRecipe), ("distill", Distillation)]
)
def test_help_shows_every_default(
    command: str, kind: type, capsys: pytest.CaptureFixture[str]
) -> None:
    by_option = {
        line.split()[0]: line
        for line in help_of(command, capsys).splitlines()
        if line.startswith("  --")
    }
    seen = 0
    for name, (_, about) in keys_of(kind).items():
        default = about.get("default")
        if isinstance(default, bool) or not isinstance(default, (int, float, str)) or default == "":
            continue
        shown = f"{default:g}" if isinstance(default, float) else default
        assert re.search(rf"default:? .*{re.escape(str(shown))}|{re.escape(str(shown))} by default",
                         by_option[f"--{name}"]), name  # fmt: skip
        seen += 1
    assert seen > 15


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_looks_the_same(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = help_of(command, capsys)
    usage, description, listed = said.split("\n\n", 2)
    assert usage.endswith(" [options]")
    assert description[0].isupper()
    assert description.endswith(".")
    for line in listed.splitlines():
        assert len(line) <= 120
        if not line.startswith("  "):
            continue
        shown = re.fullmatch(
            r"  (-h, --help|--[a-z0-9_.]+|[A-Z/]+)( [^a-z ].*?| [a-z0-9|_]+)?( …)?  +(\S.*)", line
        )
        assert shown, line  # one line, one spelling, and a word in capitals or the choices
        assert not shown[4].endswith((".", "…")), line
        assert not re.match("(?!Hub|Markdown)[A-Z][a-z]+ ", shown[4]), line


@pytest.mark.parametrize("command", COMMANDS)
def test_options_are_declared_in_one_spelling(command: str) -> None:
    for name in subparsers()[command]._option_string_actions:
        assert name == "-h" or "-" not in name[2:], name


@pytest.mark.parametrize("command", ["train", "ablate", "tune", "distill"])
def test_help_has_topics_and_a_line_per_option(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = help_of(command, capsys)
    topics = [line for line in said.splitlines() if line.endswith(":") and line[0] != " "]
    assert {"data:", "teacher:" if command == "distill" else "run:"} <= set(topics)
    options = [line for line in said.splitlines() if line.startswith("  --")]
    assert len(options) > 40
    assert all(len(line) <= 120 for line in options)
    listed = [line for line in said.splitlines() if line.startswith("  ")]
    assert all(line.startswith(("  --", "  -h", "  RECIPE")) for line in listed)  # none goes on
    assert "gradient_accumulation_steps" in said.rsplit("\n\n", 1)[-1]
    assert not [line for line in options if "gradient_accumulation" in line]
    assert "default: None" not in said


def test_help_starts_fast() -> None:
    """No help and no version imports a heavy library; each takes a fraction of a second."""
    code = (
        "import sys, resource\n"
        "from stacked_emotion.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules],\n"
        "      resource.getrusage(resource.RUSAGE_SELF).ru_utime, file=sys.stderr)"
    )
    for words in (["--help"], ["--version"], *([command, "--help"] for command in COMMANDS)):
        done = subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True
        )
        imported, seconds = done.stderr.rsplit(maxsplit=1)
        assert imported == "[]", words
        assert float(seconds) < 0.8, words


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"stacked-emotion {__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_both_spellings(command: str) -> None:
    parser = subparsers()[command]
    known = {name: entry for name, entry in parser._option_string_actions.items() if "--" in name}
    assert known
    for name, entry in known.items():
        for spelled in {"--" + name[2:].replace("_", "-"), "--" + name[2:].replace("-", "_")}:
            found, _, value = parser._spelled(f"{spelled}=a-b_c").partition("=")  # type: ignore[attr-defined]
            assert known[found] is entry
            assert value == "a-b_c"


def test_spellings_and_near_misses(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "a/b", "--revision", "x"]) == 2
    assert "--digest" in capsys.readouterr().err
    for spelled in ("--repo-id", "--repo_id"):
        assert main(["publish", "/no/run", spelled, "a/b"]) == 2
        assert "/no/run" in capsys.readouterr().err
    for words, message in (
        (["publish", "r", "--repoid", "a/b"], "--repo_id"),
        (["predict", "--modle", "x", "text"], "--model"),
        (["train", "--head-seed", "3"], "--head_seeds"),
        (["trian"], "train"),
    ):
        assert main(words) == 2
        said = capsys.readouterr().err
        assert message in said
        assert said.startswith("error: ")
        assert said.count("\n") == 1


@pytest.mark.parametrize("place", [0, 1, 3])
def test_debug_shows_the_traceback_of_a_mistake(
    place: int, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "--config", "no_such_recipe"]
    assert main([*words[:place], "--debug", *words[place:]]) == 2
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "error: There is no recipe no_such_recipe" in said


@pytest.mark.parametrize("kind", [ValueError, OSError, KeyError, AssertionError])
def test_a_bug_is_not_printed_as_a_mistake(
    kind: type[Exception], capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        raise kind("inside")

    assert run_command(broken, [], "train") == 1
    said = capsys.readouterr().err
    assert "This is a bug in stacked_emotion" in said
    assert "Traceback (most" not in said
    file = Path(said.rsplit("Traceback: ", 1)[1].strip())
    assert "in broken" in file.read_text(encoding="utf-8")
    file.unlink()
    assert run_command(broken, ["--debug"], "train") == 1
    assert "Traceback (most" in capsys.readouterr().err


def test_a_full_disk_is_not_a_bug(capsys: pytest.CaptureFixture[str]) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/runs/x")

    assert run_command(full, [], "train") == 2
    assert "/runs/x" in capsys.readouterr().err


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
    printed = capsys.readouterr().out
    assert "Computed with torch float32. Texts that were too long and were truncated: 0." in printed
    overall = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in printed.splitlines()
        if line.count("|") == 3
    ]
    names = [title for name, title in TITLES.items() if name != "rare_ap"]
    assert [row[0] for row in overall[2:]] == names, "the names of results.md and the card"
    report = json.loads((tmp_path / "figures.json").read_text())
    assert report["data"]["rows"] == 3
    assert 0 <= report["scores"]["jaccard"] <= 1
    assert overall[2][1] == f"{report['scores']['jaccard']:.4f}"
    assert {"support_joy", "samples_f1", "micro_ap"} <= set(report["scores"])
    assert main([*command, "--dtype", "bfloat16", "--long_texts", "window"]) == 0
    assert "Computed with torch bfloat16 and windows over long texts." in capsys.readouterr().out


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


def test_mistakes_in_paths_are_found_before_torch_is_loaded(
    tiny_stack_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_text("text,joy\nفرحان,1\n", "utf-8")
    (tmp_path / "out.csv").touch()
    model = str(tiny_stack_folder)
    bulk = ["predict", "--model", model, "--input"]
    commands = {
        "out.csv exists": [*bulk, "in.csv", "--output", "out.csv"],
        "the format must be one of": [*bulk, "in.csv", "--output", "out.xlsx"],
        "no.csv: there is no such file": [*bulk, "no.csv", "--output", "new.csv"],
        "no column 'z'": [*bulk, "in.csv", "--text_column", "z", "--output", "new.csv"],
        "no such folder: runs/none": ["export", "runs/none"],
        "each label has one: those of the model": ["evaluate", model, "--test_file", "in.csv"],
        "did you mean 'train'": ["trian"],
        "has no ONNX export": ["serve", model, "--dtype", "int8"],
    }
    code = (
        "import sys\nfrom stacked_emotion.cli import main\n"
        f"assert [main(words) for words in {list(commands.values())}] == [2] * {len(commands)}\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
    for told, line in zip(commands, found.stderr.splitlines(), strict=True):
        assert told in line


def test_the_model_is_taken_as_the_first_word_and_by_its_option(
    tiny_stack_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(tiny_stack_folder)
    assert main(["predict", model, "فرحان"]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == "فرحان"
    for words in (["predict", "a", "b"], ["predict"]):
        assert main(words) == 2
        assert "required: --model" in capsys.readouterr().err
    for words in (["--model", "/no/such/x"], ["--model=/no/such/x"], ["/no/such/x"]):
        for command in ("serve", "export", "check", "publish"):
            more = ["--repo_id", "a/b"] if command == "publish" else []
            assert main([command, *more, *words]) == 2
            assert "/no/such/x" in capsys.readouterr().err
