"""The tests of two pipelines, as upstream's: for models of several labels, and for word vectors."""

from __future__ import annotations

import unittest
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from transformers import FeatureExtractionPipeline, Pipeline, TextClassificationPipeline


class PipelineTests(unittest.TestCase):
    """What both have in common: a pipeline of their class, and the texts that it gets."""

    pipeline_class: ClassVar[type[Pipeline]]
    examples: ClassVar[tuple[str, ...]]

    def runTest(self) -> None:  # made without a method name by the mixin
        pass

    def get_test_pipeline(
        self, model: Any, tokenizer: Any = None, dtype: str = "float32", **parts: Any
    ) -> tuple[Any, list[str]]:
        pipe = self.pipeline_class(model=model, tokenizer=tokenizer, dtype=dtype, **parts)
        return pipe, list(self.examples)


class TextClassificationPipelineTests(PipelineTests):
    pipeline_class = TextClassificationPipeline
    examples = ("HuggingFace is in", "This is another test")

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


class FeatureExtractionPipelineTests(PipelineTests):
    pipeline_class = FeatureExtractionPipeline
    examples = ("This is a test", "This is another, longer test")

    def run_pipeline_test(self, extract: Any, examples: list[str]) -> None:
        width = extract.model.config.hidden_size
        for text, answer in zip(examples, extract(list(examples)), strict=True):
            words = len(extract.tokenizer.word_offsets(text))
            assert np.shape(answer) == np.shape(extract(text)) == (1, words, width)
        long = extract("This is a test " * 100, truncation=True)
        assert 1 < np.shape(long)[1] < extract.tokenizer.model_max_length
        few = extract("This is a test " * 100, tokenize_kwargs={"max_length": 12})
        assert 1 <= np.shape(few)[1] < 12
        assert torch.is_tensor(extract(examples[0], return_tensors=True))
