"""Nothing of this machine leaves it: paths, names and secrets, in every file that is written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from tiny_models import LABELS
from tiny_runs import tiny_run_options

from stacked_emotion.cli import main as cli
from stacked_emotion.common.errors import UserError
from stacked_emotion.common.privacy import is_hub_id, public_text, public_values, refuse_secrets
from stacked_emotion.hub_card import RunRecord, publish, terms_of
from stacked_emotion.hub_card.space.publishing import model_facts, space_folder

MARKER, HOST, USER = "zq7marker", "zq8host", "zq9user"
SPELLINGS = [
    "./{}", "../{}", "~/{}", "~bob/{}", "/home/{}/enc", "/home/bob/{}/", "runs/{}", "runs/{}/",
    "{}/", "C:\\{}\\enc", "C:/{}/enc", "runs\\{}", "\\\\server\\{}", "file:///home/{}",
    "/home/a b/{}/enc", "{}",
]  # fmt: skip
"""How people write the path of a local folder."""


def marked_run(run_folder: Path, target: Path, spelling: str) -> Path:
    """A run whose every local source, path and secret has the marker in it."""
    run = Path(shutil.copytree(run_folder, target))
    path = spelling.format(MARKER)
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    fingerprint = {"fingerprint": "ab" * 32}
    results["encoders"] = {
        name: {"source": path, "source_state": fingerprint} for name in ("zeta", "alpha", "mid")
    }
    results["teacher"] = {"source": path, "source_state": fingerprint}
    for split in ("train", "validation"):
        results["data"][split]["source"] = f"/home/{MARKER}/tweets.csv"
    results["recipe"] |= {
        "train_file": f"/home/{MARKER}/tweets.csv",
        "encoders": [f"{name}={path}" for name in ("zeta", "alpha", "mid")],
        "output_dir": f"runs/{MARKER}", "encoders_from": f"runs/{MARKER}", "run_name": MARKER,
        "hub_token": MARKER, "my_api_key": MARKER,
        "nested": {"password": MARKER, "cache_dir": path},
        "command": f"train --output_dir /srv/{MARKER}/x --token abc",
        "where": f"{USER}@{HOST}:/home/{MARKER}", "title": f"trained on {HOST} by {USER}",
    }  # fmt: skip
    results["recipe_file"] = f"/home/{MARKER}/recipe.yaml"
    results["note"] = f"copied from /mnt/{MARKER}/old runs/x yesterday"
    results["stages"]["encoders"] = {"zeta": {"final": {"settings": {"source": path}, "log": []}}}
    results["environment"]["host"] = MARKER
    (run / "results.json").write_text(json.dumps(results), encoding="utf-8")
    for name in ("config.json", "tokenizer_config.json"):
        file = run / "model" / name
        content = json.loads(file.read_text(encoding="utf-8")) | {"_name_or_path": path}
        for encoder in (content.get("encoders") or {}).values():
            encoder["_name_or_path"] = path
        file.write_text(json.dumps(content), encoding="utf-8")
    return run


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("stacked_emotion.hub_card.publishing.check_loads", lambda *_, **__: None)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_written_file_has_it(
    spelling: str, run_folder: Path, tmp_path: Path, no_hub: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SECRET_TOKEN", "s3cr3t-of-mine")
    monkeypatch.setattr("socket.gethostname", lambda: HOST)
    monkeypatch.setattr("getpass.getuser", lambda: USER)
    run = marked_run(run_folder, tmp_path / "arabic", spelling)
    plots = spelling == SPELLINGS[0]
    options: dict[str, Any] = {"languages": ["ar"], "dry_run": True, "plots": plots}
    publication = publish(run, "user/emotions", "mit", **options)
    own = [str(tmp_path), str(Path.home()) + "/", HOST, USER, "s3cr3t-of-mine"]
    for file in publication.files:
        content = (publication.folder / file.path).read_bytes()
        for secret in (MARKER, *own):
            assert secret.encode() not in content, (file.path, secret)
    card = (publication.folder / "README.md").read_text(encoding="utf-8")
    assert "base_model" not in card
    assert "| zeta | a local folder |" in card
    assert "data tweets.csv" in card, "the data file keeps its name"


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_local_source_is_asked_for_on_the_hub(
    spelling: str, run_folder: Path, tmp_path: Path
) -> None:
    record = RunRecord.from_folder(marked_run(run_folder, tmp_path / "run", spelling))
    assert record.base_models == {}
    assert record.teacher_id is None
    assert not [term for term in terms_of(record, ask_hub=False) if term.url]


def test_hub_ids_stay() -> None:
    for source in ("user/name", "UBC-NLP/MARBERT", "asafaya/bert-base-arabic"):
        assert is_hub_id(source)
        assert is_hub_id(source, {"commit": None})
        assert public_text(source) == source
    assert is_hub_id("bert-base-uncased", {"commit": "0" * 40})
    assert not is_hub_id("runs/mine", {"fingerprint": None})


@pytest.mark.parametrize(
    "text",
    [
        "https://huggingface.co/user/name", "refs/convert/parquet", "and/or", "</s>", "1/2",
        "a \\b c",
        "SemEvalWorkshop/sem_eval_2018_task_1, subtask5.arabic, train", "author = {K{\\\"o}nig}",
    ],
)  # fmt: skip
def test_what_is_no_path_stays(text: str) -> None:
    assert public_text(text) == text


def test_labels_stay_even_if_they_look_like_paths() -> None:
    labels = ["joy/love", "/home", "~"]
    assert public_values({"labels": labels}, kept=labels) == {"labels": labels}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MY_SECRET", "letmein"),
        ("OPENAI_API_KEY", "abc123def"),
        ("DB_PASSWORD", "hunter2x"),
        ("SOMETHING_ELSE", "Zx8Kq2Lm9Pw4Rt6Yv1Bn"),
    ],
)
def test_secret_variables_are_refused_and_not_repeated(
    name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    (tmp_path / "results.json").write_text(json.dumps({"note": f"I used {value} here"}))
    with pytest.raises(UserError, match=name) as caught:
        refuse_secrets(tmp_path)
    assert value not in str(caught.value)


def test_ordinary_variables_do_not_stop_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_SHA", "0123456789abcdef0123456789abcdef01234567")
    monkeypatch.setenv("MODEL", "bert-base-arabertv02-twitter")
    monkeypatch.setenv("MAX_TOKENS", "100000")
    content = "0123456789abcdef0123456789abcdef01234567 bert-base-arabertv02-twitter 100000"
    (tmp_path / "README.md").write_text(content + " ".join(LABELS))
    refuse_secrets(tmp_path)


def test_a_secret_in_a_field_stops_publishing(
    run_folder: Path, tmp_path: Path, no_hub: None
) -> None:
    run = Path(shutil.copytree(run_folder, tmp_path / "arabic"))
    results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    results["note"] = "hf_" + "Q" * 34
    (run / "results.json").write_text(json.dumps(results), encoding="utf-8")
    with pytest.raises(UserError, match="looks like a secret") as caught:
        publish(run, "user/emotions", "mit", languages=["ar"], dry_run=True, plots=False)
    assert "hf_QQ" not in str(caught.value)


SECRETS = {
    name: f"zq{number}{'Fake' if number % 2 else 'fake'}secret{number}of{number}mine"
    for number, name in enumerate(
        ("HF_TOKEN", "MY_SECRET_TOKEN", "DB_PASSWORD", "OPENAI_API_KEY", "PLAIN", "WANDB_NOTES",
         "AWS_ACCESS_KEY_ID", "http_proxy_login", "RUN_NAME", "TRAINER_AUTH")
    )
}  # fmt: skip


def files_with(folder: Path, words: Iterable[str]) -> dict[str, list[str]]:
    """The files of a folder whose name or content has one of the words."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        content = path.read_bytes() if path.is_file() else b""
        if has := [word for word in words if word.encode() in content or word in name]:
            found[name] = has
    return found


