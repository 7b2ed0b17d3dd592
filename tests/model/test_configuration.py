"""The configuration: its order survives, its round trip is exact, wrong values are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import BertConfig, DistilBertConfig

from stacked_emotion import StackedEmotionConfig


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
