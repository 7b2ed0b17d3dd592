"""When a text needs no further encoder.

Sizes: N texts, K encoders run so far, L labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...adaptive_stacked_emotion import check_adaptive


@dataclass(frozen=True, eq=False)
class Stage:
    """An estimate of the full stack's logits from the encoders run so far, and when it is enough.

    Attributes:
        limit: the encoders that are left are skipped where the uncertainty is below it.
        weights: (K, L) of each encoder's own logits.
        bias: (L,).
    """

    limit: float
    weights: np.ndarray
    bias: np.ndarray

    def estimate(self, encoder_logits: np.ndarray) -> np.ndarray:
        """(N, K, L) logits of the encoders run so far to (N, L) float32 of the stack."""
        return ((encoder_logits * self.weights).sum(1) + self.bias).astype(np.float32)


@dataclass(frozen=True, eq=False)
class AdaptiveRule:
    """The field `adaptive` of a configuration.

    Attributes:
        order: the encoders in the order in which they run.
        places: their places in the stack.
        stages: what is asked after each encoder but the last.
    """

    order: list[str]
    places: list[int]
    stages: list[Stage]

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> AdaptiveRule | None:
        """Read a model's `config.json`; None where it has no limits.

        Raises:
            ValueError: a value that does not fit.
        """
        if (given := config.get("adaptive")) is None:
            return None
        names = config["encoder_names"]
        check_adaptive(given, names, len(config["id2label"]))
        stages = [
            Stage(
                float(stage["limit"]),
                np.array(stage["weights"], np.float64),
                np.array(stage["bias"], np.float64),
            )
            for stage in given["stages"]
        ]
        order = list(given["order"])
        return cls(order, [names.index(name) for name in order], stages)
