"""Exported students of every kind of encoder, whose scores are far from even."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from tiny_models import LABELS

from stacked_emotion.inference.backends.student_export import export_student
from stacked_emotion.trainer.distillation.student import (
    build_student,
    output_layer,
    save_student,
    student_tokenizer,
)

MAX_LENGTH = 40


def exported_student(source: Path, folder: Path, thresholds: tuple[float, ...]) -> Path:
    """A stock student in `folder`, with its graphs; texts are cut at `MAX_LENGTH` sub-words."""
    torch.manual_seed(1)
    model = build_student(str(source), LABELS, np.array([0.5, 0.3, 0.2]))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(
                8 if parameter.dim() > 1 else 1
            )  # an untrained one reads all texts alike
        output_layer(model).weight.normal_(0, 0.5)
    tokenizer = student_tokenizer(str(source), max_length=MAX_LENGTH)
    save_student(model, tokenizer, folder, np.array(thresholds), fold=False)
    export_student(folder)
    return folder
