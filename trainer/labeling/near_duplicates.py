"""Texts that are nearly the same but have different labels."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import CountVectorizer

from ...data.inventory import plain_text

SIMILARITY = 0.6
_ROWS = 512


def conflicting_pairs(
    texts: list[str], labels: np.ndarray, similarity: float = SIMILARITY
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of rows with (nearly) the same text and different labels.

    Of rows with the same text and the same labels only the first is compared.

    Args:
        texts: the texts.
        labels: (rows, labels) of 0 and 1.
        similarity: see `near_duplicates`.

    Returns:
        (pairs, 2) row numbers from 0, and (pairs,) similarities. The pairs whose labels differ most
        come first.
    """
    rows_of: dict[str, dict[bytes, int]] = {}
    for row, (text, given) in enumerate(zip(texts, labels, strict=True)):
        rows_of.setdefault(plain_text(text), {}).setdefault(given.tobytes(), row)
    different = [list(rows.values()) for rows in rows_of.values()]
    near, likeness = near_duplicates(list(rows_of), similarity)
    alike = [(place, place, 1.0) for place, rows in enumerate(different) if len(rows) > 1]
    pairs = [
        (one, other, value)
        for left, right, value in [*alike, *zip(*near.T.tolist(), likeness.tolist(), strict=True)]
        for one in different[left]
        for other in different[right]
        if (one < other or left != right) and (labels[one] != labels[other]).any()
    ]
    table = np.array([sorted(pair[:2]) for pair in pairs], np.int64).reshape(-1, 2)
    found = np.array([pair[2] for pair in pairs])
    apart = (labels[table[:, 0]] != labels[table[:, 1]]).sum(1)
    order = np.lexsort((table[:, 0], -found, -apart))
    return table[order], found[order]


def near_duplicates(
    texts: list[str], similarity: float = SIMILARITY
) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of texts whose sets of four-letter sequences have at least this Jaccard similarity.

    Case and combining marks, such as Arabic vowel signs, do not count. The search is exact: two
    such sets share one of their rarest sequences, so only texts that do are compared (the prefix
    filter of Bayardo, Ma and Srikant 2007, "Scaling Up All Pairs Similarity Search").

    Args:
        texts: the texts.
        similarity: above 0, up to 1.

    Returns:
        (pairs, 2) text numbers, the smaller one first, and (pairs,) similarities.

    Example:
        >>> near_duplicates(["so happy today!", "a sad day", "So happy today"])[0].tolist()
        [[0, 2]]
    """
    vectorizer = CountVectorizer(
        analyzer="char_wb", ngram_range=(4, 4), binary=True, strip_accents="unicode", dtype=np.int32
    )
    grams = vectorizer.fit_transform(texts).tocsr()
    sizes, rarest = np.diff(grams.indptr), _rarest(grams, similarity)
    pairs, found = [], []
    for start in range(0, len(texts), _ROWS):
        shared = (rarest[start : start + _ROWS] @ rarest.T).tocoo()
        one, other = shared.row + start, shared.col
        smaller, larger = np.minimum(sizes[one], sizes[other]), np.maximum(sizes[one], sizes[other])
        likely = (one < other) & (smaller >= similarity * larger)
        one, other = one[likely], other[likely]
        both = np.asarray(grams[one].multiply(grams[other]).sum(1)).ravel()
        jaccard = both / (sizes[one] + sizes[other] - both)
        near = jaccard >= similarity
        pairs.append(np.column_stack([one, other])[near])
        found.append(jaccard[near])
    return np.concatenate(pairs).astype(np.int64), np.concatenate(found)


def _rarest(grams: csr_matrix, similarity: float) -> csr_matrix:
    """The sequences of each text of which a similar one must have at least one.

    Of n sequences a similar text has at least `similarity * n`, so it cannot lack the n + 1 minus
    that many that come first in an order shared by all texts. The order is from rare to frequent.
    """
    sizes = np.diff(grams.indptr)
    by_rarity = np.argsort(np.argsort(np.bincount(grams.indices, minlength=grams.shape[1])))
    order = np.lexsort((by_rarity[grams.indices], np.repeat(np.arange(len(sizes)), sizes)))
    place = np.arange(grams.nnz) - np.repeat(grams.indptr[:-1], sizes)
    enough = sizes - np.ceil(similarity * sizes - 1e-9).astype(int) + 1
    kept = place < np.repeat(enough, sizes)
    starts = np.concatenate([[0], np.cumsum(np.minimum(enough, sizes))])
    data = np.ones(starts[-1], np.int32)
    return csr_matrix((data, grams.indices[order][kept], starts), grams.shape)
