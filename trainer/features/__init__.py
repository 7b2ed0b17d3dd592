"""The feature cache: encoder outputs on disk."""
