"""transformers' own common tests of models, configurations, pipelines and training, on stacks.

Run by `make test-transformers`; not part of the normal suite.
"""

from __future__ import annotations

import json
import os
import unittest
from typing import Any

import pytest
import torch
import transformers
from skips import CONFIG_SKIPS, SKIPS, SKIPS_OF_STACK
from stacks import StackTester, labels_for, write_tiny_models
from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES
from upstream import use

from stacked_emotion import (
    StackedEmotionConfig,
    StackedEmotionForSequenceClassification,
    StackedEmotionModel,
    StackedEmotionTokenizer,
)

os.environ["RUN_TRAINING_TESTS"] = "1"
MODELS = write_tiny_models()
use(MODELS["three"])

from tests.test_configuration_common import ConfigTester  # noqa: E402
from tests.test_modeling_common import ModelTesterMixin  # noqa: E402
from tests.test_training_mixin import TrainingTesterMixin  # noqa: E402

from tests import test_pipeline_mixin  # noqa: E402

MODEL_MAPPING_NAMES["stacked_emotion"] = StackedEmotionModel.__name__
for module in (transformers, test_pipeline_mixin.transformers_module):
    module.StackedEmotionTokenizer = StackedEmotionTokenizer


class StackTests(ModelTesterMixin, test_pipeline_mixin.PipelineTesterMixin, TrainingTesterMixin):
    """All of upstream's tests; `kind` says which stack."""

    kind = ""
    all_model_classes = (StackedEmotionModel, StackedEmotionForSequenceClassification)
    pipeline_model_mapping = {  # noqa: RUF012
        "feature-extraction": StackedEmotionModel,
        "text-classification": StackedEmotionForSequenceClassification,
    }
    _is_composite = True
    test_resize_embeddings = False  # several vocabularies; CLIPModelTest has it so, too
    training_overfit_seq_length = 16
    model_tester = None

    def setUp(self) -> None:
        torch.manual_seed(0)
        name = self._testMethodName
        for pattern, reason in {**SKIPS, **SKIPS_OF_STACK.get(self.kind, {})}.items():
            if name.startswith(pattern):
                self.skipTest(reason)
        self.model_tester = StackTester(self, self.kind)
        test_pipeline_mixin.TRANSFORMERS_TINY_MODEL_PATH = str(MODELS[self.kind])

    def _prepare_for_class(
        self, inputs_dict: Any, model_class: type, return_labels: bool = False
    ) -> dict[str, Any]:
        inputs = super()._prepare_for_class(inputs_dict, model_class)
        return labels_for(inputs, model_class) if return_labels else inputs

    def _create_text_training_batch(
        self, batch_size: int, seq_length: int, vocab_size: int
    ) -> dict[str, torch.Tensor]:
        inputs = self.model_tester.inputs(batch_size, seq_length)
        return labels_for(inputs, StackedEmotionForSequenceClassification)

    def test_config(self) -> None:
        saved = json.loads(self.model_tester.get_config().to_json_string())
        given = {name: saved[name] for name in self.model_tester.config_values()}
        tester = ConfigTester(
            self, StackedEmotionConfig, common_properties=["hidden_size"], **given
        )
        for check in dir(tester):
            if check.startswith(("create_and_test_", "check_")) and check not in CONFIG_SKIPS:
                with self.subTest(check):
                    getattr(tester, check)()

    def test_hidden_states_and_attentions_of_each_encoder(self) -> None:
        """In place of upstream's, which expect one encoder: the same shapes, for each."""
        config, inputs = self.model_tester.prepare_config_and_inputs_for_common()
        config._attn_implementation = "eager"
        for model_class in self.all_model_classes:
            model = model_class(config).eval()
            asked = model(**inputs, output_hidden_states=True, output_attentions=True)
            some = model(**inputs, output_hidden_states=[0, -1])
            model.config.output_hidden_states = model.config.output_attentions = True
            by_config = model(**inputs)
            for index, name in enumerate(config.encoder_names):
                encoder = config.encoders[name]
                states, attentions = asked.hidden_states[index], asked.attentions[index]
                assert len(states) == encoder.num_hidden_layers + 1
                assert len(attentions) == encoder.num_hidden_layers
                for state, other in zip(states, by_config.hidden_states[index], strict=True):
                    assert state.shape == (13, 7, encoder.hidden_size)
                    torch.testing.assert_close(state, other)
                for attention in (*attentions, *by_config.attentions[index]):
                    assert attention.shape == (13, encoder.num_attention_heads, 7, 7)
                torch.testing.assert_close(some.hidden_states[index][0], states[0])
                torch.testing.assert_close(some.hidden_states[index][-1], states[-1])
            model.config.output_hidden_states = model.config.output_attentions = False

    def test_gradients_reach_the_hidden_states_of_each_encoder(self) -> None:
        """In place of upstream's `test_retain_grad_hidden_states_attentions`."""
        config, inputs = self.model_tester.prepare_config_and_inputs_for_common()
        config._attn_implementation = "eager"
        for model_class in self.all_model_classes:
            model = model_class(config).eval()
            output = model(**inputs, output_hidden_states=True, output_attentions=True)
            caught = [part[0] for part in (*output.hidden_states, *output.attentions)]
            for tensor in caught:
                tensor.retain_grad()
            result = output.logits if "logits" in output else output.pooler_output
            result.sum().backward()
            assert all(tensor.grad is not None for tensor in caught)


class TestThree(StackTests, unittest.TestCase):
    kind = "three"


class TestOthers(StackTests, unittest.TestCase):
    kind = "others"


class TestOne(StackTests, unittest.TestCase):
    kind = "one"


del StackTests

pytestmark = pytest.mark.filterwarnings("ignore")
