"""The processes of `accelerate launch`, or the only one there is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

_LONGEST_WAIT = timedelta(days=30)


@dataclass(frozen=True)
class Processes:
    """This process among all that share the work.

    Attributes:
        rank: its 0-based number.
        count: number of processes.
        device: where its model runs, "auto" for the predictor's choice.
    """

    rank: int
    count: int
    device: str
    state: Any = None

    @classmethod
    def launched(cls) -> Processes:
        """What `accelerate launch` (or torchrun) has set up; a single process without it."""
        if int(os.environ.get("WORLD_SIZE", "1")) <= 1:
            return cls(0, 1, "auto")
        import torch
        from accelerate import PartialState

        # accelerate finds the other processes on CPUs only if it is told to use no GPU
        state = PartialState(cpu=not torch.accelerator.is_available(), timeout=_LONGEST_WAIT)
        return cls(state.process_index, state.num_processes, str(state.device), state)

    def wait(self) -> None:
        """Return when every process has come here."""
        if self.state is not None:
            self.state.wait_for_everyone()