def test_no_file_of_any_command_has_a_secret(
    tiny_encoder_folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    no_hub: None,
) -> None:  # fmt: skip
    """Train, distill, export, publish and the Space, with secrets in the environment."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("socket.gethostname", lambda: HOST)
    monkeypatch.setattr("getpass.getuser", lambda: USER)
    home = tmp_path / "zq4home"
    run, student = home / "run", home / "student"
    assert cli(["train", *tiny_run_options(tiny_encoder_folders, run)]) == 0
    data = tiny_run_options({"zeta": home, "alpha": home}, student)[:8]
    options = [
        "--model", str(run / "model"), "--student", str(tiny_encoder_folders["zeta"]),
        "--output_dir", str(student), "--epochs", "1", "--seeds", "0", "--held_out_folds", "1",
        "--max_length", "40",
    ]  # fmt: skip
    assert cli(["distill", *data, *options]) == 0
    assert cli(["export", str(run)]) == 0
    assert files_with(home, SECRETS.values()) == {}
    private = ["zq4home", HOST, USER, str(Path.home()) + "/", str(tiny_encoder_folders["zeta"])]
    for folder in (run, student):
        publication = publish(
            folder, "user/emotions", "mit", dry_run=True, languages=["ar"], plots=False
        )
        found = files_with(publication.folder, [*SECRETS.values(), *private])
        assert found == {}, folder
    space = home / "space"
    space_folder(space, "user/emotions", "0" * 40, model_facts(str(run / "repository")))
    assert files_with(space, [*SECRETS.values(), *private]) == {}
