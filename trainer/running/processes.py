"""Preparation of a process, and of the processes that a run was launched with."""

from __future__ import annotations

import gc
import os

import torch
from accelerate import PartialState
from transformers.utils import logging

_SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")


def prepare_process() -> None:
    """Prepare this process for training: a quiet transformers and cheap garbage collections.

    Loading bars and load reports of transformers are turned off, because the stages report their
    own progress. What is imported so far is excluded from garbage collections: every
    `Trainer.train` begins with a full one, which would take a quarter of a second per fold and seed
    to look through everything that torch and transformers have loaded.
    """
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    gc.collect()
    gc.freeze()


def join_ranks() -> PartialState:
    """The state of this process among those it was launched with.

    On CPUs, accelerate finds the other processes only if it is told to use no GPU. A bare
    `PartialState()` would take each process for the only one, and all of them would write the same
    files. Therefore CPU use is requested here if there is no accelerator and the launcher has set a
    world size.
    """
    sizes = [int(os.environ[name]) for name in _SIZES if os.environ.get(name, "").isdigit()]
    if max(sizes, default=1) > 1 and not torch.accelerator.is_available():
        os.environ["ACCELERATE_USE_CPU"] = "true"  # `TrainingArguments` reads this
        if PartialState._shared_state and PartialState().num_processes == 1:
            PartialState._reset_state()
        return PartialState(cpu=True)
    return PartialState()
