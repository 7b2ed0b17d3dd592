"""The interface of every loss of this package."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ...data.label_statistics import LabelStatistics


class EmotionLoss(nn.Module):
    """A multi-label loss without parameters that returns named components.

    `forward` checks the inputs, drops masked rows, turns autocast off, casts to float32 (float64
    stays) and calls `components`, which a subclass implements. The components already carry their
    weights: the trainer adds them up and logs each one. A subclass keeps every option of its
    constructor as an attribute of the same name, so that `get_config_dict` finds it.

    Under distributed data parallel training every component is scaled so that the mean over ranks
    of its gradients is the gradient for the whole batch, given equal numbers of rows per rank.

    Args:
        statistics: label statistics of the training split.
        pos_weight: `(labels,)` weight of each label's positive class, or None for 1.
    """

    name: ClassVar[str]
    citation: ClassVar[str] = ""
    more_inputs: ClassVar[tuple[str, ...]] = ()
    """What `forward` takes of a batch beside labels and `row_mask`, by the keyword."""

    def __init__(self, statistics: LabelStatistics, pos_weight: np.ndarray | None = None) -> None:
        super().__init__()
        self.label_names = statistics.label_names
        weight = np.ones(statistics.num_labels) if pos_weight is None else np.asarray(pos_weight)
        self.weights_positives = bool(np.any(weight != 1.0))
        self.register_buffer(
            "pos_weight", torch.tensor(weight, dtype=torch.float32), persistent=False
        )
        self.pos_weight: Tensor

    @property
    def uses_embedding(self) -> bool:
        """Whether `forward` needs the model's `embedding`."""
        return False

    @property
    def gathered_components(self) -> frozenset[str]:
        """Components computed over the rows of all ranks; the others are means over one rank."""
        return frozenset()

    @classmethod
    def options(cls) -> dict[str, Any]:
        """The options of the constructor and their defaults."""
        parameters = inspect.signature(cls).parameters.values()
        return {entry.name: entry.default for entry in parameters if entry.name != "statistics"}

    def get_config_dict(self) -> dict[str, Any]:
        """The value of every option, for JSON; `build_loss(name, statistics, **values)` rebuilds
        the loss."""
        return {name: getattr(self, name) for name in self.options()}

    def components(
        self, logits: Tensor, labels: Tensor, embedding: Tensor | None
    ) -> dict[str, Tensor]:
        """Weighted scalar components of the loss.

        Args:
            logits: `(rows, labels)` float32 or float64; rows may be 0.
            labels: `(rows, labels)`, same type.
            embedding: `(rows, width)`, same type, or None.

        Returns:
            Component name to scalar.

        Raises:
            NotImplementedError: the subclass does not implement it.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement components()")

    def forward(
        self,
        logits: Tensor,
        labels: Tensor,
        embedding: Tensor | None = None,
        row_mask: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Named scalar components, already multiplied by their weights; their sum is the loss.

        Args:
            logits: `(batch, labels)` scores before the sigmoid, any float type.
            labels: `(batch, labels)` 0/1, any type.
            embedding: `(batch, width)` sentence vectors; needed where `uses_embedding`.
            row_mask: `(batch,)` bool, False for rows that only fill the batch. They are ignored;
                a batch without any other row costs 0 and has a zero gradient.

        Returns:
            Component name to scalar tensor, at least float32.

        Raises:
            ValueError: shapes that do not fit, or no embedding where one is needed.
        """
        self._check(logits, labels, embedding, row_mask)
        if row_mask is not None:
            keep = row_mask.bool()
            logits, labels = logits[keep], labels[keep]
            embedding = None if embedding is None else embedding[keep]
        with torch.autocast(device_type=logits.device.type, enabled=False):
            logits = at_least_float32(logits)
            given = embedding.to(logits) if self.uses_embedding and embedding is not None else None
            return self.components(logits, labels.to(logits), given)

    def _check(
        self, logits: Tensor, labels: Tensor, embedding: Tensor | None, row_mask: Tensor | None
    ) -> None:
        width = len(self.label_names)
        if logits.dim() != 2 or logits.shape[1] != width:
            raise ValueError(
                f"logits must have shape (batch, {width}), one column for each of the loss's "
                f"labels ({', '.join(self.label_names)}), got {tuple(logits.shape)}."
            )
        if labels.shape != logits.shape:
            raise ValueError(
                f"labels {tuple(labels.shape)} and logits {tuple(logits.shape)} must have the "
                "same shape (batch, labels)."
            )
        if row_mask is not None and row_mask.shape != logits.shape[:1]:
            raise ValueError(
                f"row_mask must have shape ({logits.shape[0]},), got {tuple(row_mask.shape)}."
            )
        if not self.uses_embedding:
            return
        if embedding is None:
            raise ValueError(
                f"The loss {self.name!r} has a contrastive part and needs the model's `embedding`; "
                "pass it, or set contrastive_weight to 0."
            )
        if embedding.dim() != 2 or embedding.shape[0] != logits.shape[0]:
            raise ValueError(
                f"embedding must have shape ({logits.shape[0]}, width), got "
                f"{tuple(embedding.shape)}."
            )


def mean_or_zero(values: Tensor) -> Tensor:
    """Mean of all entries; 0 that still carries a gradient when there are none."""
    return values.mean() if values.numel() else values.sum()


def at_least_float32(tensor: Tensor) -> Tensor:
    """The tensor in float32; float64 stays."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def number_in(interval: str, value: float, what: str) -> float:
    """The value of an option as a float; `interval` is in mathematical notation, such as `[0, 1)`.

    Raises:
        ValueError: the value is outside, or NaN.
    """
    low, high = (float(end) for end in interval[1:-1].split(","))
    above = value > low if interval[0] == "(" else value >= low
    below = value < high if interval[-1] == ")" else value <= high
    if above and below:
        return float(value)
    rule = f"lie in {interval}"
    if high == float("inf"):
        rule = f"be {'above' if interval[0] == '(' else 'at least'} {low:g}"
    raise ValueError(f"{what} must {rule}, got {value}.")
