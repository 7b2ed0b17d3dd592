"""What every training command does before its work."""

from __future__ import annotations

import gc

from transformers.utils import logging


def prepare_process() -> None:
    """Leave out loading bars and reports of transformers, and what is imported out of collections.

    The stages say themselves what they do. Every `Trainer.train` begins with a full garbage
    collection, which looks through all that torch and transformers have loaded: a quarter of a
    second that a stage pays once a fold and seed.
    """
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    gc.collect()
    gc.freeze()
