"""The labels behind a run: which of them look wrong, and which texts to label next."""
