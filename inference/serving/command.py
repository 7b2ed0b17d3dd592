"""`stacked-emotion serve`: the options, the token, and the processes."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import tempfile
from functools import partial
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from ...common.command_line import USER_MISTAKE, Parser
from ...common.errors import UserError
from ..command import add_runtime_options, runtime_given
from ..limits import Limits

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from .app import ServiceSettings

TOKEN = "STACKED_EMOTION_TOKEN"
SHORTEST_TOKEN = 16
_BACKLOG = 2048
KERNELS = "64"
"""Kernels that oneDNN keeps. By default it keeps 1,024, one per layer and shape of a batch, so a
server's memory grows for hours. With 64, the time per text is the same."""
STOP_SECONDS = 60
"""How long a stop waits for clients that do not take their answers."""


def add_serve_options(parser: Parser) -> None:
    """Declare the options of `serve`; nothing heavy is imported."""
    limits = Limits()
    parser.set_defaults(run=run_serve)
    parser.add_argument("model", metavar="MODEL", help="folder of a model or run, or Hub ID")
    add_runtime_options(parser, "float32", "torch, or ONNX Runtime for --dtype int8")
    network = parser.add_argument_group("network")
    network.add_argument("--host", default="127.0.0.1", help="address to listen on")
    network.add_argument("--port", type=int, default=8080, help="port to listen on; 0: a free one")
    network.add_argument(
        "--token_file", metavar="FILE",
        help=f"file with the bearer token that clients send; or set the variable {TOKEN}",
    )  # fmt: skip
    load = parser.add_argument_group("load")
    load.add_argument("--workers", type=int, default=1, help="processes on the port")
    load.add_argument(
        "--queue", type=int, default=256, help="texts that may wait per worker; more get status 429"
    )
    load.add_argument("--max_texts", type=int, default=limits.texts, help="texts per request")
    load.add_argument(
        "--max_characters", type=int, default=limits.characters, help="characters per text"
    )
    load.add_argument(
        "--max_bytes", type=int, default=limits.size, help="bytes of all texts of a request"
    )
    load.add_argument(
        "--max_explained_words", type=int, default=limits.explained_words,
        help="words of a request to explain",
    )  # fmt: skip


def run_serve(options: argparse.Namespace) -> int:
    """Serve until the process is told to stop.

    Raises:
        UserError: options that do not fit together, a missing package, or a port in use.
    """
    from ..backends.openvino import export_for
    from ..model_files import ModelFiles, local_folder

    numbers = ("workers", "queue", "max_texts", "max_characters", "max_bytes")
    for name in numbers:
        if getattr(options, name) < 1:
            raise UserError(f"--{name} is {getattr(options, name)}; it must be at least 1.")
    if not 0 <= options.port < 1 << 16:
        raise UserError(f"--port is {options.port}; it must be in 0..65535.")
    if options.queue < options.max_texts:
        raise UserError(
            f"--queue {options.queue} is less than the {options.max_texts} texts that a request "
            "may have (--max_texts)."
        )
    local_folder(options.model, options.revision)
    for package in ("starlette", "uvicorn", "prometheus_client"):
        if find_spec(package) is None:
            raise UserError(f"serve needs {package}: pip install 'stacked_emotion[serve]'.")
    token = read_token(options.token_file)
    if token is None and not is_loopback(options.host):
        raise UserError(
            f"--host {options.host} can be reached from other machines, so clients need a token: "
            f"set the variable {TOKEN}, or give --token_file."
        )
    backend = options.backend
    if backend == "auto" and options.dtype == "int8":
        backend = "onnx"
    if backend in ("onnx", "openvino"):
        files = ModelFiles(options.model, options.revision)
        files.graph(*export_for(files, backend, options.dtype))
    return _serve(options, token)


def read_token(file: str | None) -> str | None:
    """The bearer token of a file or of the environment; None where neither has one.

    Raises:
        UserError: the file cannot be read, or the token is too short or not plain ASCII.
    """
    source = f"--token_file {file}" if file else f"The variable {TOKEN}"
    try:
        token = Path(file).read_text("utf-8").strip() if file else os.environ.get(TOKEN)
    except (OSError, ValueError) as error:
        kind = getattr(error, "strerror", None) or "it is not text"
        raise UserError(f"{source} cannot be read: {kind}.") from None
    if token is None:
        return None
    if len(token) < SHORTEST_TOKEN or not all("!" <= letter <= "~" for letter in token):
        raise UserError(
            f"{source} must hold at least {SHORTEST_TOKEN} printable ASCII characters without "
            "blanks. `openssl rand -hex 32` makes a good token."
        )
    return token


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens on `host`.

    Raises:
        UserError: there is no such host.
    """
    try:
        found = socket.getaddrinfo(host, None) if host else []
    except OSError as error:
        raise UserError(f"--host {host}: {error.strerror}.") from None
    return bool(found) and all(ip_address(str(one[4][0])).is_loopback for one in found)


def _serve(options: argparse.Namespace, token: str | None) -> int:
    from uvicorn import Config, Server
    from uvicorn.config import STARTUP_FAILURE
    from uvicorn.supervisors import Multiprocess

    from .app import ServiceSettings
    from .logs import log_settings, logger
    from .metrics import SHARED

    settings = ServiceSettings(
        options.model,
        runtime_given(options),
        Limits(options.max_characters, options.max_texts, options.max_bytes,
               options.max_explained_words),
        options.queue,
        token,
    )  # fmt: skip
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", KERNELS)
    several = options.workers > 1
    make = partial(make_app, settings, STARTUP_FAILURE if several else USER_MISTAKE)
    with _listening(options.host, options.port) as listener:
        config = Config(
            make, options.host, options.port, factory=True, workers=options.workers,
            log_config=log_settings(), access_log=False, server_header=False, lifespan="on",
            timeout_graceful_shutdown=STOP_SECONDS, timeout_worker_healthcheck=30,
            ws="none", proxy_headers=False, backlog=_BACKLOG,
        )  # fmt: skip
        host, port = listener.getsockname()[:2]
        address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        logger.info("listening", extra={"fields": {"address": address, "workers": options.workers}})
        for number in (signal.SIGTERM, signal.SIGINT):  # what a server does after its stop
            signal.signal(number, lambda *_: sys.exit(0))
        if not several:
            Server(config).run([listener])
            return 0
        with tempfile.TemporaryDirectory(prefix="stacked-emotion-metrics-") as folder:
            os.environ[SHARED] = folder
            os.environ.setdefault("OMP_NUM_THREADS", str(_threads(options.workers)))
            workers = Multiprocess(config, [listener])
            workers.run()
        failed = any(worker.exitcode == STARTUP_FAILURE for worker in workers.processes)
        return USER_MISTAKE if failed else 0


def make_app(settings: ServiceSettings, failure: int) -> Starlette:
    """The application of one worker, which leaves with status `failure` without its model."""
    from .app import Service, create_app
    from .logs import logger

    def fail(error: Exception) -> None:
        if isinstance(error, UserError):
            logger.error(str(error))
        else:
            logger.error("the model cannot be loaded", exc_info=error)
        os._exit(failure)

    return create_app(Service(settings), fail)


def _threads(workers: int) -> int:
    from ..backends.onnx import available_cores

    return max(1, available_cores() // workers)


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens, so that a port in use is found before anything is loaded."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise UserError(f"Cannot listen on {host}:{port}: {error.strerror}.") from None
    listener.set_inheritable(True)
    return listener
