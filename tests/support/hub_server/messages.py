"""What the HTTP handler and the routes exchange: requests, answers, accounts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from .storage import HubError

if TYPE_CHECKING:
    from .server import HubServer

_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class Account:
    """Who a token belongs to, and the namespaces it reads in private and writes to."""

    name: str
    namespaces: tuple[str, ...]


@dataclass
class Answer:
    """A response: either `body`, or the bytes `[start, stop)` of a stored object."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    stored: tuple[str, int, int] | None = None

    @classmethod
    def json(cls, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
        """A JSON body."""
        headers = {"Content-Type": "application/json; charset=utf-8", **(headers or {})}
        return cls(json.dumps(value).encode(), status, headers)


class ConnectionCut(Exception):
    """The fault of `HubServer.cut_next_upload` has come due."""


class Request:
    """One request as the routes see it."""

    def __init__(self, hub: HubServer, handler: BaseHTTPRequestHandler, path: str) -> None:
        self.hub = hub
        self.method = handler.command
        self.path = path
        self.query = parse_qs(urlsplit(handler.path).query)
        self.headers = handler.headers
        self._stream = handler.rfile
        self._chunked = self.headers.get("Transfer-Encoding", "").lower() == "chunked"
        self._left = int(self.headers.get("Content-Length") or 0)

    def account(self) -> Account | None:
        """Who asks; None without a token.

        Raises:
            HubError: 401 for a token that nobody has.
        """
        header = self.headers.get("Authorization")
        if header is None:
            return None
        account = self.hub.accounts.get(header.removeprefix("Bearer ").strip())
        if account is None:
            raise HubError(401, "Invalid credentials in Authorization header")
        return account

    def chunks(self, limit: int = _CHUNK_BYTES) -> Iterator[bytes]:
        """Yield the body in pieces of at most `limit` bytes."""
        while True:
            if self._chunked and self._left == 0:
                self._left = int(self._stream.readline().split(b";")[0] or b"0", 16)
                if self._left == 0:
                    self._stream.readline()
                    self._chunked = False
            if self._left == 0:
                return
            chunk = self._stream.read(min(self._left, limit))
            if not chunk:
                raise ConnectionCut("the client went away in the middle of the body")
            self._left -= len(chunk)
            if self._chunked and self._left == 0:
                self._stream.readline()
            yield chunk

    def body(self) -> bytes:
        """The rest of the body."""
        return b"".join(self.chunks())

    def drain(self) -> None:
        """Read what no route wanted, so that the connection can be used again."""
        for _ in self.chunks():
            pass

    def json(self) -> Any:
        """The body as JSON, or as a form if that is what was sent; 400 if it is neither."""
        body = self.body()
        if self.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
            return parse_qs(body.decode())
        try:
            return json.loads(body)
        except ValueError as error:
            raise HubError(400, f"The body is not JSON: {error}") from error

    def flag(self, name: str) -> bool:
        """Whether a query parameter is on."""
        return self.query.get(name, ["false"])[0].lower() in ("1", "true")
