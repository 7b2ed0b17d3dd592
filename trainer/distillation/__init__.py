"""Distillation of a stack into one stock encoder: teacher scores, student, training, record."""
