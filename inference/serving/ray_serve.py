"""The same handler as an application of Ray Serve: `serve run recipes/serving/ray.yaml`."""

from __future__ import annotations

import asyncio
from typing import Any

from ray import serve
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

from ..limits import LimitExceeded, Limits
from .app import ServiceSettings, load_handler
from .handler import Request


@serve.deployment
class EmotionService:
    """A replica with one model.

    Args:
        model: folder or Hub ID, the same on every machine.
        limits: fields of `Limits`.
        predictor: options of `StackedEmotionPredictor.from_pretrained`; the default is float32.
    """

    def __init__(self, model: str, limits: dict[str, int] | None = None, **predictor: Any) -> None:
        settings = ServiceSettings(model, {"dtype": "float32", **predictor}, Limits(**limits or {}))
        self.handler = load_handler(settings, lambda scores, seconds: None)

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.0)
    async def rows(self, requests: list[Request]) -> list[Any]:
        """The rows of requests that arrived together; an error where one failed."""
        answers = [asyncio.wrap_future(self.handler.submit(request)) for request in requests]
        return await asyncio.gather(*answers, return_exceptions=True)

    async def __call__(self, http: HttpRequest) -> Response:
        """Answer a request in the shape of the Inference API."""
        try:
            request = self.handler.read(await http.json())
        except LimitExceeded as error:
            return JSONResponse({"error": str(error)}, 413)
        except (ValueError, RecursionError) as error:
            return JSONResponse({"error": str(error)}, 400)
        rows = await self.rows(request)
        if isinstance(rows, Exception):
            return JSONResponse({"error": "The server could not answer this request."}, 500)
        answer = self.handler.listed(rows, request.options)
        return JSONResponse(answer, headers=self.handler.headers(rows))


def application(options: dict[str, Any]) -> serve.Application:
    """What `serve run` starts: `args` of the configuration file are those of `EmotionService`."""
    deployment: Any = EmotionService
    return deployment.bind(**options)
