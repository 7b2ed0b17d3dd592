"""Finished runs to publish, of a tiny stack and of a tiny student; their figures are random."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import LABELS
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

from stacked_emotion.common.environment import environment
from stacked_emotion.trainer.choosing.decision_rules import Decision
from stacked_emotion.trainer.results import System, compare

ROWS = 40
SEEDS = [0, 1, 2]
BASE_MODELS = {"zeta": "lab/zeta-base", "alpha": "lab/alpha-base", "mid": "lab/mid-base"}


def figures(names: list[str]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Systems, comparisons and predictions of `results.json`, from random scores."""
    generator = np.random.default_rng(3)
    labels = (generator.random((ROWS, len(LABELS))) < [0.5, 0.3, 0.0]).astype(np.int8)
    labels[[5, 30], 2] = 1  # a seldom label
    decision = Decision("threshold", np.full(len(LABELS), 0.5))
    systems = []
    for place, name in enumerate(names):
        noise = generator.normal(size=(len(SEEDS), ROWS, len(LABELS)))
        logits = noise + (0.4 + 0.2 * place) * (2 * labels - 1)
        systems.append(System(name, decision, {"validation": logits.astype(np.float32)}))
    found = {
        "format": 1,
        "labels": LABELS,
        "rare_labels": ["fear"],
        "splits": ["validation"],
        "data": {
            split: {
                "source": "/home/somebody/private/tweets.csv",
                "rows": ROWS,
                "fingerprint": "ab" * 32,
                "prevalence": dict(zip(LABELS, labels.mean(0).round(4).tolist(), strict=True)),
            }
            for split in ("train", "validation")
        },
        "systems": {
            system.name: {"validation": system.scores("validation", labels, LABELS, ["fear"])}
            for system in systems
        },
        "comparisons": {
            "validation": {
                f"{systems[-1].name} - {systems[0].name}": compare(
                    systems[-1], systems[0], "validation", labels.astype(int), resamples=50
                )
            }
        },
        "environment": environment(),
        "seconds_by_part": {"encoders, zeta": 7.0, "meta": 2.0, "head": 3.0},
    }
    probabilities = systems[-1].probabilities("validation")[0].astype(np.float32)
    return found, {"labels": labels, "probabilities": probabilities}


def write_run(folder: Path, results: dict[str, Any], predictions: dict[str, np.ndarray]) -> None:
    """Everything of a run but its model."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    np.savez_compressed(folder / "predictions_validation.npz", **predictions)


@pytest.fixture(scope="session")
def run_folder(tiny_stack: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the tiny stack; copy it before you change it."""
    folder = tmp_path_factory.mktemp("runs") / "arabic"
    model, tokenizer = tiny_stack
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    results, predictions = figures([*BASE_MODELS, "average", "meta", "stack"])
    results |= {
        "recipe": {
            "train_file": "/home/somebody/private/tweets.csv",
            "encoders": {name: {"source": source} for name, source in BASE_MODELS.items()},
            "head_seeds": SEEDS, "max_length": 48,
            "encoder_defaults": {"loss": {"name": "weighted_bce", "options": {}}},
            "head": {"loss": {"name": "hybrid", "options": {}}},
            "hub_token": "hf_" + "Z" * 34,
        },
        "encoders": {name: {"source": source} for name, source in BASE_MODELS.items()},
        "loss": {"name": "hybrid", "config": {"bce_weight": 1.0, "temperature": 0.1}},
        "stages": {
            "encoders": {}, "meta": {"loss": {"name": "bce", "config": {}}},
            "head": {"loss": {"name": "hybrid", "config": {"bce_weight": 1.0, "temperature": 0.1}}},
        },
    }  # fmt: skip
    generator = np.random.default_rng(4)
    predictions["encoder_logits"] = generator.normal(size=(ROWS, 3, len(LABELS)))
    predictions["gates"] = generator.dirichlet([1.0, 1.0, 1.0], ROWS)
    write_run(folder, results, predictions)
    return folder


@pytest.fixture(scope="session")
def student_run_folder(
    tiny_encoder_folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A finished distillation into a stock BERT; copy it before you change it."""
    folder = tmp_path_factory.mktemp("runs") / "student"
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder_folders["alpha"])
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=64, id2label=dict(enumerate(LABELS)),
        label2id={label: place for place, label in enumerate(LABELS)},
        problem_type="multi_label_classification",
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    results, predictions = figures(["teacher", "alone", "student"])
    results |= {
        "kind": "student",
        "recipe": {"model": "/work/somewhere/stack/model", "student": "lab/mini"},
        "seeds": SEEDS,
        "teacher": {"source": "/work/somewhere/stack/model", "revision": None},
        "student_source": "lab/mini",
        "encoders": {"student": {"source": "lab/mini"}},
        "loss": {
            "name": "distillation", "config": {"temperature": 2.0},
            "citation": "@misc{hinton2015distilling,\n  title = {Distilling the Knowledge}\n}",
        },
        "stages": {"student": {}, "alone": {}},
        "thresholds": {"joy": 0.4, "anger": 0.5, "fear": 0.6},
        "seconds_by_part": {"student": 4.0, "alone": 2.0},
    }  # fmt: skip
    write_run(folder, results, predictions)
    return folder
