"""The demo app on this machine, and as a Space on the Hub."""

from __future__ import annotations

import json
import re
import tempfile
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from ...common.errors import UserError
from ...configuration_stacked_emotion import StackedEmotionConfig
from ..hub_errors import hub_errors, hub_problem

SPACE = Path(__file__).parent
PACKAGE = SPACE.parent.parent
SYNTHETIC = (
    "This model was trained on a small synthetic sample with tiny encoders, to prove that "
    "everything works. Its answers mean nothing."
)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_PACKAGE_FILES = (
    "__init__.py",
    "py.typed",
    "*_stacked_emotion.py",
    "inference/*.py",
    "trainer/__init__.py",
    "trainer/errors.py",
    "hub_card/__init__.py",
    "hub_card/label_definitions.py",
    "hub_card/space/__init__.py",
    "hub_card/space/interface.py",
    "hub_card/space/rendering.py",
    "hub_card/space/uploads.py",
    "hub_card/space/style.css",
)
"""What of this package a Space needs: that code runs there, not that of the model's repository."""


def demo_app(
    model: str | Path,
    revision: str | None = None,
    language: str = "ar",
    host: str = "127.0.0.1",
    port: int | None = None,
    block: bool = True,
) -> Any:
    """Show a model in the browser until interrupted.

    Args:
        model: folder of a model or of the run it came from, or a Hub id.
        revision: commit, tag or branch of a Hub id.
        language: of the texts; it chooses the examples and the empty box's direction.
        host: address to listen on; only this machine by default.
        port: by default the first free one from 7860 on.
        block: return at once if false; the app then runs in a thread until `.close()`.

    Returns:
        The `gradio.Blocks` that runs.

    Raises:
        UserError: gradio is not installed, there is no such folder, or the port is taken.
    """
    if find_spec("gradio") is None:
        raise UserError("The demo app needs gradio: pip install 'stacked_emotion[space]'.")
    from .interface import build_interface, launch_options, load_predictor

    folder, note = _model_folder(model)
    interface = build_interface(
        load_predictor(folder, revision), title=_title(folder), language=language, note=note
    )
    try:
        interface.launch(
            server_name=host, server_port=port, prevent_thread_lock=True, quiet=True,
            **launch_options(),
        )  # fmt: skip
    except OSError as error:
        raise UserError(
            f"The app cannot listen on {host}:{port or 7860}: {error} Choose another --port."
        ) from error
    if block:
        print(f"The app is at {interface.local_url} (Ctrl+C ends it).", flush=True)
        interface.block_thread()
    return interface


def space_folder(
    folder: Path,
    model: str,
    revision: str,
    title: str | None = None,
    language: str = "ar",
    note: str | None = None,
) -> list[str]:
    """Write all files of a Space that shows a model.

    Args:
        folder: where; it is made.
        model: the model's Hub id.
        revision: the commit of the model, 40 hexadecimal digits.
        title: the heading; by default the model's name.
        language: of the texts.
        note: a sentence under the heading.

    Returns:
        The files, relative to the folder.

    Raises:
        UserError: a revision that is no commit, or gradio is not installed.
    """
    if not _COMMIT.fullmatch(revision):
        raise UserError(
            f"A Space shows one commit of the model: give its 40 hexadecimal digits as --revision, "
            f"not {revision!r}."
        )
    if find_spec("gradio") is None:
        raise UserError(
            "A Space names the version of gradio it was tried with: "
            "pip install 'stacked_emotion[space]'."
        )
    title = title or _title(model)
    texts = {
        "README.md": _readme(model, title),
        "app.py": (SPACE / "app.py").read_text(encoding="utf-8"),
        "requirements.txt": _requirements(),
        "space.json": json.dumps(
            {"model": model, "revision": revision, "title": title, "language": language,
             "note": note},
            indent=1, ensure_ascii=False,
        ) + "\n",
    }  # fmt: skip
    for pattern in _PACKAGE_FILES:
        for source in sorted(PACKAGE.glob(pattern)):
            name = f"stacked_emotion/{source.relative_to(PACKAGE).as_posix()}"
            texts[name] = source.read_text(encoding="utf-8")
    for name, text in texts.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return sorted(texts)


