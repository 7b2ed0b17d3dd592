"""Paths that people type: folders of runs and of models, and everything that is neither."""

from __future__ import annotations

import io
import json
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from stacked_emotion import Run
from stacked_emotion.cli import main
from stacked_emotion.common.errors import UserError
from stacked_emotion.hub_card import RunRecord, publish
from stacked_emotion.inference import StackedEmotionPredictor, predict_file
from stacked_emotion.inference.model_files import ModelFiles
from stacked_emotion.trainer.distillation.arguments import DistillationArguments
from stacked_emotion.trainer.distillation.student import check_student
from stacked_emotion.trainer.distillation.teacher import Teacher
from stacked_emotion.trainer.encoder_checks import check_encoders


@pytest.fixture
def home(finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with a run in `runs/mine`, which is the working folder too."""
    shutil.copytree(finished_run / "model", tmp_path / "runs/mine/model")
    for name in ("results.json", "recipe.yaml"):
        shutil.copyfile(finished_run / name, tmp_path / "runs/mine" / name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A Hub that hangs up; the first line of each request is noted."""
    noted: list[str] = []
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                line = connection.recv(4096).split(b"\r\n")[0].decode()
                if " /some/" in line:  # not what the client asks for itself
                    noted.append(line)

    threading.Thread(target=serve, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.getsockname()[1]}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", endpoint)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    yield noted
    server.shutdown(socket.SHUT_RDWR)
    server.close()


def test_a_run_is_taken_where_a_model_is(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["runs/mine", "./runs/mine/", str(home / "runs/mine"), "~/runs/mine", "runs/mine/model",
             "runs/../runs/mine/model/"]  # fmt: skip
    for place in given:
        files = ModelFiles(place)
        assert files.folder is not None
        assert files.folder.resolve() == home / "runs/mine/model"
        options = DistillationArguments(model=place, student="some/encoder")
        assert Teacher.load(options).folder.resolve() == home / "runs/mine/model"
        assert RunRecord.from_folder(place).folder.resolve() == home / "runs/mine"
    assert Run("~/runs/mine").folder == home / "runs/mine"
    texts = ["فرحان", "خائف"]
    expected = StackedEmotionPredictor.from_pretrained(home / "runs/mine/model").predict(texts)
    assert StackedEmotionPredictor.from_pretrained("~/runs/mine/").predict(texts) == expected
    assert main(["predict", "--model", "~/runs/mine", *texts]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["labels"] for line in lines] == [one.labels for one in expected]
    Path("texts.csv").write_text("text\nفرحان\nخائف\n", encoding="utf-8")
    report = predict_file("~/runs/mine", "texts.csv", "out.jsonl")
    assert report is not None
    assert report.predicted == 2
    steps: list[str] = []
    publish("~/runs/mine/model/", "user/name", "mit", languages=["ar"], plots=False, dry_run=True,
            report=steps.append)  # fmt: skip
    assert (home / "runs/mine/repository/README.md").is_file()
    assert main(["export", "~/runs/mine"]) == 0
    assert (home / "runs/mine/model/onnx/model.onnx").is_file()


WRONG = {
    "nowhere/at/all": "no such folder",
    "./nowhere": "no such folder",
    "~/nowhere": "no such folder",
    "runs/nowhere": "no such folder",
    "/nowhere/model/": "no such folder",
    "C:\\runs\\mine": "no such folder",
    "runs\\mine": "no such folder",
    "": "no such folder",
    "runs/mine/results.json": "is a file",
}


@pytest.mark.parametrize("place", WRONG)
def test_a_wrong_path_is_told_at_once(
    place: str, home: Path, tries: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    told = WRONG[place]
    Path("texts.csv").write_text("text\nفرحان\n", encoding="utf-8")
    for words in (
        ["predict", "--model", place, "text"],
        ["predict", "--model", place, "--input", "texts.csv", "--output", "out.csv"],
        ["evaluate", "--model", place, "--test_file", "texts.csv"],
        ["check", place],
        ["distill", "--model", place, "--student", place, "--train_file", "texts.csv"],
    ):
        if not place and words[0] == "distill":
            continue
        assert main(words) == 2
        assert told in capsys.readouterr().err, words
    for load in (
        ModelFiles,
        StackedEmotionPredictor.from_pretrained,
        check_student,
        lambda model: Teacher.load(DistillationArguments(model=model or "a\\b", student="a/b")),
    ):
        with pytest.raises(UserError, match=told):
            load(place)
    (check,) = check_encoders({"a": place})
    assert told in check.problems[0]
    assert not tries, "the Hub was not asked"


def test_a_hub_id_is_tried_once(
    home: Path, tries: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for call in (
        lambda: main(["predict", "--model", "some/model", "text"]),
        lambda: main(["check", "some/model"]),
        lambda: main(["distill", "--model", "runs/mine", "--student", "some/model",
                      "--train_file", "texts.csv"]),
    ):  # fmt: skip
        tries.clear()
        assert call() == 2
        said = capsys.readouterr().err
        assert "There is no folder some/model, and config.json of" in said
        assert tries == ["HEAD /some/model/resolve/main/config.json HTTP/1.1"]
    tries.clear()
    (check,) = check_encoders({"a": "some/encoder"})
    assert "There is no folder some/encoder" in check.problems[0]
    assert len(tries) == 1


def test_a_wrong_path_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom stacked_emotion.cli import main\nprint(main(sys.argv[1:]))\n"
        "print([name for name in ('torch', 'transformers') if name in sys.modules])"
    )
    wrong = str(tmp_path / "nowhere")
    for words in (["predict", "--model", wrong, "text"], ["check", wrong]):
        done = subprocess.run(
            [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True
        )
        assert done.stdout.split("\n")[:2] == ["2", "[]"]
        assert "There is no such folder" in done.stderr


def test_no_run_in_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file.txt"
    file.touch()
    for place, told in (
        (tmp_path / "nowhere", "is not there"), (file, "is a file"), (tmp_path, "not a finished"),
    ):  # fmt: skip
        assert main(["publish", str(place), "--repo-id", "a/b", "--license", "mit"]) == 2
        assert told in capsys.readouterr().err


def test_the_end_of_standard_input(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert main(["predict", "--model", "runs/mine"]) == 2
    said = capsys.readouterr().err
    assert "There is nothing to predict" in said
    assert "Traceback" not in said


def test_publish_tells_everything_that_is_missing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(home / "no_token"))
    weights = home / "runs/mine/model/model.safetensors"
    weights.rename(weights.with_name("pytorch_model.bin"))
    with pytest.raises(UserError) as caught:
        publish("runs/mine", "name", label_definitions={"envy": "…"}, plots=False,
                base_models={"nobody": "a/b"})  # fmt: skip
    said = str(caught.value)
    for part in ("Base models are given for ['nobody']", "no safetensors weights", "'name' is not",
                 "no default license", "envy", "You are not logged in"):  # fmt: skip
        assert part in said
