from __future__ import annotations

import numpy as np
import pytest

from stacked_emotion.data.label_statistics import (
    LabelStatistics,
    class_weights,
    phi_matrix,
    shrink_correlation,
)


def random_labels(seed: int, rows: int = 50, labels: int = 6) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.random((rows, labels)) < rng.random(labels)).astype(int)


@pytest.mark.parametrize("seed", range(20))
def test_phi_is_the_pearson_correlation(seed: int) -> None:
    labels = random_labels(seed, rows=40)
    labels[0], labels[1] = 1, 0  # no degenerate label
    np.testing.assert_allclose(phi_matrix(labels), np.corrcoef(labels.T), atol=1e-12)


def test_degenerate_labels_have_no_correlation() -> None:
    labels = random_labels(0)
    labels[:, 1], labels[:, 3] = 0, 1
    statistics = LabelStatistics.from_labels(labels, list("abcdef"))
    phi = statistics.correlation
    assert np.isfinite(phi).all()
    np.testing.assert_array_equal(np.diag(phi), 1)
    for label in (1, 3):
        np.testing.assert_array_equal(np.delete(phi[label], label), 0)
        np.testing.assert_array_equal(np.delete(phi[:, label], label), 0)
    assert statistics.positives[3] == 50
    assert statistics.prevalence[1] == 0
    assert np.linalg.eigvalsh(phi)[0] > -1e-9


def test_identical_and_opposite_labels() -> None:
    column = np.array([1, 0, 0, 1, 0])
    phi = phi_matrix(np.stack([column, column, 1 - column], axis=1))
    np.testing.assert_allclose(phi, [[1, 1, -1], [1, 1, -1], [-1, -1, 1]], atol=1e-12)


def test_shrinkage_moves_uniformly_to_the_identity() -> None:
    phi = phi_matrix(random_labels(1))
    np.testing.assert_array_equal(shrink_correlation(phi, 0.0), phi)
    np.testing.assert_array_equal(shrink_correlation(phi, 1.0), np.eye(6))
    shrunk = shrink_correlation(phi, 0.25)
    np.testing.assert_allclose(shrunk[0, 1], 0.75 * phi[0, 1])
    np.testing.assert_allclose(np.diag(shrunk), 1)
    assert np.linalg.eigvalsh(shrunk)[0] >= 0.25 - 1e-9
    with pytest.raises(ValueError, match="shrinkage must lie in"):
        shrink_correlation(phi, 1.5)


def test_class_weights_by_hand() -> None:
    positives, rows = [10, 50, 90, 0, 100, 1], 100
    np.testing.assert_array_equal(class_weights(positives, rows), 1)
    inverse = class_weights(positives, rows, "inverse", cap=20.0)
    np.testing.assert_allclose(inverse, [9, 1, 1 / 9, 1, 1, 20])
    root = class_weights(positives, rows, "sqrt_inverse", cap=20.0)
    np.testing.assert_allclose(root, [3, 1, 1 / 3, 1, 1, np.sqrt(99)])
    np.testing.assert_allclose(class_weights([10], rows, "inverse", power=2.0, cap=100.0), [81])
    effective = class_weights([10], rows, "effective_number")
    np.testing.assert_allclose(effective, [(1 - 0.99**90) / (1 - 0.99**10)])
    assert 1 < class_weights([10], rows, "effective_number")[0] < 9
    np.testing.assert_allclose(class_weights([1, 99], rows, "inverse", cap=5.0), [5, 0.2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "balanced"}, "known: none, inverse, sqrt_inverse, effective_number"),
        ({"method": "inverse", "cap": 0.5}, "at least 1"),
        ({"method": "none", "power": 1.0}, "no meaning"),
        ({"method": "inverse", "power": -1.0}, "at least 0"),
    ],
)
def test_class_weight_options_are_checked(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        class_weights([1, 2], 10, **options)


def test_counts_beyond_the_rows_are_refused() -> None:
    with pytest.raises(ValueError, match=r"in \[0, 10\]"):
        class_weights([11], 10, "inverse")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([[0, 1], [np.nan, 0]], "row 1, label 'joy' is nan"),
        ([[0, 2], [1, 0]], "row 0, label 'love' is 2"),
        ([[0, 0.5]], "row 0, label 'love' is 0.5"),
        ([[0, 1, 1]], "3 columns, but there are 2 label names: joy, love"),
        ([0, 1], r"got shape \(2,\)"),
        (np.zeros((0, 2)), r"got shape \(0, 2\)"),
        ([["0", "1"]], "must be numbers"),
    ],
)
def test_bad_labels_are_named(labels: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LabelStatistics.from_labels(labels, ["joy", "love"])


def test_statistics_are_read_only() -> None:
    statistics = LabelStatistics.from_labels(random_labels(2), list("zyxabc"))
    assert statistics.label_names == ("z", "y", "x", "a", "b", "c")
    assert statistics.num_labels == 6
    for array in (statistics.correlation, statistics.prevalence, statistics.positives):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 2


def test_repeated_label_names_are_refused() -> None:
    with pytest.raises(ValueError, match="differ"):
        LabelStatistics.from_labels([[0, 1]], ["joy", "joy"])
