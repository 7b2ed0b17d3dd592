"""Baselines for the tables: the best constant label set, and TF-IDF with logistic regression."""

from __future__ import annotations

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline

from ...common.numerics import logit
from ...data.labeled_texts import LabeledTexts
from ..choosing.decision_rules import Decision, choose_decision
from ..choosing.folds import stratified_folds
from ..metrics.scores import jaccard_per_row
from ..results import System


def constant_system(train: LabeledTexts, scored: dict[str, LabeledTexts]) -> System:
    """The same labels for every text: the k most frequent ones, k chosen by Jaccard on train."""
    labels = train.labels.astype(np.int64)
    order = np.argsort(-labels.mean(0), kind="stable")
    answers = []
    for count in range(labels.shape[1] + 1):
        answer = np.zeros(labels.shape[1], np.int64)
        answer[order[:count]] = 1
        answers.append(answer)
    best = max(
        answers, key=lambda one: jaccard_per_row(labels, np.tile(one, (len(labels), 1))).mean()
    )
    answer = np.where(best == 1, 10.0, -10.0).astype(np.float32)
    choice = Decision("global", np.full(len(answer), 0.5))
    return System(
        "most frequent labels",
        choice,
        {split: np.tile(answer, (1, len(texts), 1)) for split, texts in scored.items()},
    )


def tfidf_system(
    train: LabeledTexts,
    scored: dict[str, LabeledTexts],
    candidates: list[str],
    folds: int = 5,
    seed: int = 0,
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
    choice = choose_decision(_logit(held_out), labels, candidates)
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
        model: Pipeline = make_pipeline(
            LogisticRegression(C=4.0, max_iter=300, class_weight="balanced")
        )
        model.fit(inputs, truth)
        for result, target in zip(results, targets, strict=True):
            result[:, label] = model.predict_proba(target)[:, 1]
    return results


def _logit(probabilities: np.ndarray) -> np.ndarray:
    return logit(probabilities, 1e-6).astype(np.float32)
