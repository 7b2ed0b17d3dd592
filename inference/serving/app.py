"""The ASGI application of `stacked-emotion serve`: one worker with one model."""

from __future__ import annotations

import asyncio
import hmac
import json
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..limits import LimitExceeded, Limits
from .logs import logger
from .metrics import Metrics
from .openapi import docs_page, openapi
from .tei import info, to_handler

if TYPE_CHECKING:
    from .handler import Request
    from .predictor_handler import Observer, PredictorHandler

BODY_SECONDS = 30
"""How long a client may take to send its request."""
OPEN = ("/health",)
"""Routes that need no token."""
LOADING = "The model is being loaded."
_WARM = ["a", "نص قصير", "word " * 400]


@dataclass(frozen=True)
class ServiceSettings:
    """What a worker needs to know.

    Attributes:
        model: folder or Hub ID.
        predictor: options of `StackedEmotionPredictor.from_pretrained`.
        limits: of one request.
        queue: texts that may wait in one worker, those being computed included.
        token: bearer token that clients have to send; None for none.
    """

    model: str
    predictor: dict[str, Any] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    queue: int = 256
    token: str | None = field(default=None, repr=False)


def load_handler(settings: ServiceSettings, observe: Observer) -> PredictorHandler:
    """The handler, after it has answered a few texts.

    Raises:
        UserError: the model cannot be loaded.
    """
    from transformers.utils import logging

    from ..model_files import ModelFiles
    from ..predictor import StackedEmotionPredictor
    from .predictor_handler import PredictorHandler

    logging.disable_progress_bar()
    commit = ModelFiles(settings.model, settings.predictor.get("revision")).commit
    options = {**settings.predictor, **({"revision": commit} if commit else {})}
    predictor = StackedEmotionPredictor.from_pretrained(settings.model, **options)
    for _ in range(2):
        predictor.predict_proba(_WARM)
    return PredictorHandler(predictor, settings.limits, observe, commit)


class Refused(Exception):
    """A request that gets an error as its answer."""

    def __init__(self, status: int, kind: str, message: str, retry: int | None = None) -> None:
        super().__init__(message)
        headers = None if retry is None else {"Retry-After": str(retry)}
        self.answer = JSONResponse({"error": message, "error_type": kind}, status, headers)


