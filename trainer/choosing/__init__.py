"""Folds, thresholds and decision rules: what is chosen out of fold."""
