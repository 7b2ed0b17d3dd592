"""Emotions of whole files and data sets."""

from __future__ import annotations

from .job import PART_ROWS, BulkReport, predict_file
from .sources import open_source

__all__ = ["PART_ROWS", "BulkReport", "open_source", "predict_file"]
