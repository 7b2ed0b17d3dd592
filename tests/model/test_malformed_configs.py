"""A folder whose config.json was changed loads, or says in one sentence what is wrong."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tiny_models import build_stack
from transformers import AutoConfig

from stacked_emotion import StackedEmotionConfig, StackedEmotionForSequenceClassification

ODD = [
    None, True, False, 0, 1, -1, 2, 7, 10**9, 10**30, 0.5, -0.5, 1e30, float("nan"), float("inf"),
    "", "x", "../../etc/passwd", "a/b", "__class__", "NaN", [], [1], ["zeta"], [[0.5]], {},
    {"a": 1}, {"__float__": "NaN"}, {"model_type": "bert"}, {"model_type": "stacked_emotion"},
]  # fmt: skip
KEYS = [
    "num_labels", "hidden_size", "vocab_size", "attn_implementation", "output_attentions",
    "output_hidden_states", "quantization_config", "custom_pipelines", "to_dict", "__dict__",
    "per_layer_config", "label_names", "sub_configs", "torch_dtype", "name_or_path",
    "rope_scaling", "tie_word_embeddings", "_attn_implementation", "zeta", "check",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tiny_encoder_folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole")
    names = ("zeta", "alpha")
    model, _ = build_stack({name: tiny_encoder_folders[name] for name in names})
    model.save_pretrained(path)
    return path


def places(value: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value within a JSON value."""
    found = [before] if before else []
    if isinstance(value, dict | list):
        inner: Any = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in inner:
            found += places(item, (*before, key))
    return found


def load(folder: Path, config: Any) -> None:
    """Load the folder's weights with another config.json, by class and by `AutoConfig`."""
    with tempfile.TemporaryDirectory() as name:
        os.link(folder / "model.safetensors", Path(name) / "model.safetensors")
        (Path(name) / "config.json").write_text(json.dumps(config))
        StackedEmotionForSequenceClassification.from_pretrained(name)
        StackedEmotionConfig.from_pretrained(name)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_mutated_config_loads_or_is_refused(folder: Path, data: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    for _ in range(data.draw(st.integers(1, 2))):
        kind = data.draw(st.sampled_from(["change", "change", "change", "remove", "add"]))
        path = data.draw(st.sampled_from(places(config)))
        owner = config
        for key in path[:-1]:
            owner = owner[key]
        if kind == "remove":
            del owner[path[-1]]
        elif kind == "add":
            config[data.draw(st.sampled_from(KEYS))] = copy.deepcopy(
                data.draw(st.sampled_from(ODD))
            )
        else:
            owner[path[-1]] = copy.deepcopy(data.draw(st.sampled_from(ODD)))
    with contextlib.suppress(ValueError, OSError):  # anything else fails the test
        load(folder, config)


@pytest.mark.parametrize("whole", [[], 3, "x", None, {}])
def test_what_is_no_configuration_is_refused(folder: Path, whole: Any) -> None:
    with pytest.raises((ValueError, OSError)):
        load(folder, whole)


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("encoder_names",), ["../zeta", "alpha"], r"encoder_names: '\.\./zeta'"),
        (("encoder_names",), "zeta", "encoder_names"),
        (("encoder_names",), [1, "alpha"], "encoder_names"),
        (("encoder_names",), ["zeta"], "encoder_names"),
        (("encoders",), [], "encoders"),
        (("encoders", "zeta"), 3, r"encoders\['zeta'\]"),
        (("encoders", "zeta", "model_type"), ["bert"], "model_type"),
        (("encoders", "zeta", "model_type"), "stacked_emotion", "model_type"),
        (("encoders", "zeta", "hidden_size"), 0, "hidden_size"),
        (("encoders", "zeta", "hidden_size"), 10**9, "hidden_size"),
        (("encoders", "zeta", "vocab_size"), 10**12, "vocab_size"),
        (("encoders", "zeta", "num_hidden_layers"), 10**7, "num_hidden_layers"),
        (("encoders", "zeta", "pad_token_id"), -5, "pad_token_id"),
        (("encoders", "zeta", "hidden_act"), "nope", "zeta"),
        (("encoders", "zeta", "hidden_act"), 3, "hidden_act"),
        (("encoders", "zeta", "layer_norm_eps"), float("nan"), "layer_norm_eps"),
        (("encoders", "zeta", "layer_norm_eps"), "small", "layer_norm_eps"),
        (("encoders", "zeta", "is_decoder"), 1, "is_decoder"),
        (("encoder_heads",), "x", "encoder_heads"),
        (("encoder_heads", "zeta"), "x", "encoder_heads"),
        (("dropout",), float("nan"), "dropout"),
        (("dropout",), "0.1", "dropout"),
        (("initializer_range",), float("inf"), "initializer_range"),
        (("lstm_hidden_size",), 10**8, "lstm_hidden_size"),
        (("lstm_hidden_size",), 12.5, "lstm_hidden_size"),
        (("use_lstm",), "yes", "use_lstm"),
        (("decision",), ["threshold"], "decision"),
        (("decision_scale",), 0, "decision_scale"),
        (("thresholds",), 0.5, "thresholds"),
        (("thresholds",), [0.5, 0.5, None], "thresholds"),
        (("thresholds",), [0.5, 0.5, float("nan")], "thresholds"),
        (("label_correlation",), [1, 2, 3], "label_correlation"),
        (("id2label",), ["joy"], "id2label"),
        (("id2label", "0"), None, "id2label"),
        (("problem_type",), "regression", "problem_type"),
        (("dtype",), "float99", "dtype"),
        (("dtype",), "nn", "dtype"),
        (("architectures",), "x", "architectures"),
        (("to_dict",), 3, "to_dict"),
    ],
)  # fmt: skip
def test_the_field_is_named(folder: Path, path: tuple[str, ...], value: Any, told: str) -> None:
    config = json.loads((folder / "config.json").read_text())
    owner = config
    for key in path[:-1]:
        owner = owner[key]
    owner[path[-1]] = value
    with pytest.raises(ValueError, match=told):
        load(folder, config)


def test_weights_that_do_not_fit_or_are_no_numbers_are_refused(
    folder: Path, tmp_path: Path
) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["classifier_hidden_size"] = 7
    with pytest.raises(ValueError, match=r"do not fit config\.json"):
        load(folder, config)
    state = load_file(folder / "model.safetensors")
    for name, value in (("classifier.output.bias", "nan"), ("stacked.pooling.score.weight", "inf")):
        shutil.copyfile(folder / "config.json", tmp_path / "config.json")
        damaged = {key: tensor.clone() for key, tensor in state.items()}
        damaged[name].view(-1)[0] = float(value)
        save_file(damaged, tmp_path / "model.safetensors", {"format": "pt"})
        with pytest.raises(ValueError, match=name):
            StackedEmotionForSequenceClassification.from_pretrained(tmp_path)


def test_an_auto_class_refuses_too(folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["thresholds"] = "half"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="thresholds"):
        AutoConfig.from_pretrained(tmp_path)


def test_no_memory_is_taken_for_an_absurd_size() -> None:
    bert = {"model_type": "bert", "hidden_size": 60_000, "intermediate_size": 900_000,
            "num_hidden_layers": 900, "num_attention_heads": 10}  # fmt: skip
    with pytest.raises(ValueError, match="weights"):
        StackedEmotionConfig(encoder_names=["a"], encoders={"a": bert})
    assert torch.get_default_dtype() == torch.float32
