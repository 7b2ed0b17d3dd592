"""The interface of every loss of this package."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ...data.label_statistics import LabelStatistics


class EmotionLoss(nn.Module):
    """A multi-label loss without parameters that returns named components.

    `forward` checks the inputs, leaves masked rows out, switches autocast off and casts to float32
    (float64 stays), then calls `components`, which a subclass implements. The trainer sums the
    components, which carry their weights already, and logs each.

    Under distributed data parallel training every component is scaled so that the mean over ranks
    of its gradients is the gradient for the whole batch, given equal numbers of rows per rank.

    Args:
        statistics: label statistics of the training split.
        pos_weight: `(labels,)` weight of each label's positive class, or None for 1.
    """

    name: ClassVar[str]
    citation: ClassVar[str] = ""

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
        """Components that look at the rows of all ranks; the others are means over a rank's own."""
        return frozenset()

    def get_config_dict(self) -> dict[str, Any]:
        """The settings as JSON values; `build_loss(name, statistics, **settings)` rebuilds it."""
        return {}

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
            row_mask: `(batch,)` bool, False for rows that only fill the batch. They count as if
                they were not there; a batch with no rows left costs 0 and has a zero gradient.

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
            logits = _at_least_float32(logits)
            labels = labels.to(logits.dtype)
            if self.uses_embedding and embedding is not None:
                embedding = embedding.to(logits.dtype)
            else:
                embedding = None
            return self.components(logits, labels, embedding)

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


def _at_least_float32(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()
