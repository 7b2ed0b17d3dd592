"""What every part of the package uses. Knows nothing of models or data."""
