"""Tiny stacks for the common tests of transformers: three encoders, three others, and one."""

from __future__ import annotations

import copy
import json
import sys
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from transformers import (
    BertConfig,
    DebertaV2Config,
    ElectraConfig,
    ModernBertConfig,
    PreTrainedConfig,
    XLMRobertaConfig,
)

from stacked_emotion import (
    StackedEmotionConfig,
    StackedEmotionForSequenceClassification,
    StackedEmotionModel,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

SMALL = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 37,
    "max_position_embeddings": 70,
}  # fmt: skip
STACKS: dict[str, dict[str, Any]] = {
    "three": {
        "zeta": lambda: BertConfig(vocab_size=99, **SMALL),
        "alpha": lambda: XLMRobertaConfig(vocab_size=80, pad_token_id=1, **SMALL),
        "mid": lambda: ElectraConfig(vocab_size=90, embedding_size=16, **SMALL),
    },
    "others": {
        "zeta": lambda: BertConfig(vocab_size=99, **SMALL),
        "alpha": lambda: ModernBertConfig(
            vocab_size=80, pad_token_id=1, cls_token_id=0, sep_token_id=2, bos_token_id=0,
            eos_token_id=2, **SMALL,
        ),
        "mid": lambda: DebertaV2Config(
            vocab_size=90, relative_attention=True, position_buckets=16,
            norm_rel_ebd="layer_norm", share_att_key=True, pos_att_type=["p2c", "c2p"],
            position_biased_input=False, type_vocab_size=0, **SMALL,
        ),
    },
    "one": {"only": lambda: BertConfig(vocab_size=99, **SMALL)},
}  # fmt: skip


class StackTester:
    """What upstream calls a model tester: configs and inputs of one stack."""

    is_training = True
    causal_lm_class = None
    sequence_classification_class = StackedEmotionForSequenceClassification
    base_model_class = StackedEmotionModel

    def __init__(self, parent: Any, kind: str) -> None:
        self.parent, self.kind = parent, kind
        self.names = list(STACKS[kind])
        self.batch_size, self.seq_length, self.num_labels = 13, 7, 3
        self.hidden_size, self.num_hidden_layers, self.num_attention_heads = 32, 2, 4
        self.encoder_seq_length = self.seq_length

    def config_values(self) -> dict[str, Any]:
        return {
            "encoder_names": self.names,
            "encoders": {name: make() for name, make in STACKS[self.kind].items()},
            "meta_hidden_size": 8, "lstm_hidden_size": 16, "classifier_hidden_size": 12,
        }  # fmt: skip

    def get_config(self) -> StackedEmotionConfig:
        return StackedEmotionConfig(
            **self.config_values(), id2label={n: f"label {n}" for n in range(self.num_labels)}
        )

    def inputs(self, batch: int, sequence: int) -> dict[str, torch.Tensor]:
        shape = (batch, sequence, len(self.names))
        words = torch.arange(sequence)[None, :, None].expand(shape).clone()
        return {
            "input_ids": torch.randint(5, 80, shape),
            "attention_mask": torch.ones(shape, dtype=torch.long),
            "word_index": words,
        }

    def prepare_config_and_inputs_for_common(
        self,
    ) -> tuple[StackedEmotionConfig, dict[str, torch.Tensor]]:
        return self.get_config(), self.inputs(self.batch_size, self.seq_length)


def labels_for(inputs: dict[str, torch.Tensor], model_class: type) -> dict[str, torch.Tensor]:
    """The inputs with multi-hot labels, where the class has a loss."""
    inputs = copy.deepcopy(inputs)
    if model_class is StackedEmotionForSequenceClassification:
        labels = torch.zeros(len(inputs["input_ids"]), 3)
        labels[:, 0] = 1
        inputs["labels"] = labels
    return inputs


def sub_configs_of(config: PreTrainedConfig) -> list[str]:
    return list(config.sub_configs)


FAMILIES_OF = {
    "three": {"zeta": "bert", "alpha": "xlm-roberta", "mid": "electra"},
    "others": {"zeta": "bert", "alpha": "modernbert", "mid": "deberta-v2"},
    "one": {"only": "bert"},
}


@lru_cache
def write_tiny_models() -> dict[str, Path]:
    """A folder per stack, in the layout in which upstream's pipeline tests look for tiny models."""
    from tiny_models import FAMILIES, build_stack, train_tokenizer
    from transformers import AutoModel

    root = Path(tempfile.mkdtemp(prefix="tiny-stacks-"))
    lines = (Path(__file__).parents[3] / "recipes/sample/train.jsonl").read_text(encoding="utf-8")
    texts = [json.loads(line)["text"] for line in lines.splitlines()]
    for family in {name for names in FAMILIES_OF.values() for name in names.values()}:
        kind, make = FAMILIES[family]
        tokenizer = train_tokenizer(kind, texts, 350)
        AutoModel.from_config(make(len(tokenizer), 32)).save_pretrained(root / family)
        tokenizer.save_pretrained(root / family)
    for kind, families in FAMILIES_OF.items():
        model, tokenizer = build_stack({name: root / family for name, family in families.items()})
        summary = {}
        for part in (model, model.stacked):
            name = type(part).__name__
            folder = root / kind / model.config.model_type / name
            part.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            summary[name] = {
                "tokenizer_classes": [type(tokenizer).__name__],
                "processor_classes": [],
            }
        (root / kind / "reports").mkdir()
        (root / kind / "reports" / "tiny_model_summary.json").write_text(json.dumps(summary))
    return {kind: root / kind for kind in FAMILIES_OF}
