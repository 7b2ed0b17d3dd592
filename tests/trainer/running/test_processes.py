"""What every training command does before its work."""

from __future__ import annotations

import gc

from stacked_emotion.trainer.running.processes import prepare_process


def test_what_is_imported_is_left_out_of_garbage_collections() -> None:
    prepare_process()
    assert gc.get_freeze_count() > 10_000
    assert len(gc.get_objects()) < gc.get_freeze_count()
