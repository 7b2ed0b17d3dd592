"""`python -m stacked_emotion.trainer.ablation`, also under `accelerate launch`."""

from __future__ import annotations

import sys

from .runner import main

if __name__ == "__main__":
    sys.exit(main())
