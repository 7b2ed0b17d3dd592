"""The stages of a training run: encoders, meta, head and joint."""
