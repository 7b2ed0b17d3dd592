"""Progress messages of a run."""

from __future__ import annotations

import sys

from accelerate import PartialState


def announce(message: str) -> None:
    """Print a message to stderr, in the main process only."""
    if PartialState().is_main_process:
        print(message, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """A time span for people, such as `about 1 h 20 min`."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    hours, rest = divmod(minutes, 60)
    return f"about {hours} h {rest:02} min" if hours else f"about {minutes} min"
