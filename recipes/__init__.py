"""Recipes, the bundled sample and configurations of `accelerate launch`."""

from pathlib import Path

RECIPES = Path(__file__).parent
SAMPLE = RECIPES / "sample"
