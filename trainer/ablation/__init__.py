"""`stacked-emotion ablate`: what each part of the method gives, on shared encoders and features."""

from __future__ import annotations

from .runner import main, run_ablation
from .table import to_markdown
from .variants import FULL, Variant, variants_of

__all__ = ["FULL", "Variant", "main", "run_ablation", "to_markdown", "variants_of"]
