"""Logs as JSON lines. They never hold a text, a token, or the message of an unexpected error."""

from __future__ import annotations

import json
import logging
import traceback
from datetime import datetime, timezone
from types import TracebackType
from typing import Any

logger = logging.getLogger("stacked_emotion.serving")


class JsonLines(logging.Formatter):
    """One JSON object per line: `time`, `level`, `event`, and the fields given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record. Of an error it shows the kind and the places, not the message."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "process": record.process,
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line |= {"error": record.exc_info[0].__name__, "at": _places(record.exc_info[2])}
        return json.dumps(line)


def _places(trace: TracebackType | None) -> list[str]:
    return [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(trace)[-8:]]


def log_settings() -> dict[str, Any]:
    """The logging configuration of a server: this package's and uvicorn's lines, to stderr."""
    loggers = (logger.name, "uvicorn.error", "asyncio")
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonLines}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "loggers": {
            name: {"handlers": ["stderr"], "level": "INFO", "propagate": False} for name in loggers
        },
    }
