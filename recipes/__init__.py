"""Training recipes: YAML files, one a language or domain, and the embedded sample."""
