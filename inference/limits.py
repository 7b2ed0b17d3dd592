"""How much one request to a service may ask for: the endpoint handler, the app, your own service.

Imports nothing of the package, so that a published repository can hold a copy. Texts in your own
lists and files have no such limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class LimitExceeded(ValueError):
    """A request asks for more than a limit allows; the message says which, in one sentence."""


@dataclass(frozen=True)
class Limits:
    """The limits of one request.

    With the defaults a request takes less than a second of one core. Measured with three small
    encoders (12 layers of width 384 and twice 4 of 256, 50 million weights) in float32, seconds of
    one thread: 8 texts of 10,000 characters 0.7, an explanation of 24 words 0.8, the same in the
    app, with bars and trust, 1.0. Larger models need lower limits, or a GPU.

    Attributes:
        characters: of each text. More than any encoder reads.
        texts: of a request.
        size: bytes of all its texts in UTF-8.
        explained_words: words that an explanation leaves out one by one, in all texts together.
            Each costs as much as one more text.

    Example:
        >>> Limits(texts=1).check(["one", "two"])
        Traceback (most recent call last):
        ...
        stacked_emotion.inference.limits.LimitExceeded: The request has 2 texts; send at most 1.
    """

    characters: int = 10_000
    texts: int = 8
    size: int = 200_000
    explained_words: int = 24

    def check(self, texts: Sequence[str]) -> None:
        """Refuse texts that are too many or too long.

        Raises:
            LimitExceeded: what is too much, and the limit, in one sentence.
        """
        if len(texts) > self.texts:
            raise LimitExceeded(
                f"The request has {len(texts):,} texts; send at most {self.texts:,}."
            )
        for position, text in enumerate(texts, 1):
            if len(text) > self.characters:
                which = f"Text {position} of the request" if len(texts) > 1 else "The text"
                raise LimitExceeded(
                    f"{which} has {len(text):,} characters; send at most {self.characters:,}."
                )
        size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
        if size > self.size:
            raise LimitExceeded(
                f"The texts of the request have {size:,} bytes; send at most {self.size:,}."
            )

    def check_explained(self, words: int) -> None:
        """Refuse an explanation of so many words.

        Raises:
            LimitExceeded: the number and the limit, in one sentence.
        """
        if words > self.explained_words:
            raise LimitExceeded(
                f"The texts to explain have {words:,} words; send at most "
                f"{self.explained_words:,} in all."
            )
