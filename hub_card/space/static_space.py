"""The static Space: a student that runs in the visitor's browser, without a server."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
from dataclasses import asdict
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ...common.errors import UserError
from ...common.files import write_json
from ...common.inert_text import one_line
from ...configuration_stacked_emotion import StackedEmotionConfig
from ...inference.decisions import Decision
from ...inference.limits import Limits
from ...inference.model_files import CONFIG, ModelFiles
from .browser_library import FILES, browser_library
from .rendering import meaning, placeholder, side

if TYPE_CHECKING:
    from .publishing import ModelFacts

_HERE = Path(__file__).parent
_PAGE = ("index.html", "app.js", "decisions.js", "model.js", "page.css")
_MODEL = (CONFIG, "tokenizer.json", "tokenizer_config.json")
_GRAPHS = {
    "q8": ("onnx/model_quantized.onnx", "Quantized (int8)"),
    "fp32": ("onnx/model.onnx", "Full precision (fp32)"),
}
"""A student's graphs by dtype in transformers.js: file and title. The first one is preferred."""
_FIRST_PORT, _PORTS = 7860, 100


def is_student(files: ModelFiles) -> bool:
    """Whether a model is no stack but a stock one."""
    return bool(files.read_json(CONFIG).get("model_type") != StackedEmotionConfig.model_type)


def static_folder(
    folder: Path, files: ModelFiles, model: str, revision: str | None, facts: ModelFacts
) -> list[str]:
    """Write a page that runs a student: page, library, model and settings, all in one folder.

    Args:
        folder: where; created if it does not exist.
        files: of the student.
        model: what the page calls it, usually its Hub ID.
        revision: its commit; None for a local one.
        facts: what the page says of the model.

    Returns:
        The files, relative to the folder.

    Raises:
        UserError: the model is a stack or has no exported graph, or the library cannot be fetched.
    """
    config, graphs = files.read_json(CONFIG), _graphs(files)
    with files.reading(CONFIG):
        decision = Decision.from_config(config)
    library = browser_library()
    sources = {name: _HERE / "static" / name for name in _PAGE}
    sources["style.css"] = _HERE / "style.css"
    sources |= {f"vendor/{name}": library / name for name in FILES}
    sources |= {f"model/{name}": Path(files(name)) for name in _MODEL}
    sources |= {f"model/{_GRAPHS[dtype][0]}": path for dtype, path in graphs.items()}
    for name, source in sources.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, folder / name)
    settings = {
        "model": model,
        "revision": revision,
        **asdict(facts),
        "direction": side(facts.language),
        "placeholder": placeholder(facts.language),
        "max_characters": Limits().characters,
        "meaning": meaning(decision),
        "decision": asdict(decision),
        "graphs": [
            {"dtype": dtype, "title": _GRAPHS[dtype][1], "bytes": path.stat().st_size}
            for dtype, path in graphs.items()
        ],
    }
    write_json(folder / "space.json", settings)
    (folder / "README.md").write_text(_static_readme(model, facts.title), encoding="utf-8")
    return sorted([*sources, "space.json", "README.md"])


def _graphs(files: ModelFiles) -> dict[str, Path]:
    """The exported graphs of a student by dtype."""
    if not is_student(files):
        raise UserError(
            f"{files.location} is a stack. A browser runs a student, one stock encoder: make one "
            "with stacked-emotion distill, or leave out --static."
        )
    found = {dtype: files.find(name) for dtype, (name, _) in _GRAPHS.items()}
    graphs = {dtype: Path(path) for dtype, path in found.items() if path}
    if not graphs:
        advice = "stacked-emotion export FOLDER --quantize int8"
        again = "" if files.folder else ", then publish the student again"
        raise UserError(
            f"{files.location} has no {_GRAPHS['fp32'][0]} for the browser: run "
            f"{advice.replace('FOLDER', files.location if files.folder else 'FOLDER')}{again}."
        )
    return graphs


def space_readme(model: str, title: str, body: str, **header: Any) -> str:
    """The README of a Space: what the Hub reads, and a text about the model.

    Args:
        model: the model's Hub ID.
        title: the heading.
        body: the text; `{model}` in it stands for the model.
        **header: further fields, such as `sdk`.
    """
    fields = {
        "title": one_line(title),
        "emoji": "💬",
        "colorFrom": "blue",
        "colorTo": "yellow",
        "models": [model],
        "license": "apache-2.0",
        **header,
    }
    front = yaml.safe_dump(fields, allow_unicode=True, sort_keys=False)
    return f"---\n{front}---\n\n{body.replace('{model}', model)}"


def _static_readme(model: str, title: str) -> str:
    files = "\n".join(
        f"| `vendor/{name}` | {home} | `{digest}` |" for name, (home, _, digest) in FILES.items()
    )
    body = (_HERE / "static" / "README.md").read_text(encoding="utf-8").replace("{files}", files)
    return space_readme(
        model, title, body,
        sdk="static", app_file="index.html",
        short_description="The labels of a text, in your browser",
    )  # fmt: skip


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()


class StaticApp:
    """The static page on this machine; it has the methods of `gradio.Blocks` that are used here.

    Args:
        files: of the student.
        facts: what the page says of the model.

    Attributes:
        local_url: where it is, once it is launched.

    Raises:
        UserError: as `static_folder`.
    """

    local_url = ""

    def __init__(self, files: ModelFiles, facts: ModelFacts) -> None:
        self._folder = tempfile.TemporaryDirectory()
        static_folder(Path(self._folder.name), files, facts.title, None, facts)

    def launch(self, server_name: str, server_port: int | None, **options: Any) -> None:
        """Listen in a thread.

        Args:
            server_name: address to listen on.
            server_port: by default the first free one from 7860 on.
            **options: those of Gradio, without effect.

        Raises:
            OSError: the port is taken.
        """
        self._server = self._listen(server_name, server_port)
        self.local_url = f"http://{server_name}:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def _listen(self, host: str, port: int | None) -> ThreadingHTTPServer:
        handler = partial(_Handler, directory=self._folder.name)
        last = _FIRST_PORT + _PORTS if port is None else port
        for tried in range(_FIRST_PORT, last) if port is None else ():
            with contextlib.suppress(OSError):
                return ThreadingHTTPServer((host, tried), handler)
        return ThreadingHTTPServer((host, last), handler)

    def block_thread(self) -> None:
        """Wait until interrupted."""
        try:
            self._thread.join()
        except KeyboardInterrupt:
            self.close()

    def close(self) -> None:
        """End the server and remove its files."""
        self._server.shutdown()
        self._server.server_close()
        self._folder.cleanup()
