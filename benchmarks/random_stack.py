"""Three BERT-base encoders with random weights, and texts of synthetic words as long as tweets."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from stacked_emotion import StackedEmotionForSequenceClassification, StackedEmotionTokenizer
from stacked_emotion.common.finished import finish
from stacked_emotion.inference import StackedEmotionPredictor
from stacked_emotion.inference.adaptive.graphs import stages_of, write_stages
from stacked_emotion.inference.adaptive.rule import Stage
from stacked_emotion.inference.backends.export import (
    GRAPHS,
    linear_layers,
    quantize_graph,
    write_graph,
)
from stacked_emotion.inference.model_files import ModelFiles

HERE = Path(__file__).parent
FOLDER = Path(os.environ.get("BENCHMARK_FOLDER", HERE.parent / "outputs/benchmarks"))
LAYERS = int(os.environ.get("BENCHMARK_LAYERS", "12"))  # fewer only to try the scripts
LABELS = [
    "anger",
    "anticipation",
    "disgust",
    "fear",
    "joy",
    "love",
    "optimism",
    "pessimism",
    "sadness",
    "surprise",
    "trust",
]
LETTERS = "ابتثجحخدذرزسشصضطظعغفقكلمنهوي"
EMOJI = "😂😍💔😡🙏✨"
# embedding rows as in ArabicBERT, MARBERT and AraBERT; tokens the synthetic texts are cut into
ENCODERS = {"first": (32_000, 2_800), "second": (100_000, 3_800), "third": (64_000, 5_000)}


# shares of the development tweets that stop after one and two encoders, see docs/adaptive.md
STOPS = (0.48, 0.04)


def synthetic_texts(count: int, seed: int = 0) -> list[str]:
    """Different texts of made-up words, as many words each as tweets have.

    Args:
        count: how many.
        seed: of the drawing.
    """
    draw = random.Random(seed)
    known = random.Random(1)
    vocabulary = [
        "".join(known.choice(LETTERS) for _ in range(known.randint(2, 7))) for _ in range(20_000)
    ]
    weights = [1 / (rank + 10) for rank in range(len(vocabulary))]
    table = json.loads((HERE / "tweet_words.json").read_text(encoding="utf-8"))["counts"]
    sizes = draw.choices([int(size) for size in table], list(table.values()), k=count)
    texts = []
    for size in sizes:
        words = draw.choices(vocabulary, weights, k=size)
        if size > 2 and draw.random() < 0.4:
            words[-1] = draw.choice(EMOJI) * draw.randint(1, 3)
        texts.append(" ".join(words))
    return texts


def make_models(folder: Path = FOLDER) -> dict[str, Path]:
    """Write the encoders as stock classifiers, and their stack; made once.

    Args:
        folder: where they go (about 3.5 GB).

    Returns:
        The folder of each encoder by name, and that of the stack as `stack`.
    """
    places = {name: folder / name for name in (*ENCODERS, "stack")}
    stack = places["stack"]
    if not (stack / "tokenizer_config.json").exists():
        _make_stack(places)
    if not (stack / "onnx/report.json").exists():
        _export(stack)
    return places


def _make_stack(places: dict[str, Path]) -> None:
    corpus = synthetic_texts(20_000, seed=2)
    for seed, (name, (rows, tokens)) in enumerate(ENCODERS.items()):
        torch.manual_seed(seed)
        config = BertConfig(
            vocab_size=rows,
            num_hidden_layers=LAYERS,
            num_labels=len(LABELS),
            id2label=dict(enumerate(LABELS)),
            label2id={label: index for index, label in enumerate(LABELS)},
            problem_type="multi_label_classification",
            classifier_dropout=0.1,
        )
        BertForSequenceClassification(config).save_pretrained(places[name])
        _tokenizer(corpus, tokens).save_pretrained(places[name])
    sources = {name: places[name] for name in ENCODERS}
    model = StackedEmotionForSequenceClassification.from_encoders(
        sources, labels=LABELS, thresholds=[0.5] * len(LABELS)
    )
    for name, parameter in model.named_parameters():
        if "classifier." in name or "meta_learner." in name:
            torch.nn.init.normal_(parameter, std=0.05)
    tokenizer = StackedEmotionTokenizer.from_tokenizers(sources)
    model.config.adaptive = _limits(model.eval(), tokenizer)
    model.save_pretrained(places["stack"])
    tokenizer.save_pretrained(places["stack"])


def _limits(
    model: StackedEmotionForSequenceClassification, tokenizer: StackedEmotionTokenizer
) -> dict[str, Any]:
    """Limits with which `STOPS` of the texts stop after each encoder: for timing only."""
    predictor = StackedEmotionPredictor(model, tokenizer)
    batch = predictor.encoder.encode(synthetic_texts(256, seed=5), 128)
    left, stages, logits = np.arange(256), [], []
    for step, share in enumerate(STOPS):
        logits.append(predictor.runner.encode(step, batch.arrays)[1])
        weights = np.full((step + 1, len(LABELS)), 1 / (step + 1))
        found = Stage(0.0, weights, np.zeros(len(LABELS)))
        doubt = predictor.decision.uncertainty(found.estimate(np.stack(logits, 1)[left]))
        limit = float(np.quantile(doubt, share * 256 / len(left)))
        left = left[doubt >= limit]
        stages.append({"limit": limit, "weights": weights.tolist(), "bias": [0.0] * len(LABELS)})
    return {"order": list(ENCODERS), "stages": stages}


def _export(folder: Path) -> None:
    """Both graphs; agreement with random weights means nothing, so none is measured."""
    target = folder / "onnx"
    target.mkdir(exist_ok=True)
    paths = {dtype: target / name for dtype, name in GRAPHS.items()}
    write_graph(ModelFiles(folder), paths["float32"])
    quantize_graph(paths["float32"], paths["int8"], list(linear_layers(paths["float32"])))
    report = {
        "made_of": ModelFiles(folder).export_inputs(),
        "files": {dtype: [path.name, f"{path.name}.data"] for dtype, path in paths.items()}
        | {
            stages_of(dtype): write_stages(path, dtype, len(ENCODERS))
            for dtype, path in paths.items()
        },
        "differences": {},
    }
    finish(target, "benchmark", report, name="report.json")


def _tokenizer(corpus: list[str], tokens: int) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.WordPieceTrainer(
        vocab_size=tokens, special_tokens=specials, show_progress=False
    )
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        cls_token="[CLS]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        unk_token="[UNK]",
        model_max_length=128,
    )


if __name__ == "__main__":
    for name, place in make_models().items():
        print(name, place)
