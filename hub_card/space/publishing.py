"""The demo app on this machine, and as a Space on the Hub."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from ...common.errors import UserError, keywords_named
from ...inference.model_files import CONFIG, ModelFiles
from ..card.content import SYNTHETIC_TAG
from ..card.known_data import Credit, known_data
from ..hub_errors import hub_errors, hub_problem
from ..packaged_files import PACKAGE, needed_files, needed_requirements
from ..run_record import RunRecord
from .static_space import StaticApp, is_student, space_readme, static_folder

SPACE = Path(__file__).parent
INTERFACE = "hub_card/space/interface.py"
"""What the Space imports; the rest of what it needs follows from it."""
SYNTHETIC = (
    "This model was trained on a small synthetic sample with tiny encoders, to show that "
    "everything works. Its answers mean nothing."
)
_WRITTEN = ["stacked_emotion/*", "model/*", "vendor/*"]
"""Folders of a Space that hold nothing but what is written here."""
_COMMIT = re.compile(r"[0-9a-f]{40}")
_NO_GRADIO = "The demo app needs gradio: pip install 'stacked_emotion[space]'."


@dataclass(frozen=True)
class ModelFacts:
    """What the app knows of its model, apart from the model itself.

    Attributes:
        title: the heading.
        language: ISO 639 code of the texts; it decides where the empty box begins.
        examples: texts to try, by caption.
        text_column: the column of texts in the model's data.
        note: a sentence under the heading.
        data: what the training texts are and on what terms.
        figures: what was measured, in sentences.
    """

    title: str
    language: str | None = None
    examples: Mapping[str, str] | None = None
    text_column: str | None = None
    note: str | None = None
    data: str | None = None
    figures: Sequence[str] = ()


def model_facts(model: str, revision: str | None = None, token: str | None = None) -> ModelFacts:
    """What a model's card and the run beside it say.

    Args:
        model: folder of a model, perhaps in the folder of its run, or a Hub ID.
        revision: commit, tag or branch of a Hub ID.
        token: for a private repository.
    """
    files = ModelFiles(model, revision, **({"token": token} if token else {}))
    path = files.folder.resolve() if files.folder else None
    if path is not None and (path.parent / "results.json").is_file():
        record = RunRecord.from_folder(path.parent)
        known = known_data(record)
        return ModelFacts(
            path.parent.name if path.name == "model" else path.name,
            next(iter(known.languages), None),
            known.examples,
            record.text_column,
            SYNTHETIC if record.synthetic else None,
            str(known.credit) or None,
            record.summary,
        )
    card = files.find("README.md")
    header = _front_matter(Path(card).read_text(encoding="utf-8")) if card else {}
    results = files.read_json("results.json") if files.find("results.json") else {}
    recipe = results.get("recipe") or {}
    languages = header.get("language") or [None]
    widget = [entry for entry in header.get("widget") or [] if entry.get("text")]
    return ModelFacts(
        path.name if path else model.split("/")[-1],
        languages if isinstance(languages, str) else languages[0],
        {
            entry.get("example_title") or str(place): entry["text"]
            for place, entry in enumerate(widget, 1)
        },
        recipe.get("text_column"),
        SYNTHETIC if SYNTHETIC_TAG in (header.get("tags") or []) else None,
        str(Credit.of(recipe)) or None,
        [str(text) for text in results.get("summary") or ()],
    )


def _front_matter(card: str) -> dict[str, Any]:
    parts = card.split("---\n", 2)
    try:
        found = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0].strip() else {}
    except yaml.YAMLError:
        found = {}
    return found if isinstance(found, dict) else {}


@keywords_named()
def demo_app(
    model: str | Path,
    revision: str | None = None,
    language: str | None = None,
    host: str = "127.0.0.1",
    port: int | None = None,
    block: bool = True,
) -> Any:
    """Show a model in the browser until interrupted.

    A stack is computed here, by an app of Gradio. A student runs in the browser itself, as in its
    static Space.

    Args:
        model: folder of a model or of the run it came from, or a Hub ID.
        revision: commit, tag or branch of a Hub ID.
        language: ISO 639 code of the texts; by default what the model's card or run says.
        host: address to listen on; only this machine by default.
        port: by default the first free one from 7860 on.
        block: return at once if false; the app then runs in a thread until `.close()`.

    Returns:
        The `gradio.Blocks` that runs, or for a student a `StaticApp`.

    Raises:
        UserError: gradio is not installed, there is no such folder, the port is taken, or a student
            has no exported graph.
    """
    folder = _model_folder(model)
    facts = model_facts(folder, revision)
    facts = replace(facts, language=language or facts.language)
    files, options = ModelFiles(folder, revision), {}
    if is_student(files):
        app: Any = StaticApp(files, facts)
    else:
        if find_spec("gradio") is None:
            raise UserError(_NO_GRADIO)
        from .interface import build_interface, launch_options, load_predictor

        app = build_interface(load_predictor(folder, revision), **asdict(facts))
        options = launch_options()
    try:
        app.launch(
            server_name=host, server_port=port, prevent_thread_lock=True, quiet=True, **options
        )
    except OSError as error:
        raise UserError(
            f"The app cannot listen on {host}:{port or 7860}: {error} Choose another --port."
        ) from error
    if block:
        print(f"The app is at {app.local_url} (Ctrl+C ends it).", flush=True)
        app.block_thread()
    return app


def space_folder(folder: Path, model: str, revision: str, facts: ModelFacts) -> list[str]:
    """Write all files of a Space that shows a model.

    Args:
        folder: where; created if it does not exist.
        model: the model's Hub ID.
        revision: the commit of the model, 40 hexadecimal digits.
        facts: what the app says of the model.

    Returns:
        The files, relative to the folder.

    Raises:
        UserError: a revision that is not a commit, or gradio is not installed.
    """
    if not _COMMIT.fullmatch(revision):
        raise UserError(
            f"A Space shows one commit of the model: give its 40 hexadecimal digits as --revision, "
            f"not {revision!r}."
        )
    if find_spec("gradio") is None:
        raise UserError(_NO_GRADIO)
    code = needed_files([INTERFACE])
    settings = {"model": model, "revision": revision, **asdict(facts)}
    texts = {
        "README.md": space_readme(
            model,
            facts.title,
            (SPACE / "README.md").read_text(encoding="utf-8"),
            sdk="gradio",
            sdk_version=version("gradio"),
            app_file="app.py",
            short_description="The labels of a text, with reasons",
        ),
        "app.py": (SPACE / "app.py").read_text(encoding="utf-8"),
        "requirements.txt": _pinned(needed_requirements(code)),
        "space.json": json.dumps(settings, indent=1, ensure_ascii=False) + "\n",
    }
    for source in code:
        name = f"stacked_emotion/{source.relative_to(PACKAGE).as_posix()}"
        texts[name] = source.read_text(encoding="utf-8")
    for name, text in texts.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    return sorted(texts)


@keywords_named()
def publish_space(
    repo_id: str,
    model: str,
    revision: str | None = None,
    title: str | None = None,
    language: str | None = None,
    note: str | None = None,
    private: bool = False,
    token: str | None = None,
    static: bool = False,
) -> str:
    """Create or renew a Space that shows a published model, in one commit.

    A static Space needs no server: it holds a copy of a student, which runs in the visitor's
    browser.

    Args:
        repo_id: `user/name` of the Space.
        model: the model's Hub ID.
        revision: commit, tag or branch of the model; the Space pins the commit it is now.
        title: the heading; by default the model's name.
        language: ISO 639 code of the texts; by default what the model's card says.
        note: a sentence under the heading.
        private: make the Space private, if it is created.
        token: for both; by default the one you are logged in with.
        static: run a student in the visitor's browser, without a server.

    Returns:
        The address of the Space.

    Raises:
        UserError: the Hub refuses; the message says how to fix it.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    try:
        commit = str(api.model_info(model, revision=revision).sha)
        facts = model_facts(model, commit, token)
    except hub_errors() as error:
        raise hub_problem(error, model, "reading") from error
    facts = replace(
        facts,
        title=title or facts.title,
        language=language or facts.language,
        note=note or facts.note,
    )
    with tempfile.TemporaryDirectory() as temporary:
        if static:
            source = ModelFiles(model, commit, **({"token": token} if token else {}))
            files = static_folder(Path(temporary), source, model, commit, facts)
        else:
            files = space_folder(Path(temporary), model, commit, facts)
        try:
            url = api.create_repo(
                repo_id, repo_type="space", space_sdk="static" if static else "gradio",
                private=private, exist_ok=True,
            )  # fmt: skip
            api.upload_folder(
                repo_id=repo_id, repo_type="space", folder_path=temporary, allow_patterns=files,
                delete_patterns=_WRITTEN, commit_message=f"Show {model} at {commit}",
            )  # fmt: skip
        except hub_errors() as error:
            raise hub_problem(error, repo_id, "uploading to") from error
    return str(url)


def _model_folder(model: str | Path) -> str:
    """The folder with the model of a model or run folder; a Hub ID as it is."""
    path = Path(model).expanduser()
    if not path.exists():
        if str(model).count("/") > 1 or str(model).startswith((".", "/", "~")):
            raise UserError(f"There is no folder {model}.")
        return str(model)
    folder = path if (path / CONFIG).is_file() else path / "model"
    if not (folder / CONFIG).is_file():
        raise UserError(f"{model} is not a model: neither it nor its model/ has a {CONFIG}.")
    return str(folder)


def _pinned(requirements: list[str]) -> str:
    """Requirements at the versions that this machine has."""
    names = [re.split(r"[<>=!~;\[ ]", line)[0] for line in requirements]
    return "".join(f"{name}=={version(name).split('+')[0]}\n" for name in names)
