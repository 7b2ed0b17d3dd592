"""The texts most worth labeling next: where the encoders disagree, spread over all kinds of texts.

Query by committee. The committee is the stack's encoders, each with its own head, and its
disagreement about a label is the Jensen-Shannon divergence of their probabilities (Seung, Opper and
Sompolinsky 1992, "Query by Committee"; McCallum and Nigam 1998, "Employing EM and Pool-Based Active
Learning for Text Classification"). The texts on which they disagree most are clustered by weighted
k-means, and each cluster gives one text (Zhdanov 2019, "Diverse mini-batch Active Learning").
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from sklearn.cluster import KMeans
from tqdm.auto import tqdm

from ...common.batching import batches_by_length
from ...common.errors import UserError
from ...common.numerics import sigmoid
from ...data.inventory import plain_text
from ...inference.predictor import StackedEmotionPredictor

if TYPE_CHECKING:
    import pandas

logger = logging.getLogger(__name__)

POOL = 10
"""Candidates for each text that is chosen."""
_CHUNK = 4096
_LEFT_OUT = {
    "empty": "have no readable text",
    "labeled": "are among the training texts",
    "repeated": "repeat an earlier text",
}


def suggest(
    predictor: StackedEmotionPredictor,
    rows: Iterable[tuple[Any, Any]],
    labeled: Iterable[str] = (),
    number: int = 250,
) -> pandas.DataFrame:
    """Choose the texts to label next.

    Rows without a text, texts in `labeled` and repeated texts are left out, white space aside, and
    a warning counts them. Only the best `POOL * number` candidates stay in memory.

    Args:
        predictor: a stack, which computes in torch.
        rows: row numbers and texts.
        labeled: texts that have labels already.
        number: texts to choose; fewer if there are fewer.

    Returns:
        A row per text, the most disputed first: `rank` from 1, `score` (the mean disagreement per
        label, 0 to 1), `row` and `text`.

    Raises:
        UserError: the stack has one encoder only, or no text is left to choose from.
    """
    import pandas

    if len(predictor.config.encoder_names) < 2:
        raise UserError(
            "The model has only one encoder, so no two can disagree. Train a stack of at least two."
        )
    if number < 1:
        raise UserError(f"--number is {number}. Ask for at least 1 text.")
    left_out: Counter[str] = Counter()
    fresh = _fresh(rows, {plain_text(text) for text in labeled}, left_out)
    best: list[tuple[Any, str]] = []
    scores, vectors = np.zeros(0), np.zeros((0, 0), np.float32)
    while chunk := list(islice(fresh, _CHUNK)):
        logits, pooled = committee(predictor, [text for _, text in chunk])
        best += chunk
        scores = np.concatenate([scores, disagreement(logits)])
        vectors = np.concatenate([vectors.reshape(-1, pooled.shape[1]), pooled])
        kept = np.argsort(-scores, kind="stable")[: POOL * number]
        best, scores, vectors = [best[place] for place in kept], scores[kept], vectors[kept]
    if left_out:
        said = ", ".join(f"{left_out[why]:,} {text}" for why, text in _LEFT_OUT.items())
        logger.warning("Rows that are left out: %s.", said)
    if not best:
        raise UserError("No text is left to choose from. Give texts that have no labels yet.")
    chosen = spread(scores, vectors, number)
    return pandas.DataFrame(
        {
            "rank": np.arange(1, len(chosen) + 1),
            "score": scores[chosen].round(4),
            "row": [best[place][0] for place in chosen],
            "text": [best[place][1] for place in chosen],
        }
    )


@torch.inference_mode()
def committee(
    predictor: StackedEmotionPredictor, texts: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """What the encoders' own heads say of texts, and where the stack sees them.

    Returns:
        Logits (texts, encoders, labels), and the stack's pooled vectors (texts, hidden), float32.
    """
    model, batch = predictor.model, predictor.encoder.encode(texts, predictor.encoder.max_length)
    config = model.config
    logits = np.zeros((len(texts), len(config.encoder_names), config.num_labels), np.float32)
    vectors: np.ndarray | None = None
    with tqdm(total=len(texts), desc="Texts", disable=None, unit="texts") as bar:
        for rows in batches_by_length(batch.lengths, predictor.runner.batch_tokens):
            inputs = {
                name: torch.from_numpy(values).to(model.device)
                for name, values in batch.rows(rows).items()
            }
            output = model(**inputs)
            pooled = output.embedding.float().cpu().numpy()
            if vectors is None:
                vectors = np.zeros((len(texts), pooled.shape[1]), np.float32)
            logits[rows], vectors[rows] = output.encoder_logits.float().cpu().numpy(), pooled
            bar.update(len(rows))
    assert vectors is not None
    return logits, vectors


def disagreement(logits: np.ndarray) -> np.ndarray:
    """Jensen-Shannon divergence of the encoders' probabilities, mean over the labels.

    It is the entropy of the mean probability minus the mean entropy.

    Args:
        logits: (texts, encoders, labels).

    Returns:
        (texts,) bits, from 0 (all agree) to 1.

    Example:
        >>> disagreement(np.array([[[0.0], [0.0]], [[-30.0], [30.0]]])).round(3).tolist()
        [0.0, 1.0]
    """
    probabilities = sigmoid(logits)
    divergence = _entropy(probabilities.mean(1)) - _entropy(probabilities).mean(1)
    return np.maximum(divergence, 0).mean(-1)


def spread(scores: np.ndarray, vectors: np.ndarray, number: int, seed: int = 0) -> np.ndarray:
    """Choose rows with high scores that are not alike.

    The `POOL * number` rows with the highest scores are clustered by k-means, weighted by the
    scores; of each cluster the row with the highest score is chosen.

    Args:
        scores: (rows,), 0 or more.
        vectors: (rows, width), where similar rows are near each other.
        number: rows to choose, and of clusters.
        seed: of k-means.

    Returns:
        (number,) row numbers, those with the highest scores first; all rows if there are fewer.
    """
    order = np.argsort(-scores, kind="stable")
    if len(order) <= number:
        return order
    pool = order[: POOL * number]
    clusters = KMeans(number, n_init=1, random_state=seed).fit_predict(
        vectors[pool], sample_weight=scores[pool] + 1e-9
    )
    first = np.unique(clusters, return_index=True)[1]  # the pool is sorted by score
    others = np.setdiff1d(np.arange(len(pool)), first)  # where rows with equal vectors left gaps
    return pool[np.sort(np.concatenate([first, others])[:number])]


def _entropy(probabilities: np.ndarray) -> np.ndarray:
    """Entropy of yes or no, in bits."""
    clipped = probabilities.astype(np.float64).clip(1e-12, 1 - 1e-12)
    return -(clipped * np.log2(clipped) + (1 - clipped) * np.log2(1 - clipped))


def _fresh(
    rows: Iterable[tuple[Any, Any]], labeled: set[str], left_out: Counter[str]
) -> Iterator[tuple[Any, str]]:
    """The rows whose text is worth reading; the others are counted."""
    seen: set[str] = set()
    for row, text in rows:
        plain = plain_text(text) if isinstance(text, str) else ""
        if not plain:
            left_out["empty"] += 1
        elif plain in labeled:
            left_out["labeled"] += 1
        elif plain in seen:
            left_out["repeated"] += 1
        else:
            seen.add(plain)
            yield row, text
