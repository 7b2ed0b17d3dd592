"""From a training run to the Hub: model card, plots, publishing and demo app."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..common import lazy_names

_HOMES = {
    "CardContent": "card.content",
    "Publication": "publishing",
    "RunRecord": "run_record",
    "CheckReport": "checking.report",
    "card_content": "card.content",
    "check_model": "checking.check",
    "demo_app": "space.publishing",
    "plot_run": "plots",
    "publish": "publishing",
    "publish_metric": "metric_publishing",
    "publish_space": "space.publishing",
    "terms_of": "card.terms",
    "verify_published": "verification",
}

if TYPE_CHECKING:
    from .card.content import CardContent as CardContent
    from .card.content import card_content as card_content
    from .card.terms import terms_of as terms_of
    from .checking.check import check_model as check_model
    from .checking.report import CheckReport as CheckReport
    from .metric_publishing import publish_metric as publish_metric
    from .plots import plot_run as plot_run
    from .publishing import Publication as Publication
    from .publishing import publish as publish
    from .run_record import RunRecord as RunRecord
    from .space.publishing import demo_app as demo_app
    from .space.publishing import publish_space as publish_space
    from .verification import verify_published as verify_published

__all__ = list(_HOMES)
__getattr__ = lazy_names(__name__, _HOMES)
