from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stacked_emotion.trainer.choosing.folds import stratified_folds


def skewed_labels(rows: int = 400) -> np.ndarray:
    rng = np.random.default_rng(3)
    return (rng.random((rows, 7)) < [0.02, 0.04, 0.1, 0.2, 0.3, 0.4, 0.5]).astype(int)


def test_every_label_is_spread_evenly() -> None:
    labels = skewed_labels()
    folds = stratified_folds(labels, 5, seed=1)
    sizes = np.bincount(folds, minlength=5)
    assert sizes.max() - sizes.min() <= 2
    per_fold = np.stack([labels[folds == fold].sum(axis=0) for fold in range(5)])
    expected = labels.sum(axis=0) / 5
    assert np.abs(per_fold - expected).max() <= 2
    random = np.random.default_rng(0).integers(5, size=len(labels))
    by_chance = np.stack([labels[random == fold].sum(axis=0) for fold in range(5)])
    assert np.abs(per_fold - expected).sum() < 0.3 * np.abs(by_chance - expected).sum()


def test_a_label_with_as_many_rows_as_folds_is_in_every_fold() -> None:
    labels = skewed_labels()
    labels[:, 0] = 0
    labels[[5, 90, 200, 300], 0] = 1
    folds = stratified_folds(labels, 4, seed=0)
    assert sorted(folds[[5, 90, 200, 300]]) == [0, 1, 2, 3]


def test_deterministic_per_seed() -> None:
    labels = skewed_labels()
    first = stratified_folds(labels, 5, seed=7)
    np.testing.assert_array_equal(first, stratified_folds(labels, 5, seed=7))
    assert (first != stratified_folds(labels, 5, seed=8)).any()


@pytest.mark.parametrize("seed", range(30))
def test_no_fold_is_empty(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(2, 8))
    labels = (rng.random((rows, 4)) < 0.5).astype(int)
    for count in range(2, rows + 1):
        assert set(stratified_folds(labels, count, seed)) == set(range(count))


def test_rows_without_labels_even_out_the_sizes() -> None:
    labels = np.zeros((11, 2), dtype=int)
    labels[:3, 0] = 1
    folds = stratified_folds(labels, 3)
    assert sorted(np.bincount(folds)) == [3, 4, 4]
    assert sorted(folds[:3]) == [0, 1, 2]


@pytest.mark.parametrize(("folds", "message"), [(1, "At least 2"), (6, "use at most 5")])
def test_impossible_fold_counts_are_refused(folds: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        stratified_folds(np.ones((5, 2)), folds)


def test_bad_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="row 1, label 0 is 2"):
        stratified_folds(np.array([[0], [2], [1]]), 2)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(2, 60), st.integers(1, 6), st.integers(2, 6), st.floats(0, 1), st.integers(0, 99)
)
def test_folds_of_any_table(rows: int, width: int, folds: int, share: float, seed: int) -> None:
    folds = min(folds, rows)
    labels = (np.random.default_rng(seed).random((rows, width)) < share).astype(int)
    found = stratified_folds(labels, folds, seed)
    sizes = np.bincount(found, minlength=folds)
    assert sizes.min() >= 1
    assert len(sizes) == folds
    counts = labels.sum(0)
    rarest = labels[:, counts.argmin()]  # the label that is dealt out first, where it is the only
    if counts.min() > 0 and (counts == counts.min()).sum() == 1 and rows >= 2 * folds:
        per_fold = np.bincount(found, weights=rarest, minlength=folds)
        assert per_fold.max() - per_fold.min() <= 1
