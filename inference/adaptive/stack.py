"""The stack, encoder by encoder, each on the texts that the ones before left undecided.

Sizes in the comments: B texts of a batch, W words, h the hidden size of an encoder, L labels.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ...alignment_stacked_emotion import AlignedBatch
from ...common.batching import batches_by_length
from ...common.errors import UserError
from ..decisions import Decision
from .rule import AdaptiveRule

GROUP_POSITIONS = 1 << 15
"""Positions of the texts that go through the stages together: their word vectors are kept."""


class StagedRunner(Protocol):
    """A `Runner` that also runs single encoders, and what lies on top of them."""

    batch_tokens: int
    workers: int

    def encode(self, place: int, batch: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Arrays of a batch to word vectors (B, W, h) and logits (B, L) of one encoder, float32.

        W is the words of the longest text, as any encoder reads it.
        """
        ...

    def top(
        self, batch: dict[str, np.ndarray], words: list[np.ndarray], logits: list[np.ndarray]
    ) -> np.ndarray:
        """What `encode` gave for each encoder, in the order of the stack, to (B, L) logits."""
        ...


@dataclass
class _Progress:
    """What is known of one text, in the order in which the encoders ran."""

    words: list[np.ndarray]
    logits: list[np.ndarray]


class AdaptiveStack:
    """Runs the encoders a text needs, in the order of the rule.

    Args:
        rule: order and limits.
        decision: how logits become labels.
        runner: computes.
    """

    def __init__(self, rule: AdaptiveRule, decision: Decision, runner: Any) -> None:
        self.rule, self.decision = rule, decision
        self.runner: StagedRunner = runner

    def __call__(
        self,
        batch: AlignedBatch,
        batch_tokens: int | None,
        done: Callable[[np.ndarray], Any],
    ) -> tuple[np.ndarray, np.ndarray]:
        """Logits of texts, and how many encoders each needed.

        Args:
            batch: the texts.
            batch_tokens: positions of a batch; None for the runner's choice.
            done: called with the rows that are finished.

        Returns:
            (texts, labels) float32, and (texts,) int64.
        """
        tokens = batch_tokens or self.runner.batch_tokens
        rows = len(batch.lengths)
        logits = np.zeros((rows, len(self.decision.labels)), np.float32)
        used = np.full(rows, len(self.rule.order), np.int64)

        def run(batches: list[np.ndarray]) -> None:
            self._group(batch, batches, tokens, logits, used)
            for part in batches:
                done(part)

        groups = _groups(batches_by_length(batch.lengths, tokens, longest_first=True), batch)
        if self.runner.workers > 1 and len(groups) > 1:
            with ThreadPoolExecutor(self.runner.workers, "predict") as pool:
                list(pool.map(run, groups))
        else:
            for group in groups:
                run(group)
        return logits, used

    def _group(
        self, batch: AlignedBatch, batches: list[np.ndarray], tokens: int,
        logits: np.ndarray, used: np.ndarray,
    ) -> None:  # fmt: skip
        """All stages of some batches; writes their rows of `logits` and `used`."""
        left = np.concatenate(batches)
        counts = batch.word_index.max((1, 2), initial=0)
        known = {row: _Progress([], []) for row in left.tolist()}
        for step, place in enumerate(self.rule.places):
            for rows in batches:
                words, scores = self.runner.encode(place, batch.rows(rows))
                for index, row in enumerate(rows.tolist()):
                    known[row].words.append(words[index, : counts[row]])
                    known[row].logits.append(scores[index])
            stage = self.rule.stages[step] if step < len(self.rule.stages) else None
            if stage is None or stage.limit <= 0:
                continue
            estimated = stage.estimate(np.array([known[row].logits for row in left.tolist()]))
            enough = self.decision.uncertainty(estimated) < stage.limit
            logits[left[enough]], used[left[enough]] = estimated[enough], step + 1
            if enough.any():
                for row in left[enough].tolist():
                    del known[row]
                left = left[~enough]
                cut = batches_by_length(batch.lengths[left], tokens, longest_first=True)
                batches = [left[rows] for rows in cut]
            if not len(left):
                return
        for rows in batches:
            logits[rows] = self._top(batch.rows(rows), [known[row] for row in rows.tolist()])

    def _top(self, arrays: dict[str, np.ndarray], texts: list[_Progress]) -> np.ndarray:
        """The full stack's logits of texts that all encoders have read."""
        longest = max(int(arrays["word_index"].max()), 1)
        words: list[Any] = [None] * len(self.rule.places)
        scores: list[Any] = [None] * len(self.rule.places)
        for step, place in enumerate(self.rule.places):
            parts = [text.words[step] for text in texts]
            words[place] = np.zeros((len(texts), longest, parts[0].shape[-1]), np.float32)
            for index, part in enumerate(parts):
                words[place][index, : len(part)] = part
            scores[place] = np.stack([text.logits[step] for text in texts])
        return self.runner.top(arrays, words, scores)


def _groups(batches: list[np.ndarray], batch: AlignedBatch) -> list[list[np.ndarray]]:
    """Consecutive batches of up to `GROUP_POSITIONS` positions together."""
    groups: list[list[np.ndarray]] = []
    positions = GROUP_POSITIONS
    for rows in batches:
        size = len(rows) * int(batch.lengths[rows].max())
        if positions + size > GROUP_POSITIONS:
            groups.append([])
            positions = 0
        groups[-1].append(rows)
        positions += size
    return groups


def adaptive_rule(config: dict[str, Any], location: str) -> AdaptiveRule:
    """The order and the limits of a model.

    Raises:
        UserError: it has none.
    """
    rule = AdaptiveRule.from_config(config)
    if rule is None:
        raise UserError(
            f"{location or 'This model'} has no limits for adaptive stacking (no `adaptive` in "
            "config.json). Training chooses them for two encoders or more, with cross-fitting and "
            "without stage joint. Leave out adaptive, or train such a model."
        )
    return rule
