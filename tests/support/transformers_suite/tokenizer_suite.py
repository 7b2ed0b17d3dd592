"""transformers' own common tests of tokenizers, on the tokenizer of a stack.

Run by `make test-transformers`; not part of the normal suite.
"""

from __future__ import annotations

import unittest
from typing import Any

from skips import TOKENIZER_SKIPS
from stacks import write_tiny_model
from upstream import use

from stacked_emotion import StackedEmotionForSequenceClassification, StackedEmotionTokenizer

MODELS = write_tiny_model()
use(MODELS)

from tests.test_tokenization_common import TokenizerTesterMixin  # noqa: E402

FOLDER = MODELS / "stacked_emotion" / StackedEmotionForSequenceClassification.__name__


class TestStackedTokenizer(TokenizerTesterMixin, unittest.TestCase):
    """All of upstream's tests on the tokenizer of three encoders."""

    tokenizer_class = StackedEmotionTokenizer
    from_pretrained_id = str(FOLDER)
    test_tokenizer_from_extractor = False

    def setUp(self) -> None:
        for pattern, reason in TOKENIZER_SKIPS.items():
            if self._testMethodName.startswith(pattern):
                self.skipTest(reason)

    def get_clean_sequence(self, tokenizer: Any, *args: Any, **kwargs: Any) -> tuple[str, Any]:
        text = "this is a clean text"
        return text, tokenizer(text, add_special_tokens=False)["input_ids"]


del TokenizerTesterMixin
