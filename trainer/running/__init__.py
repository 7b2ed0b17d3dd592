"""Processes, checkpoints, progress and tracking of a training run."""