def publish_space(
    repo_id: str,
    model: str,
    revision: str | None = None,
    title: str | None = None,
    language: str = "ar",
    note: str | None = None,
    private: bool = False,
    token: str | None = None,
) -> str:
    """Make or renew a Space that shows a published model, in one commit.

    Args:
        repo_id: `user/name` of the Space.
        model: the model's Hub id.
        revision: commit, tag or branch of the model; what it is now is pinned.
        title: the heading; by default the model's name.
        language: of the texts.
        note: a sentence under the heading.
        private: make the Space private, if it is new.
        token: for both; by default the one you are logged in with.

    Returns:
        The address of the Space.

    Raises:
        UserError: the Hub refuses, with how to mend it.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    try:
        commit = api.model_info(model, revision=revision).sha
    except hub_errors() as error:
        raise hub_problem(error, model, "reading") from error
    with tempfile.TemporaryDirectory() as temporary:
        files = space_folder(Path(temporary), model, str(commit), title, language, note)
        try:
            url = api.create_repo(
                repo_id, repo_type="space", space_sdk="gradio", private=private, exist_ok=True
            )
            api.upload_folder(
                repo_id=repo_id, repo_type="space", folder_path=temporary, allow_patterns=files,
                delete_patterns="stacked_emotion/*", commit_message=f"Show {model} at {commit}",
            )  # fmt: skip
        except hub_errors() as error:
            raise hub_problem(error, repo_id, "uploading to") from error
    return str(url)


def _model_folder(model: str | Path) -> tuple[str, str | None]:
    """Folder or Hub id of the model, and what is to be told of it."""
    path = Path(model)
    if not path.exists():
        if str(model).count("/") > 1 or str(model).startswith((".", "/", "~")):
            raise UserError(f"There is no folder {model}.")
        return str(model), None
    folder = path if (path / "config.json").is_file() else path / "model"
    if not (folder / "config.json").is_file():
        raise UserError(f"{model} is no model: there is no config.json in it, nor in its model/.")
    kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    if kind != StackedEmotionConfig.model_type:
        raise UserError(
            f"{model} is a {kind} model; the app shows stacks, with their words and encoders. "
            "For a distilled student use a plain pipeline."
        )
    results = folder.parent / "results.json"
    if not results.is_file():
        return str(folder), None
    from ..run_record import RunRecord

    return str(folder), SYNTHETIC if RunRecord.from_folder(folder.parent).synthetic else None


def _title(model: str | Path) -> str:
    """The model's name; for `runs/arabic/model` that of the run."""
    path = Path(model)
    if path.is_dir():
        path = path.resolve()
        return f"Emotions: {path.parent.name if path.name == 'model' else path.name}"
    return f"Emotions: {str(model).split('/')[-1]}"


def _readme(model: str, title: str) -> str:
    header = {
        "title": title,
        "emoji": "💬",
        "colorFrom": "blue",
        "colorTo": "yellow",
        "sdk": "gradio",
        "sdk_version": version("gradio"),
        "app_file": "app.py",
        "models": [model],
        "license": "apache-2.0",
        "short_description": "Multi-label emotions of a text, with reasons",
    }
    front = yaml.safe_dump(header, allow_unicode=True, sort_keys=False)
    body = (SPACE / "README.md").read_text(encoding="utf-8").replace("{model}", model)
    return f"---\n{front}---\n\n{body}"


def _requirements() -> str:
    """The fixed requirements, with the versions that this machine has."""
    names = (SPACE / "requirements.txt").read_text(encoding="utf-8").split()
    return "".join(f"{name}=={version(name).split('+')[0]}\n" for name in names)
