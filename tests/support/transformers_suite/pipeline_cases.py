"""The pipeline test of `text-classification`, as upstream's, for models of several labels."""

from __future__ import annotations

import unittest
from typing import Any

import pytest
from transformers import TextClassificationPipeline


class TextClassificationPipelineTests(unittest.TestCase):
    def runTest(self) -> None:  # made without a method name by the mixin
        pass

    def get_test_pipeline(
        self, model: Any, tokenizer: Any = None, dtype: str = "float32", **parts: Any
    ) -> tuple[Any, list[str]]:
        pipe = TextClassificationPipeline(model=model, tokenizer=tokenizer, dtype=dtype, **parts)
        return pipe, ["HuggingFace is in", "This is another test"]

    def run_pipeline_test(self, classify: Any, examples: list[str]) -> None:
        model = classify.model
        count = len(model.config.id2label)
        for given, texts in (("HuggingFace is in", 1), (list(examples), len(examples))):
            answers = classify(given)
            assert len(answers) == texts
            for answer in answers:
                assert set(answer) == {"label", "score"}
                assert answer["label"] in model.config.id2label.values()
        every = classify(examples, top_k=None)
        assert [len(answer) for answer in every] == [count] * len(examples)
        assert len(classify({"text": "HuggingFace is in"})) == 2
        with pytest.raises(ValueError, match="pairs"):
            classify([["HuggingFace is in ", "Paris is in France"]])
