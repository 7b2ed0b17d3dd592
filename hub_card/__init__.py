"""From a training run to the Hub: model card, plots, publishing, endpoint handler and demo app."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOMES = {
    "CardContent": "card.content",
    "Publication": "publishing",
    "RunRecord": "run_record",
    "card_content": "card.content",
    "demo_app": "space.publishing",
    "plot_run": "plots",
    "publish": "publishing",
    "publish_metric": "metric_publishing",
    "publish_space": "space.publishing",
    "terms_of": "card.terms",
    "verify_published": "verification",
}

if TYPE_CHECKING:
    from .card.content import CardContent, card_content
    from .card.terms import terms_of
    from .metric_publishing import publish_metric
    from .plots import plot_run
    from .publishing import Publication, publish
    from .run_record import RunRecord
    from .space.publishing import demo_app, publish_space
    from .verification import verify_published

__all__ = [
    "CardContent",
    "Publication",
    "RunRecord",
    "card_content",
    "demo_app",
    "plot_run",
    "publish",
    "publish_metric",
    "publish_space",
    "terms_of",
    "verify_published",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
