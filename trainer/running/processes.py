"""What every training command does before its work: prepare this process and join the others."""

from __future__ import annotations

import gc
import os

import torch
from accelerate import PartialState
from transformers.utils import logging

_SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")


def join_ranks() -> PartialState:
    """The state of this process among those it was launched with.

    accelerate makes ranks of several processes on CPUs only when it is told that there shall be no
    GPU: a bare `PartialState()` would take each for the only one, and all would write the same
    files. So where there is no accelerator and the launcher has set a world size, it is told.
    """
    sizes = [int(os.environ[name]) for name in _SIZES if os.environ.get(name, "").isdigit()]
    if max(sizes, default=1) > 1 and not torch.accelerator.is_available():
        os.environ["ACCELERATE_USE_CPU"] = "true"  # `TrainingArguments` asks this
        if PartialState._shared_state and PartialState().num_processes == 1:
            PartialState._reset_state()
        return PartialState(cpu=True)
    return PartialState()


def prepare_process() -> None:
    """Turn off the progress bars of transformers, and keep the garbage collector off the imports.

    The stages report what they do. Every `Trainer.train` begins with a full garbage collection,
    which looks at everything that torch and transformers have loaded: 0.25 s per fold and seed.
    """
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    gc.collect()
    gc.freeze()
