"""The configuration: its order survives, its round trip is exact, wrong values are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import BertConfig, DistilBertConfig

from stacked_emotion import StackedEmotionConfig, StackedEmotionForSequenceClassification


def make(**changes: Any) -> StackedEmotionConfig:
    values: dict[str, Any] = {
        "encoder_names": ["zeta", "alpha"],
        "encoders": {
            "zeta": BertConfig(hidden_size=32, num_attention_heads=2),
            "alpha": DistilBertConfig(dim=16, n_heads=2),
        },
        "id2label": {0: "a", 1: "b", 2: "c"},
        "thresholds": [0.1, 0.2, 0.3],
        "label_prevalence": [0.5, 0.1, 0.0],
    }
    return StackedEmotionConfig(**(values | changes))


def test_round_trip_is_exact_and_keeps_the_order(tmp_path: Path) -> None:
    config = make()
    config.save_pretrained(tmp_path)
    again = StackedEmotionConfig.from_pretrained(tmp_path)
    assert again.encoder_names == ["zeta", "alpha"]
    assert again.to_dict() == config.to_dict()
    assert again.to_json_string() == config.to_json_string()
    assert list(json.loads((tmp_path / "config.json").read_text())["encoders"]) == ["alpha", "zeta"]
    assert set(again.auto_map) == {
        "AutoConfig", "AutoModel", "AutoModelForSequenceClassification",
    }  # fmt: skip


def test_widths() -> None:
    assert make().stacked_size == 48
    assert make(lstm_hidden_size=10).hidden_size == 20
    assert make(use_lstm=False, meta_hidden_size=5).hidden_size == 53
    assert make(use_lstm=False, use_meta_learner=False).hidden_size == 48


def test_saved_config_names_no_local_folder(tmp_path: Path) -> None:
    config = make()
    config.zeta._name_or_path = "/home/someone/secret"
    config.save_pretrained(tmp_path)
    assert "secret" not in (tmp_path / "config.json").read_text()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"thresholds": [0.1]}, "thresholds"),
        ({"thresholds": [0.1, 0.2, 1.5]}, "thresholds"),
        ({"thresholds": [0.1, 0.2, float("nan")]}, "thresholds"),
        ({"label_prevalence": [0.1, 0.2]}, "label_prevalence"),
        ({"label_prevalence": [0.1, 0.2, -0.1]}, "label_prevalence"),
        ({"class_weights": [1.0, -2.0, 1.0]}, "class_weights"),
        ({"label_correlation": [[1.0, 0.0], [0.0, 1.0]]}, "label_correlation"),
        ({"encoder_names": ["zeta"]}, "encoder_names"),
        ({"encoder_names": ["zeta", "zeta"]}, "encoder_names"),
        ({"encoder_names": ["Zeta", "alpha"],
          "encoders": {"Zeta": BertConfig(), "alpha": BertConfig()}}, "encoder_names"),
        ({"encoder_names": ["dropout", "alpha"],
          "encoders": {"dropout": BertConfig(), "alpha": BertConfig()}}, "'dropout'"),
        ({"encoders": {"zeta": {"model_type": "nope"}, "alpha": BertConfig()}}, "model_type"),
        ({"encoder_heads": {"other": {}}}, "encoder_heads"),
        ({"encoder_heads": {"zeta": {"pooling": "max"}}}, "encoder_heads"),
        ({"dropout": 1.0}, "dropout"),
        ({"stacking_level": "letter"}, "stacking_level"),
        ({"lstm_hidden_size": 0}, "lstm_hidden_size"),
        ({"id2label": {0: "a", 1: "a", 2: "b"}}, "id2label"),
    ],
)  # fmt: skip
def test_wrong_values_are_refused_by_name(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError, match=field):
        make(**changes)


def test_a_value_made_wrong_later_is_refused_at_save(tmp_path: Path) -> None:
    config = make()
    config.thresholds = [0.5]
    with pytest.raises(ValueError, match="thresholds"):
        config.save_pretrained(tmp_path)


def test_other_labels_drop_what_belonged_to_the_old(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make().save_pretrained(tmp_path)
    config = StackedEmotionConfig.from_pretrained(tmp_path, num_labels=5)
    assert config.num_labels == 5
    assert config.thresholds is None
    assert config.label_prevalence is None
    config = StackedEmotionConfig.from_pretrained(tmp_path, id2label={0: "x", 1: "y"})
    assert config.thresholds is None
    assert config.label2id == {"x": 0, "y": 1}
    assert StackedEmotionConfig.from_pretrained(tmp_path).thresholds == [0.1, 0.2, 0.3]


def test_attention_and_dtype_are_passed_down() -> None:
    config = make()
    config._attn_implementation = {"zeta": "eager", "alpha": "sdpa"}
    assert config.zeta._attn_implementation == "eager"
    assert config.alpha._attn_implementation == "sdpa"
    assert set(config.sub_configs) == {"zeta", "alpha"}


def test_fields_of_an_encoder_are_changed_while_loading(
    tiny_stack: Any, tiny_stack_folder: Path, tmp_path: Path
) -> None:
    changed, before = {"hidden_dropout_prob": 0.3}, tiny_stack[0].config.to_dict()["encoders"]
    for options in ({"alpha": changed}, {"encoders": {"alpha": changed}}):
        model = StackedEmotionForSequenceClassification.from_pretrained(
            tiny_stack_folder, **options
        )
        assert model.config.alpha.hidden_dropout_prob == 0.3
        assert model.get_encoder("alpha").config.hidden_dropout_prob == 0.3
        assert model.get_encoder("alpha").embeddings.dropout.p == 0.3
        assert model.config.to_dict()["encoders"]["zeta"] == before["zeta"]
        model.save_pretrained(tmp_path)
        again = StackedEmotionConfig.from_pretrained(tmp_path)
        assert again.alpha.hidden_dropout_prob == 0.3
        assert again.encoder_names == ["zeta", "alpha", "mid"]
    for options in ({"encoders": {"nope": changed}}, {"encoders": 3}, {"encoder_names": ["alpha"]}):
        with pytest.raises(ValueError, match="encoder"):
            StackedEmotionForSequenceClassification.from_pretrained(tiny_stack_folder, **options)
    eager = StackedEmotionForSequenceClassification.from_pretrained(
        tiny_stack_folder, attn_implementation="eager", alpha=changed
    )
    assert eager.get_encoder("alpha").config._attn_implementation == "eager"


def test_labels_from_either_side() -> None:
    config = make(id2label=None, label2id={"x": 1, "y": 0}, thresholds=None, label_prevalence=None)
    assert config.id2label == {0: "y", 1: "x"}
    config.label2id = {"one": 0}
    assert config.label_names == ["one"]
    with pytest.raises(ValueError, match="label2id"):
        make(id2label=None, label2id=["x"])


def test_labels_from_either_side_while_loading(tmp_path: Path) -> None:
    make().save_pretrained(tmp_path)
    config = StackedEmotionConfig.from_pretrained(tmp_path, label2id={"x": 0, "y": 1})
    assert config.label_names == ["x", "y"]
    assert config.thresholds is None


def test_only_multi_label_problems() -> None:
    for kind in ("regression", "single_label_classification"):
        with pytest.raises(ValueError, match="problem_type"):
            make(problem_type=kind)


def test_vocabulary_and_pipelines() -> None:
    config = make()
    assert config.vocab_size == config.zeta.vocab_size
    assert list(config.custom_pipelines) == ["emotion-classification"]
    config.custom_pipelines["emotion-classification"]["pt"] = ()
    assert config.to_dict()["custom_pipelines"] == config.custom_pipelines
    assert config.custom_pipelines["emotion-classification"]["pt"]
