"""How much one request of a service may ask for. Imports nothing, so that any service can use it.

Texts in a file or a list of your own have no such limits.
"""

from __future__ import annotations

from collections.abc import Sequence

MAX_CHARACTERS = 10_000
"""Characters of a text. More than any encoder reads; what is beyond costs tokenization only."""
MAX_TEXTS = 16
"""Texts of a request. Three base encoders in bfloat16 compute about 1,600 positions per second on
two cores: 16 texts of 128 positions take about a second, and 16 tweets a third of it."""


def check_request(
    texts: Sequence[str], max_texts: int = MAX_TEXTS, max_characters: int = MAX_CHARACTERS
) -> None:
    """Refuse a request with too many texts, or too long ones.

    Raises:
        ValueError: what is too much, and the limit.
    """
    if len(texts) > max_texts:
        raise ValueError(f"The request has {len(texts):,} texts; send at most {max_texts:,}.")
    for position, text in enumerate(texts):
        if len(text) > max_characters:
            raise ValueError(
                f"Text {position + 1} of the request has {len(text):,} characters; send at most "
                f"{max_characters:,}."
            )
