"""The OpenAPI document and the page that shows it, which asks no other host for anything."""

from __future__ import annotations

import json
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from starlette.responses import HTMLResponse

from ...common.files import parse_json
from ..limits import Limits

_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}


@cache
def openapi(limits: Limits) -> dict[str, Any]:
    """The OpenAPI document of a server with these limits."""
    document = parse_json(Path(__file__).with_name("openapi.json"))
    document["info"]["version"] = version("stacked_emotion")
    schemas = document["components"]["schemas"]
    schemas["Text"]["maxLength"] = limits.characters
    for request in ("ClassifyRequest", "PredictRequest"):
        schemas[request]["properties"]["inputs"]["oneOf"][-1]["maxItems"] = limits.texts
    return document


@cache
def docs_page(limits: Limits) -> HTMLResponse:
    """The document as a page to read."""
    from jinja2 import Environment

    def resolved(schema: dict[str, Any]) -> Any:
        found: Any = document
        for part in schema["$ref"].split("/")[1:] if "$ref" in schema else ():
            found = found[part]
        return found if "$ref" in schema else schema

    document = openapi(limits)
    environment = Environment(autoescape=True)
    environment.filters["json"] = lambda value, indent=None: json.dumps(
        value, ensure_ascii=False, indent=indent
    )
    template = Path(__file__).with_name("docs.html.jinja").read_text(encoding="utf-8")
    page = environment.from_string(template).render(api=document, resolved=resolved)
    return HTMLResponse(page, headers=_HEADERS)
