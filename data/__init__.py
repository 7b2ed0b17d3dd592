"""Labeled and unlabeled tables: files, columns, label cells and their checks."""
