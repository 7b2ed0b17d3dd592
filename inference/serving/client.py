"""A small client for servers of text classification that know `/predict`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...common.numerics import sigmoid


def predict(url: str, texts: Sequence[str], token: str | None = None) -> list[dict[str, float]]:
    """Probabilities of every label, from `stacked-emotion serve` or text-embeddings-inference.

    It asks for raw scores and applies the sigmoid itself, because text-embeddings-inference applies
    softmax to every model with several labels unless a request says `raw_scores`. A server that is
    busy or starting (status 429 or 503) is asked again, up to five times.

    Args:
        url: of the server, such as "http://127.0.0.1:8080".
        texts: at most as many as the server takes per request.
        token: bearer token.

    Returns:
        For each text a probability per label, most likely first.

    Raises:
        HfHubHTTPError: the server refuses the request; the message has its reason.

    Example, not run: it needs a server.
        >>> predict("http://127.0.0.1:8080", ["فرحان جدا"])  # doctest: +SKIP
        [{'joy': 0.98, 'anger': 0.01}]
    """
    from huggingface_hub.utils import hf_raise_for_status, http_backoff

    response = http_backoff(
        "POST", f"{url.rstrip('/')}/predict", retry_on_status_codes=(429, 503),
        json={"inputs": [[text] for text in texts], "raw_scores": True},
        headers={} if token is None else {"Authorization": f"Bearer {token}"},
    )  # fmt: skip
    hf_raise_for_status(response)
    rows: list[list[dict[str, Any]]] = response.json()
    return [{one["label"]: float(sigmoid(np.float64(one["score"]))) for one in row} for row in rows]
