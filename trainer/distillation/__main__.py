"""`python -m stacked_emotion.trainer.distillation`, also under `accelerate launch`."""

import sys

from .command import main

if __name__ == "__main__":
    sys.exit(main())
