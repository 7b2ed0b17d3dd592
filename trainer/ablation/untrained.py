"""Rows that train nothing on top: baselines, single encoders and their average.

Single encoders are also scored on their own tokenization, without our word cutting. An encoder's
head pools the sub-words its tokenizer makes of the raw text, so the words matter to a single
encoder only where a text is cut (at whole words here, at `max_length` tokens there) and where the
recipe normalizes texts or puts placeholders in. So the texts are tokenized once more by each
encoder's own tokenizer alone; those whose tokens differ are run again, the others are scored as
they are already.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion
from transformers import AutoTokenizer

from ...common.batching import batches_by_length
from ...common.numerics import logit
from ...data.labeled_texts import LabeledTexts
from ...modeling_stacked_emotion import StackedEmotionForSequenceClassification
from ..choosing.decision_rules import Decision, choose_calibrated_decision
from ..choosing.folds import stratified_folds
from ..metrics.scores import jaccard_per_row
from ..results import System
from ..stages.context import RunContext
from ..stages.encoders import load_fine_tuned
from ..stages.features import encoder_parts_of_rows, scored_features, training_features
from ..stages.finish import decided_system
from .variants import Variant


def untrained_system(full: RunContext, variant: Variant) -> tuple[System, dict[str, Any]]:
    """The system of a row, and further details.

    Encoders decide as the stack does: by the rule that wins on their own training rows.
    """
    stages, train = full.recipe.stages, full.splits["train"]
    texts = {split: full.splits[split] for split in full.held_out_splits}
    if variant.kind == "most_frequent":
        return constant_system(train, texts), {}
    if variant.kind == "tfidf":
        return tfidf_system(
            train, texts, stages.decisions, full.folds, stages.seed, stages.min_labels
        ), {}
    details: dict[str, Any] = {}
    if variant.kind == "own_tokens":
        held_out, scored, details["tokens"] = own_token_logits(full, str(variant.encoder))
    else:
        features = {"train": training_features(full)}
        features |= {split: scored_features(full, split) for split in texts}
        place = full.names.index(variant.encoder) if variant.encoder else None
        by_encoder = {split: found.encoder_logits() for split, found in features.items()}
        scored = {
            split: logits.mean(1) if place is None else logits[:, place]
            for split, logits in by_encoder.items()
        }
        held_out = scored.pop("train")
    logits = {split: values[None] for split, values in scored.items()}
    return decided_system(full, variant.title, held_out, logits), details


def constant_system(train: LabeledTexts, scored: dict[str, LabeledTexts]) -> System:
    """The same labels for every text: the k most frequent ones, k chosen by Jaccard on train."""
    labels = train.labels.astype(np.int64)
    rank = np.argsort(np.argsort(-labels.mean(0), kind="stable"))
    answers = [(rank < count).astype(np.int64) for count in range(len(rank) + 1)]
    best = max(
        answers, key=lambda one: jaccard_per_row(labels, np.tile(one, (len(labels), 1))).mean()
    )
    answer = np.where(best == 1, 10.0, -10.0).astype(np.float32)
    logits = {split: np.tile(answer, (1, len(texts), 1)) for split, texts in scored.items()}
    return System("most frequent labels", Decision("global", np.full(len(answer), 0.5)), logits)


def tfidf_system(
    train: LabeledTexts,
    scored: dict[str, LabeledTexts],
    candidates: list[str],
    folds: int = 5,
    seed: int = 0,
    min_labels: int = 1,
) -> System:
    """TF-IDF of words and character n-grams, one logistic regression per label.

    Its decision is chosen on out-of-fold predictions by the same rule as the stack's.
    """
    labels = train.labels.astype(np.int64)
    fold_of_row = stratified_folds(labels, folds, seed)
    texts = np.array(train.texts, dtype=object)
    held_out = np.zeros(labels.shape, np.float64)
    for fold in range(folds):
        inside = fold_of_row == fold
        held_out[inside] = _fit_predict(texts[~inside], labels[~inside], [texts[inside]])[0]
    every = _fit_predict(texts, labels, [np.array(part.texts, object) for part in scored.values()])
    choice = choose_calibrated_decision(_logit(held_out), labels, candidates, min_labels=min_labels)
    logits = {split: _logit(part)[None] for split, part in zip(scored, every, strict=True)}
    return System("TF-IDF + logistic regression", choice, logits)


def _fit_predict(
    texts: np.ndarray, labels: np.ndarray, scored: list[np.ndarray]
) -> list[np.ndarray]:
    vectors = FeatureUnion(
        [
            ("words", TfidfVectorizer(sublinear_tf=True, min_df=2)),
            ("letters", TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True,
                                        min_df=2, max_features=50_000)),
        ]
    )  # fmt: skip
    inputs = vectors.fit_transform(texts)
    targets = [vectors.transform(part) for part in scored]
    results = [np.zeros((len(part), labels.shape[1])) for part in scored]
    for label in range(labels.shape[1]):
        truth = labels[:, label]
        if truth.min() == truth.max():
            for result in results:
                result[:, label] = truth[0]
            continue
        model = LogisticRegression(C=4.0, max_iter=300, class_weight="balanced")
        model.fit(inputs, truth)
        for result, target in zip(results, targets, strict=True):
            result[:, label] = model.predict_proba(target)[:, 1]
    return results


def _logit(probabilities: np.ndarray) -> np.ndarray:
    return logit(probabilities, 1e-6).astype(np.float32)


def own_token_logits(
    context: RunContext, name: str
) -> tuple[np.ndarray, dict[str, np.ndarray], dict[str, dict[str, int]]]:
    """Logits of one fine-tuned encoder on what its own tokenizer makes of the texts.

    The encoder was fine-tuned on the run's tokens; where `changed` is 0 for the training texts,
    fine-tuning on its own tokens would have been the same.

    Returns:
        Out-of-fold logits of the training rows (rows, labels); logits by held-out split; and by
        split the number of `texts` and of those with `changed` tokens.
    """
    index = context.names.index(name)
    logits: dict[str, np.ndarray] = {}
    counts: dict[str, dict[str, int]] = {}
    for split in ("train", *context.held_out_splits):
        cache = training_features(context) if split == "train" else scored_features(context, split)
        found = np.array(cache.encoder_logits()[:, index])
        own = own_tokens(context, name, split)
        differing = np.array(sorted(own), int)
        for part, rows in encoder_parts_of_rows(context, split).items():
            again = differing[np.isin(differing, rows)]
            if len(again):
                model = load_fine_tuned(context, name, part)
                found[again] = _run(model, [own[int(row)] for row in again])
        logits[split] = found
        counts[split] = {"texts": len(found), "changed": len(differing)}
    return logits.pop("train"), logits, counts


def own_tokens(context: RunContext, name: str, split: str) -> dict[int, list[int]]:
    """By row the ids that the encoder's own tokenizer gives where they are not those of the run."""
    recipe = context.recipe
    index = context.names.index(name)
    given, state = recipe.encoders[name], context.source_states.get(name) or {}
    revision = state.get("commit") or given.revision
    tokenizer: Any = AutoTokenizer.from_pretrained(given.source, revision=revision)
    prefix = recipe.prefixes().get(name, "")
    texts = [prefix + text for text in context.splits[split].texts]
    ids = tokenizer(texts, truncation=True, max_length=context.tokenizer.model_max_length)
    encoded = context.encoded[split].column(index)
    found = {}
    for row, own in enumerate(ids["input_ids"]):
        item = encoded[row]
        attended = item["attention_mask"][:, 0].astype(bool)
        if item["input_ids"][attended, 0].tolist() != own:
            found[row] = own
    return found


@torch.inference_mode()
def _run(model: StackedEmotionForSequenceClassification, rows: list[list[int]]) -> np.ndarray:
    """(rows, labels) logits of the encoder's head; no sub-word belongs to a word."""
    model.eval()
    lengths = np.array([len(row) for row in rows])
    logits = np.zeros((len(rows), model.config.num_labels), np.float32)
    for batch in batches_by_length(lengths, size=32):
        ids = torch.zeros(len(batch), max(1, lengths[batch].max()), 1, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for place, row in enumerate(batch):
            ids[place, : lengths[row], 0] = torch.tensor(rows[row])
            mask[place, : lengths[row], 0] = 1
        logits[batch] = model.stacked.encode(ids, mask, torch.zeros_like(ids))[2][:, 0].numpy()
    return logits
