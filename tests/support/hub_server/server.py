"""A Hub on loopback for tests: HTTP, tokens, faults. The routes are in `routes.py`.

Only the standard library (and PyYAML for cards). The real `huggingface_hub` client talks to it from
subprocesses, because it reads `HF_ENDPOINT` when it is imported.
"""

from __future__ import annotations

import secrets
import socket
import struct
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from .messages import Account, Answer, ConnectionCut, Request
from .routes import answer
from .storage import Commit, HubError, Repository, Storage

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass(frozen=True)
class Cut:
    """Break the connection of an upload once the server has read `after_bytes` of it."""

    after_bytes: int
    revoke_url: bool


class HubServer:
    """The server and what tests ask of it.

    Args:
        folder: Where objects are kept.
        accounts: Token to account; by default `hf_test` of `user` (who also writes to the
            organization `lab`) and `hf_other` of `stranger`.
        lfs_threshold_bytes: Files from this size on go through LFS whatever they are called.

    Attributes:
        requests: `METHOD /path` of each request, oldest first: no query, no header, no body.
    """

    def __init__(
        self,
        folder: Path,
        accounts: dict[str, Account] | None = None,
        lfs_threshold_bytes: int = 10 * 2**20,
    ) -> None:
        self.storage = Storage(folder, lfs_threshold_bytes)
        self.accounts = accounts or {
            "hf_test": Account("user", ("user", "lab")),
            "hf_other": Account("stranger", ("stranger",)),
        }
        self.requests: list[str] = []
        self.upload_keys: dict[str, str] = {}
        self._cuts: list[Cut] = []
        self._lock = threading.Lock()
        self._http = _HTTPServer(("127.0.0.1", 0), _Handler)
        self._http.hub = self
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    @property
    def endpoint(self) -> str:
        """The value for `HF_ENDPOINT`."""
        return f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def cut_next_upload(
        self, after_bytes: int, *, times: int = 1, revoke_url: bool = False
    ) -> None:
        """Break the connection in the middle of the next LFS uploads.

        The client retries a broken `PUT` by itself up to five times, after 1, 2, 4, 8 and 8 s, so
        one cut only delays it. With `revoke_url` the upload address has expired by then (403, not
        retried): the upload fails at once, and only repeating the whole call mends it.

        Args:
            after_bytes: Bytes of the body to read before the cut; of a shorter body all is read,
                and the answer is lost.
            times: How many uploads to cut.
            revoke_url: Whether the address of the cut upload is refused from then on.
        """
        with self._lock:
            self._cuts += [Cut(after_bytes, revoke_url)] * times

    def next_cut(self) -> Cut | None:
        """The fault that is due for the upload that begins now."""
        with self._lock:
            return self._cuts.pop(0) if self._cuts else None

    def grant_upload(self, sha256: str) -> str:
        """A key that allows uploads of one object without a token, as a signed address does."""
        key = secrets.token_hex(8)
        self.upload_keys[key] = sha256
        return key

    def repository(self, repo_id: str, kind: str = "model") -> Repository:
        """A repository, past all access control; KeyError if there is none."""
        return self.storage.repositories[kind, repo_id]

    def files(self, repo_id: str, revision: str = "main", kind: str = "model") -> dict[str, bytes]:
        """All files of a revision with their content."""
        tree = self.repository(repo_id, kind).resolve(revision).tree
        objects = self.storage.objects
        return {path: b"".join(objects.read(file.sha256)) for path, file in tree.items()}

    def tamper(
        self,
        repo_id: str,
        path: str,
        content: bytes,
        revision: str = "main",
        kind: str = "model",
    ) -> Commit:
        """Swap a file within an existing commit while its id stays, as a dishonest host could."""
        commit = self.repository(repo_id, kind).resolve(revision)
        swapped = self.storage.regular_file(content)
        if commit.tree[path].lfs:
            swapped = self.storage.lfs_file(swapped.sha256)
        commit.tree[path] = swapped
        return commit


class _HTTPServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    hub: HubServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _HTTPServer

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the test output quiet; `HubServer.requests` is the log."""

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        self.server.hub.requests.append(f"{self.command} {unquote(path)}")
        request = Request(self.server.hub, self, path)
        try:
            try:
                reply = answer(request)
            except HubError as error:
                headers = {"X-Error-Message": error.message, **error.headers}
                if error.code is not None:
                    headers["X-Error-Code"] = error.code
                reply = Answer.json({"error": error.message, **error.body}, error.status, headers)
            request.drain()
            self._send(reply)
        except ConnectionCut:
            self.close_connection = True
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def _send(self, reply: Answer) -> None:
        length = len(reply.body)
        if reply.stored is not None:
            length = reply.stored[2] - reply.stored[1]
        self.send_response(reply.status)
        for name, value in {**reply.headers, "Content-Length": str(length)}.items():
            self.send_header(name, value.encode("ascii", "backslashreplace").decode())
        self.end_headers()
        if self.command == "HEAD":
            return
        if reply.stored is None:
            self.wfile.write(reply.body)
        else:
            for chunk in self.server.hub.storage.objects.read(*reply.stored):
                self.wfile.write(chunk)
