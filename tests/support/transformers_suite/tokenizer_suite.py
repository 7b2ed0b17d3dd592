"""transformers' own common tests of tokenizers, on the tokenizer of a stack.

Run by `make test-transformers`; not part of the normal suite.
"""

from __future__ import annotations

import unittest
from fnmatch import fnmatchcase
from typing import Any

from skips import TOKENIZER_SKIPS
from stacks import write_tiny_models
from upstream import use

from stacked_emotion import StackedEmotionForSequenceClassification, StackedEmotionTokenizer

MODELS = write_tiny_models()
use(MODELS["three"])

from tests.test_tokenization_common import TokenizerTesterMixin  # noqa: E402


def folder_of(kind: str) -> str:
    return str(MODELS[kind] / "stacked_emotion" / StackedEmotionForSequenceClassification.__name__)


class TokenizerTests(TokenizerTesterMixin):
    """All of upstream's tests on the tokenizer of a stack."""

    tokenizer_class = StackedEmotionTokenizer
    test_tokenizer_from_extractor = False

    def setUp(self) -> None:
        for pattern, reason in TOKENIZER_SKIPS.items():
            if fnmatchcase(self._testMethodName, pattern):
                self.skipTest(reason)

    @classmethod
    def get_tokenizer(cls, name: str | None = None, **settings: Any) -> Any:
        settings.pop("do_lower_case", None)  # refused here; no test looks at what it does
        # A stack truncates unless told not to; the tests expect their texts whole.
        return super().get_tokenizer(name, **({"model_max_length": 512} | settings))

    def get_clean_sequence(self, tokenizer: Any, *args: Any, **kwargs: Any) -> tuple[str, Any]:
        text = "this is a clean text"
        return text, tokenizer(text, add_special_tokens=False)["input_ids"]

    def test_internal_consistency(self) -> None:
        """In place of upstream's, which expects one number per token: the first encoder's."""
        tokenizer = self.get_tokenizer()
        for text in ("lower newer", "كل سنه وانتي بخير 😍"):
            tokens = tokenizer.tokenize(text)
            ids = tokenizer.convert_tokens_to_ids(tokens)
            rows = tokenizer.encode(text, add_special_tokens=False)
            assert ids == [row[0] for row in rows][: len(ids)]
            assert {row[0] for row in rows[len(ids) :]} <= {tokenizer.pad_token_id}
            assert tokenizer.convert_ids_to_tokens(ids) == tokens
            assert tokenizer.decode(ids) == tokenizer.convert_tokens_to_string(tokens)

    def test_pad_token_initialization(self) -> None:
        """In place of upstream's, which expects one number per token: the first encoder's."""
        other = self.get_tokenizer().convert_ids_to_tokens(3)
        given, later = self.get_tokenizer(pad_token=other), self.get_tokenizer()
        later.pad_token = other
        for tokenizer in (given, later):
            assert (tokenizer.pad_token, tokenizer.pad_token_id) == (other, 3)
            batch = tokenizer(["a", "several words, and more"], padding=True, return_tensors="np")
            padded = batch["attention_mask"][0, :, 0] == 0
            assert padded.any()
            assert (batch["input_ids"][0, padded, 0] == 3).all()


class TestTokenizerOfThree(TokenizerTests, unittest.TestCase):
    from_pretrained_id = folder_of("three")


class TestTokenizerOfOthers(TokenizerTests, unittest.TestCase):
    from_pretrained_id = folder_of("others")


class TestTokenizerOfOne(TokenizerTests, unittest.TestCase):
    from_pretrained_id = folder_of("one")


del TokenizerTesterMixin, TokenizerTests