class Service:
    """The state of one worker.

    Args:
        settings: what to serve.
        load: makes the handler; called in a thread of its own while the server already answers.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        load: Callable[[ServiceSettings, Observer], PredictorHandler] = load_handler,
    ) -> None:
        self.settings, self.load = settings, load
        self.metrics = Metrics()
        self.waiting = 0
        self.handler: asyncio.Future[PredictorHandler] | None = None

    @asynccontextmanager
    async def lifespan(
        self, fail: Callable[[Exception], None], app: Starlette
    ) -> AsyncIterator[None]:
        """Load the model beside the running server."""
        start = time.perf_counter()
        loading = asyncio.to_thread(self.load, self.settings, self.metrics.batch)
        self.handler = asyncio.ensure_future(loading)

        def loaded(done: asyncio.Future[PredictorHandler]) -> None:
            if done.cancelled():
                return
            error = done.exception()
            if isinstance(error, Exception):
                fail(error)
                return
            self.metrics.ready.set(1)
            seconds = round(time.perf_counter() - start, 3)
            backend = done.result().predictor.backend
            logger.info("ready", extra={"fields": {"seconds": seconds, "backend": backend}})

        self.handler.add_done_callback(loaded)
        yield
        self.metrics.ready.set(0)
        self.handler.cancel()

    @property
    def ready(self) -> PredictorHandler | None:
        """The handler, if it is warm."""
        handler = self.handler
        if handler is None or not handler.done() or handler.cancelled() or handler.exception():
            return None
        return handler.result()

    def accept(self, texts: int) -> None:
        """Take so many texts more into the queue.

        Raises:
            Refused: they do not fit.
        """
        if self.waiting + texts > self.settings.queue:
            seconds = math.ceil(self.waiting * self.metrics.seconds_per_text)
            raise Refused(
                429, "overloaded", f"{self.waiting:,} texts are waiting. Try again later.",
                min(max(seconds, 1), 60),
            )  # fmt: skip
        self.leave(-texts)

    def leave(self, texts: int) -> None:
        """Take so many texts out of the queue."""
        self.waiting -= texts
        self.metrics.waiting.set(self.waiting)

    async def predict(self, http: HttpRequest, tei: bool = False) -> Response:
        """Answer a request in the shape of the Inference API, or of text-embeddings-inference."""
        self.accept(1)  # so that only so many bodies are read at a time
        held = 1
        try:
            body = await _body(http, self.settings.limits)
            handler = await self._loaded()
            request, single = _request(handler, body, tei)
            self.accept(len(request.texts) - 1)
            held = http.scope["texts"] = len(request.texts)
            rows = await asyncio.wrap_future(handler.submit(request))
            answer = handler.listed(rows, request.options)
            return JSONResponse(answer[0] if single else answer, headers=handler.headers(rows))
        finally:
            self.leave(held)

    async def _loaded(self) -> PredictorHandler:
        assert self.handler is not None
        try:
            return await asyncio.shield(self.handler)
        except Exception:
            raise Refused(503, "unhealthy", "The model could not be loaded.", 10) from None

    async def health(self, http: HttpRequest) -> Response:
        """200 once the model is warm, 503 before."""
        if self.ready is None:
            raise Refused(503, "unhealthy", LOADING, 1)
        return Response(status_code=200)

    async def info(self, http: HttpRequest) -> Response:
        """What is served, in the shape of text-embeddings-inference."""
        if self.ready is None:
            raise Refused(503, "unhealthy", LOADING, 1)
        return JSONResponse(info(self.ready, self.settings.model, self.settings.queue))

    async def show_metrics(self, http: HttpRequest) -> Response:
        """The figures for Prometheus."""
        return Response(self.metrics.page(), media_type="text/plain; version=0.0.4")


class Gate:
    """Checks the token, answers what is refused or fails, counts and logs every request."""

    def __init__(self, app: ASGIApp, service: Service, routes: frozenset[str]) -> None:
        self.app, self.service, self.routes = app, service, routes
        token = service.settings.token
        self.expected = None if token is None else f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), 0

        async def counted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            self._admit(scope)
            await self.app(scope, receive, counted)
        except Refused as refused:
            await refused.answer(scope, receive, counted)
        except ClientDisconnect:
            status = 499
        except Exception:
            logger.error("failed", exc_info=True)
            if not status:
                failed = Refused(500, "backend", "The server could not answer this request.")
                await failed.answer(scope, receive, counted)
        finally:
            route = scope["path"] if scope["path"] in self.routes else "other"
            self.service.metrics.answered(route, status, start)
            if route not in ("/health", "/metrics"):
                fields = {
                    "method": scope["method"], "route": route, "status": status,
                    "texts": scope.get("texts", 0),
                    "ms": round(1000 * (time.perf_counter() - start), 2),
                }  # fmt: skip
                logger.info("request", extra={"fields": fields})

    def _admit(self, scope: Scope) -> None:
        if self.expected is None or scope["path"] in OPEN:
            return
        given = dict(scope["headers"]).get(b"authorization", b"")
        if not hmac.compare_digest(given, self.expected):
            refused = Refused(401, "unauthorized", "Send the header: Authorization: Bearer TOKEN.")
            refused.answer.headers["WWW-Authenticate"] = "Bearer"
            raise refused


def create_app(service: Service, fail: Callable[[Exception], None]) -> Starlette:
    """The application.

    Args:
        service: the state of this worker.
        fail: is told why the model cannot be loaded.
    """
    routes = [
        Route("/", service.predict, methods=["POST"]),
        Route("/predict", partial(service.predict, tei=True), methods=["POST"]),
        Route("/health", service.health),
        Route("/info", service.info),
        Route("/metrics", service.show_metrics),
        Route("/openapi.json", lambda http: JSONResponse(openapi(service.settings.limits))),
        Route("/docs", lambda http: docs_page(service.settings.limits)),
    ]
    paths = frozenset(route.path for route in routes)
    return Starlette(
        routes=routes,
        middleware=[Middleware(Gate, service=service, routes=paths)],
        exception_handlers={HTTPException: _http_error},
        lifespan=partial(service.lifespan, fail),
    )


async def _body(http: HttpRequest, limits: Limits) -> bytes:
    """The body of a request.

    Raises:
        Refused: it is too large, or comes too slowly.
    """
    most = 6 * limits.size + (1 << 16)  # JSON may escape a byte in six characters
    too_large = Refused(413, "validation", f"The body is too large; send at most {most:,} bytes.")
    length = http.headers.get("content-length", "")
    if length.isdecimal() and int(length) > most:
        raise too_large

    async def read() -> bytes:
        body = bytearray()
        async for chunk in http.stream():
            body += chunk
            if len(body) > most:
                raise too_large
        return bytes(body)

    try:
        return await asyncio.wait_for(read(), BODY_SECONDS)
    except asyncio.TimeoutError:
        raise Refused(408, "validation", f"The body took over {BODY_SECONDS} seconds.") from None


def _request(handler: PredictorHandler, body: bytes, tei: bool) -> tuple[Request, bool]:
    """The request in a body, and whether its answer is that of a single text.

    Raises:
        Refused: it is malformed or beyond a limit.
    """
    try:
        data, single = _parsed(body), False
        if tei:
            data, single = to_handler(data)
        return handler.read(data), single
    except LimitExceeded as error:
        raise Refused(413, "validation", str(error)) from None
    except ValueError as error:
        raise Refused(422 if tei else 400, "validation", str(error)) from None


def _parsed(body: bytes) -> Any:
    with suppress(ValueError, RecursionError):
        return json.loads(body)
    raise ValueError("The body is not valid JSON in UTF-8.")


async def _http_error(http: HttpRequest, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    allowed = (error.headers or {}).get("Allow")
    verb = f" Send a {allowed} request." if allowed else ""
    answer = {"error": f"{error.detail}.{verb} See /docs.", "error_type": "validation"}
    return JSONResponse(answer, error.status_code, error.headers)
