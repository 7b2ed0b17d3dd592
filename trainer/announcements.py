"""What a run tells its user while it works."""

from __future__ import annotations

import sys

from accelerate import PartialState


def announce(message: str) -> None:
    """Tell the user on stderr what begins now, from the main process only."""
    if PartialState().is_main_process:
        print(message, file=sys.stderr, flush=True)
