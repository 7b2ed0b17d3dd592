"""The processes of a run: found before anything is done, on CPUs too."""

from __future__ import annotations

import os

import torch
from accelerate import PartialState

_SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")


def join_ranks() -> PartialState:
    """The state of this process among those it was launched with.

    On CPUs, accelerate makes ranks of several processes only with `ACCELERATE_USE_CPU`. Without it
    a bare `PartialState()` takes each process for the only one, and all write the same files. So
    this sets it if there is no accelerator and the launcher has set a world size.
    """
    sizes = [int(os.environ[name]) for name in _SIZES if os.environ.get(name, "").isdigit()]
    if max(sizes, default=1) > 1 and not torch.accelerator.is_available():
        os.environ["ACCELERATE_USE_CPU"] = "true"  # `TrainingArguments` asks this
        if PartialState._shared_state and PartialState().num_processes == 1:
            PartialState._reset_state()
        return PartialState(cpu=True)
    return PartialState()
